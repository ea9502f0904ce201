"""How much faster a run is with its fits side by side: `--executor processes` beside `inline`, by the clock.

    python benchmarks/processes.py                          # the default run, once each: about ten minutes
    python benchmarks/processes.py --steps 20 --repeats 3   # shorter fits

Every run is `snibench run -m ours` in an empty folder, as a process of its own; the two alternate. The machine must be
idle. Both have one thread a fit, as the quick profile fixes, so all answers must be equal: that is checked. Prints a
table as Markdown: seconds by the clock and of the processor (with all child processes), medians.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from snibench.report.values import rows_digest
from snibench.store import load_results


def main(arguments: Sequence[str] | None = None) -> None:
    """Time both, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="default: the processor's cores")
    parser.add_argument("--steps", type=int, help="default: those of the profile")
    parser.add_argument("--seeds", help="default: those of the profile")
    given = parser.parse_args(arguments)
    options = [item for name in ("steps", "seeds") if (value := getattr(given, name)) is not None
               for item in (f"--{name}", str(value))]  # fmt: skip
    executors = {
        "inline": ["--executor", "inline"],
        "processes": ["--executor", "processes", "--jobs", str(given.jobs)],
    }
    clock, processor = defaultdict(list), defaultdict(list)
    digests = set()
    for _ in range(given.repeats):
        for name, executor in executors.items():
            seconds, used, digest = timed([*executor, *options])
            clock[name].append(seconds)
            processor[name].append(used)
            digests.add(digest)
    if len(digests) != 1:
        raise SystemExit("The answers differ between executors, so the times say nothing.")
    print("| executor | by the clock, s | processor, s | times as fast |\n| --- | --- | --- | --- |")
    for name in executors:
        label = f"{name}, {given.jobs} jobs" if name == "processes" else name
        ratio = median(clock["inline"]) / median(clock[name])
        print(f"| {label} | {median(clock[name]):.0f} | {median(processor[name]):.0f} | {ratio:.2f} |")


def timed(options: Sequence[str]) -> tuple[float, float, str]:
    """Seconds by the clock, seconds of the processor, and the digest of the rows of one run."""
    with TemporaryDirectory() as holder:
        folder = Path(holder) / "runs"
        command = [sys.executable, "-m", "snibench", "run", "-m", "ours", "-o", str(folder), *options]
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return seconds, used, rows_digest(load_results(folder).answers)


if __name__ == "__main__":
    main()
