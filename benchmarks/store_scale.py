"""A store of many fits: how long it takes to list them, to plan beside them, and to ask of each whether it is done.

    python benchmarks/store_scale.py               10,000 fits in a temporary folder
    python benchmarks/store_scale.py --fits 1000   fewer

The fits are copies of one spec under other seeds, sealed without answers. Seconds of the processor, one process each.
Then 1,000 workers at once on an empty store, as threads with locks of their own: each begins and seals two fits, and
comes to those of its neighbour, too, so that every fit is wanted twice and must be done once. By the clock.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from stored_run import planned, record_of

from snibench.base.codec import to_json
from snibench.store import Store


def fill(folder: Path, fits: int) -> None:
    """Specs and records of ``fits`` fits, written plainly: nothing of this needs to survive a power failure."""
    one = planned(["lora"], [0]).fits[-1]
    for seed in range(fits):
        fit = replace(one, spec=replace(one.spec, seed=seed))
        own = Store(folder).folder(fit.spec.id)
        own.mkdir(parents=True)
        (own / "spec.json").write_text(json.dumps(to_json(fit.spec)), encoding="utf-8")
        (own / "record.json").write_text(json.dumps(to_json(record_of(fit, seed))), encoding="utf-8")


def seconds(command: Sequence[str]) -> float:
    """Of the processor, for one process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def work(folder: Path, workers: int) -> tuple[float, int]:
    """Seconds by the clock, and how often a fit was done: each worker wants its two fits and its neighbour's two."""
    one = planned(["lora"], [0]).fits[-1]
    fits = [replace(one, spec=replace(one.spec, seed=seed)) for seed in range(2 * workers)]
    store = Store(folder)
    store.prepare()

    def worker(number: int) -> int:
        done = 0
        for place in range(2 * number, 2 * number + 4):
            fit = fits[place % len(fits)]
            with store.locked(fit.spec.id):
                if store.record(fit.spec.id) is None:
                    store.begin(fit.spec)
                    store.seal(record_of(fit, place))
                    done += 1
        return done

    started = time.perf_counter()
    with ThreadPoolExecutor(workers) as pool:
        done = sum(pool.map(worker, range(workers)))
    return time.perf_counter() - started, done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fits", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=1_000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "runs"
        fill(folder, args.fits)
        ask = "import sys; from pathlib import Path; from snibench.store import Store; s = Store(Path(sys.argv[1]));"
        ask += "print(sum(s.record(p.parent.name) is not None for p in s.root.glob('*/spec.json')))"
        for said, command in (
            ("ls runs", ["-m", "snibench", "ls", "runs", "-o", str(folder)]),
            ("ls runs --json", ["-m", "snibench", "ls", "runs", "--json", "-o", str(folder)]),
            ("every record read", ["-c", ask, str(folder)]),
            ("run --dry-run", ["-m", "snibench", "run", "-m", "ours", "--dry-run", "-o", str(folder)]),
        ):
            print(f"{said}: {seconds(command):.2f} s of {args.fits:,} fits", flush=True)
        clock, done = work(Path(name) / "shared", args.workers)
        assert done == 2 * args.workers, f"{done} fits were done, not {2 * args.workers}"
        print(f"{args.workers:,} workers: {2 * args.workers:,} fits begun and sealed once each in {clock:.1f} s")


if __name__ == "__main__":
    main()
