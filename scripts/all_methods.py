"""The table of all methods with their cost: one run of every installed method, and of LoRA with every rule.

    python scripts/all_methods.py -o runs/all --jobs 2            # quick profile, two processes at a time
    python scripts/all_methods.py -o runs/all --torchjd           # TorchJD's own versions of rules, too
    python scripts/all_methods.py -o runs/all --steps 2 --limit 1 --seeds 0     # whether all of them run at all

Every other option is one of `snibench run`. With `--jobs N` the methods are dealt to N runs at a time, which share the
folder and the processor's cores. Ends with the report as Markdown in DIR/report.md. The same command again
goes on where it stopped. `python scripts/install_plugins.py` first, for the methods that live in plugins/.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from snibench.base.registry import METHODS, RULES

# What shows how a plugin is written, and what is another method by default.
LEFT_OUT = {"template-lora", "peft"}


def methods(*, torchjd: bool) -> list[str]:
    """Every method, then LoRA with every rule but the mean, which is LoRA."""
    rules = [name for name in RULES.names() if torchjd or not name.startswith("torchjd-")]
    return [
        *(name for name in METHODS.names() if name not in LEFT_OUT),
        *(f"lora+{name}" for name in rules if name != "mean"),
    ]


def main(arguments: list[str]) -> int:
    """The exit code of the run, after the report is written."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output-dir", type=Path, required=True)
    parser.add_argument("--torchjd", action="store_true", help="TorchJD's own versions of rules, too")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, each on its share of the cores")
    given, options = parser.parse_known_args(arguments)
    names = methods(torchjd=given.torchjd)
    snibench = [sys.executable, "-m", "snibench"]

    def command(some: list[str]) -> list[str]:
        return [
            *snibench,
            "run",
            "-o",
            str(given.output_dir),
            *(part for name in some for part in ("-m", name)),
            *options,
        ]

    if given.jobs > 1:
        threads = max(1, (os.cpu_count() or 1) // given.jobs)
        shared = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        jobs = [
            subprocess.Popen(
                command(names[job :: given.jobs]), env=shared, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            for job in range(given.jobs)
        ]
        for job in jobs:
            job.wait()  # what failed says so again in the run of all, which finds the rest done
    ran = subprocess.run(command(names), check=False)
    if ran.returncode in (0, 1):
        report = subprocess.run(
            [*snibench, "report", str(given.output_dir), "--as", "md"], capture_output=True, check=True
        )
        (given.output_dir / "report.md").write_bytes(report.stdout)
    return ran.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
