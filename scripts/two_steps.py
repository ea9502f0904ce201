"""Whether every method, rule and sampler runs on a model and its tasks: a few training steps and answers of each.

    python scripts/two_steps.py -o runs/two                                 # suite mini, model tiny
    python scripts/two_steps.py -o runs/two --model MODEL --data FOLDER --partial --write docs/methods.md
    python scripts/two_steps.py -o runs/two -m lora -m lora+mgda -m lora@pike

Plan, tuning and answers are those of `snibench run`, with one seed. Rows: every installed method, LoRA with every rule,
and LoRA with every sampler. Prints the table as Markdown: "runs", "refused" with the sentence why, or "failed". Exit
code 1 if one failed. The same command again runs only what is not stored. `python scripts/install_plugins.py` first,
for the names of plugins.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from all_methods import methods
from rich.console import Console

from snibench.base.errors import SnibenchError
from snibench.base.registry import SAMPLERS
from snibench.base.types import FitRecord
from snibench.cli.progress import watching, work_left
from snibench.fits.context import Runtime
from snibench.fits.run import RunProgress, run, runtime_from
from snibench.plan.options import request_from
from snibench.plan.request import QUICK
from snibench.store import NothingDone, Store, read_frame, write_whole

START, END = "<!-- two steps: start -->", "<!-- two steps: end -->"
COLUMNS = ("row", "", "trains", "seconds", "loss, first step", "last step", "general text before", "after", "why")
SAMPLED = "lora"


def names() -> list[str]:
    """All rows: methods, rules, and samplers but the one that is used where none is named."""
    return [*methods(torchjd=True), *(f"{SAMPLED}@{name}" for name in SAMPLERS.names() if name != "deck")]


def records(rows: Sequence[str], options: dict[str, Any], store: Store, runtime: Runtime) -> Iterator[FitRecord]:
    """The records of all rows: one run of what needs no sampler, and one for each sampler."""
    samplers = dict.fromkeys(row.partition("@")[2] for row in rows)
    for sampler in samplers:
        asked = [row.partition("@")[0] for row in rows if row.partition("@")[2] == sampler]
        request = request_from(asked, {**options, "sampler": sampler})
        progress = RunProgress(fitting=lambda made, jobs: watching(Console(stderr=True), work_left(made.fits, store)))
        try:
            yield from run(request, store, runtime, progress).records
        except NothingDone:
            yield from filter(None, map(store.record, store.manifest().fits))


def row(record: FitRecord, store: Store) -> tuple[str, ...]:
    """One row of the table. Losses are means over the tasks of a step, in nats per token, and those of general text."""
    verdict = {"done": "runs", "unfit": "refused"}.get(record.status, record.status)
    folder = store.folder(record.fit)
    losses, general = ["", ""], ["", ""]
    if (trace := folder / "trace.parquet").exists():
        losses = [f"{loss:.3f}" for loss in read_frame(trace)["loss"].iloc[[0, -1]]]
    if (text := folder / "forgetting.parquet").exists():
        means = read_frame(text)[["before", "after"]].mean()
        general = [f"{means[name]:.4f}" for name in ("before", "after")]
    trains = f"{record.trainable_parameters:,}" if record.status == "done" else ""
    seconds = f"{record.seconds:.1f}" if record.seconds else ""
    return (f"`{record.label}`", verdict, trains, seconds, *losses, *general, record.cause)


def table(rows: Sequence[Sequence[str]]) -> str:
    """``rows`` as Markdown."""
    lines = [COLUMNS, ["---"] * len(COLUMNS), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def written(path: Path, text: str) -> None:
    """Put ``text`` between the two marks in a Markdown file."""
    before, start, rest = path.read_text(encoding="utf-8").partition(START)
    _, end, after = rest.partition(END)
    if not (start and end):
        raise SystemExit(f"{path} has no place for the table: the lines '{START}' and '{END}'.")
    whole = f"{before}{START}\n\n{text}\n\n{END}{after}"
    write_whole(path, lambda new: new.write_text(whole, encoding="utf-8"))


def main(arguments: Sequence[str] | None = None) -> int:
    """1 if a row failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output-dir", type=Path, required=True)
    parser.add_argument("-m", "--method", action="append", help="a row: METHOD, METHOD+RULE or METHOD@SAMPLER")
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--data", help="a folder of tasks; default: suite mini")
    parser.add_argument("--partial", action="store_true", help="split lists may name tasks that are not there")
    parser.add_argument("--tasks", type=int, default=4, help="seen tasks")
    parser.add_argument("--per-step", type=int, nargs=2, default=(2, 2), help="tasks of a step, instances of each")
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--protocol", action="append", help="default: all three")
    parser.add_argument("--max-input", type=int, default=256)
    parser.add_argument("--max-output", type=int, default=8)
    parser.add_argument("--conflict", choices=("off", "ends"), default="off")
    parser.add_argument("--overwrite", choices=("never", "failed", "always"), default="never")
    parser.add_argument("--write", type=Path, help="a Markdown file with the marks of the table")
    given = parser.parse_args(arguments)
    options: dict[str, Any] = {
        **{name: getattr(given, name) for name in ("model", "data", "partial", "tasks", "steps")},
        **{name: getattr(given, name) for name in ("max_input", "max_output")},
        **{"baseline": None, "protocols": given.protocol or (), "profile": QUICK.name, "seeds": [0], "limit": 1},
        "per_step": tuple(given.per_step),
    }
    runtime = runtime_from({"conflict": given.conflict, "overwrite": given.overwrite}, QUICK)
    store = Store(given.output_dir)
    try:
        found = list(records(given.method or names(), options, store, runtime))
    except SnibenchError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    text = table([row(record, store) for record in found])
    print(text)
    if given.write:
        written(given.write, text)
    return int(any(record.status not in {"done", "unfit"} for record in found))


if __name__ == "__main__":
    sys.exit(main())
