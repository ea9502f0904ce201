"""The table of all methods with their cost: one run of every installed method, and of LoRA with every rule.

    python scripts/all_methods.py -o runs/all --jobs 2            # quick profile, two fits at a time
    python scripts/all_methods.py -o runs/all --torchjd           # TorchJD's own versions of rules, too
    python scripts/all_methods.py -o runs/all --steps 2 --limit 1 --seeds 0     # whether all of them run at all

Every other option is one of `snibench run`. Ends with the report as Markdown in DIR/report.md. The same command again
goes on where it stopped. `python scripts/install_plugins.py` first, for the methods that live in plugins/.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from snibench.base.registry import METHODS, RULES

# What shows how a plugin is written, and what is another method by default.
LEFT_OUT = {"template-lora", "peft", "adapter", "answers"}


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
    given, options = parser.parse_known_args(arguments)
    snibench = [sys.executable, "-m", "snibench"]
    asked = [part for name in methods(torchjd=given.torchjd) for part in ("-m", name)]
    ran = subprocess.run([*snibench, "run", "-o", str(given.output_dir), *asked, *options], check=False)
    if ran.returncode in (0, 1):
        report = subprocess.run(
            [*snibench, "report", str(given.output_dir), "--as", "md"], capture_output=True, check=True
        )
        (given.output_dir / "report.md").write_bytes(report.stdout)
    return ran.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
