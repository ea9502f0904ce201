"""All that a machine with one accelerator is asked, in one command of at most eight minutes, the most important first.

    python benchmarks/device_round.py OUT --data SNI_FOLDER --model MODEL      on a GPU
    python benchmarks/device_round.py OUT --smoke --data SNI_FOLDER --model tiny
                                          the same parts, small, on the CPU; exit code 1 if one does not end well

Parts: tests marked ``gpu``; tuning, tokens per second and share of the peak by attention and compilation; answering
beside ``generate``; ``snibench run`` on the embedded suite and, with ``--data`` and ``--model``, on that model. Each
part is a process of its own with a share of the time, and OUT/PART.txt holds what it printed, so that a round that is
cut off loses only what follows. OUT/summary.txt has a line per part. Needs no network.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

HERE = Path(__file__).resolve().parent
_PATIENCE = 10  # times a part's share of the round, with --smoke


@dataclass(frozen=True)
class Part:
    """``seconds``: its share of the round, after which it is ended."""

    name: str
    command: Sequence[str]
    seconds: float


def parts(args: argparse.Namespace) -> list[Part]:
    """What the round asks, in its order; parts whose data are not there are left out."""
    python, device = sys.executable, args.device
    tests = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "gpu", str(HERE.parent / "tests")]
    run = [python, "-m", "snibench", "run", "-m", "lora", "--no-baseline", "--seeds", "0", "--device", device]
    small = ["--steps", "4", "--tasks", "8", "--limit", "1", "--protocol", "gap", "--conflict", "off"]
    own = [*run, *(small if args.smoke else []), "-o", str(args.out / "runs-tiny")]
    found = [Part("gpu-tests", [*tests, "--collect-only"] if args.smoke else tests, 120)]
    if args.data and args.model:
        tuning = [python, str(HERE / "training_device.py"), "--data", str(args.data), "--model", args.model]
        tuning += ["--device", device, "--steps", "2" if args.smoke else "5"]
        peak = ["--peak", str(args.peak)] if args.peak else []
        for size in ("as-is",) if args.smoke else ("as-is", "1b"):
            for attention in ("mask", "parts", "flex") if not args.smoke else ("mask",):
                for compiled in ((), ("--compile",)) if not args.smoke else ((),):
                    name = "-".join(["tuning", size, attention, *(["compiled"] if compiled else [])])
                    options = ["--size", size, "--attention", attention, *compiled, *peak]
                    found.append(Part(name, [*tuning, *options], 40))
        compare = [python, str(HERE / "evaluation.py"), "compare", "--data", str(args.data), "--model", args.model]
        compare += ["--device", device, "--peers", "generate", "--count", "1" if args.smoke else "4"]
        found.append(Part("answering", [*compare, "--each", "2" if args.smoke else "100"], 90))
    found.append(Part("run-tiny", own, 120))
    if args.data and args.model and not args.smoke:
        real = [*run, "--data", str(args.data), "--partial", "--model", args.model, "--tasks", "8", "--steps", "40"]
        found.append(Part("run-model", [*real, "--limit", "10", "-o", str(args.out / "runs-model")], 120))
    return found


def done(part: Part, out: Path, left: float) -> str:
    """A line on how a part ended; what it printed is in its file."""
    limit = min(part.seconds, left)
    if limit < 5:
        return f"{part.name}: left out, the time is over"
    started = time.monotonic()
    with (out / f"{part.name}.txt").open("w", encoding="utf-8") as said:
        said.write(" ".join(part.command) + "\n\n")
        said.flush()
        environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}
        try:
            code = subprocess.run(
                part.command, stdout=said, stderr=subprocess.STDOUT, timeout=limit, env=environment
            ).returncode
            ended = "ok" if code == 0 else f"exit code {code}"
        except subprocess.TimeoutExpired:
            ended = f"ended after its {limit:.0f} s"
    return f"{part.name}: {ended}, {time.monotonic() - started:.0f} s"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, help="folder of tasks in the official layout")
    parser.add_argument("--model", help="folder or .gguf file")
    parser.add_argument("--device", default=None, help="default: cuda, with --smoke cpu")
    parser.add_argument("--peak", type=float, help="TFLOP/s that the vendor promises in bfloat16")
    parser.add_argument("--seconds", type=float, help="of the whole round; default: 470, with --smoke an hour")
    parser.add_argument("--smoke", action="store_true")
    args = parser.parse_args()
    args.device = args.device or ("cpu" if args.smoke else "cuda")
    args.out = args.out.absolute()
    args.out.mkdir(parents=True, exist_ok=True)
    ends = time.monotonic() + (args.seconds or (3600 if args.smoke else 470))
    lines = []
    for part in parts(args):
        if args.smoke:  # a CPU is slower, and may be busy
            part = replace(part, seconds=_PATIENCE * part.seconds)
        line = done(part, args.out, ends - time.monotonic())
        print(line, flush=True)
        with (args.out / "summary.txt").open("a", encoding="utf-8") as summary:
            summary.write(line + "\n")
        lines.append(line)
    if args.smoke and any(": ok, " not in line for line in lines):
        sys.exit(1)


if __name__ == "__main__":
    main()
