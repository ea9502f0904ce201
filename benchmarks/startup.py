"""How long the commands take that run no model: medians of fresh processes, by the clock and by the processor.

python benchmarks/startup.py                    --help, ls methods, ls runs, show ours
python benchmarks/startup.py --runs DIR         also report, on the run stored in DIR
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path


def seconds(command: list[str]) -> tuple[float, float]:
    """Of one fresh process, by the clock and by the processor."""
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "snibench", *command], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter() - started, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, default=None, help="results folder of a finished run")
    parser.add_argument("--repeats", type=int, default=7)
    args = parser.parse_args()
    commands = [["--help"], ["ls", "methods"], ["show", "ours"]]
    if args.runs is not None:
        commands += [["ls", "runs", "-o", str(args.runs)], ["report", str(args.runs)]]
    for command in commands:
        seconds(command)  # once unmeasured, so that files are in memory
        clock, busy = zip(*(seconds(command) for _ in range(args.repeats)), strict=True)
        name = " ".join("DIR" if part == str(args.runs) else part for part in command)
        print(
            f"snibench {name}: median {statistics.median(clock):.2f} s by the clock, "
            f"{statistics.median(busy):.2f} s by the processor",
            flush=True,
        )


if __name__ == "__main__":
    main()
