"""A store of many fits: how long it takes to list them, and to ask of each whether it is done.

    python benchmarks/store_scale.py               10,000 fits in a temporary folder
    python benchmarks/store_scale.py --fits 1000   fewer

The fits are copies of one spec under other seeds, sealed without answers. Seconds of the processor, one process each.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fits", type=int, default=10_000)
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
        ):
            print(f"{said}: {seconds(command):.2f} s of {args.fits:,} fits", flush=True)


if __name__ == "__main__":
    main()
