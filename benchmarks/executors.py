"""Throughput of fits by executor and number of workers, and what the scheduler adds to a fit.

    python benchmarks/executors.py                       inline, and processes with 1, 2 and 4 workers
    python benchmarks/executors.py --ray                 also Ray on this machine
    python benchmarks/executors.py --seeds 8 --steps 90  larger fits

Every run starts from an empty folder. The cost of the scheduler is the time of a run with one worker less the time of
the same fits inline, over the number of fits; a worker's start is in it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def seconds(executor: str, jobs: int, args: argparse.Namespace) -> float:
    """Of one run from an empty folder."""
    seeds = ",".join(map(str, range(args.seeds)))
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "snibench", "run", "-m", "lora", "--no-baseline", "--seeds", seeds]
        command += ["--steps", str(args.steps), "--limit", str(args.limit), "--conflict", "off", "--protocol", "gap"]
        command += ["--executor", executor, "-o", str(Path(folder) / "runs")]
        command += ["--jobs", str(jobs)] if executor == "processes" else []
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=8, help="fits of one run")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--limit", type=int, default=4)
    parser.add_argument("--jobs", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--ray", action="store_true")
    args = parser.parse_args()
    alone = seconds("inline", 1, args)
    print(f"inline: {alone:.1f} s, {60 * args.seeds / alone:.1f} fits a minute", flush=True)
    for executor, jobs in [*(("processes", jobs) for jobs in args.jobs), *([("ray", 0)] if args.ray else [])]:
        took = seconds(executor, jobs, args)
        added = f", {(took - alone) / args.seeds:+.2f} s a fit beside inline" if jobs == 1 else ""
        print(f"{executor} {jobs or ''}: {took:.1f} s, {60 * args.seeds / took:.1f} fits a minute{added}", flush=True)


if __name__ == "__main__":
    main()
