"""Rules x optimizers: what gradient rules add to the mean of the tasks' gradients under AdamW, SGD and Muon.

    python scripts/optimizers.py -o runs/optimizers                              # mini and tiny, 4 rules, 3 seeds
    python scripts/optimizers.py -o runs/optimizers -r pcgrad --optimizer sgd --seeds 2 --trials 2 --steps 30

For each optimizer the learning rate of `lora` is searched for on held-back training instances of seen tasks
(docs/recipe.md); every rule is tuned with it, as rules share their method's rate. Each is compared with `lora` under
the same optimizer, Holm-adjusted over the rules of that optimizer. Prints a table as Markdown. The same command again
tunes nothing that is stored in the folder.

The claim to test: rules do little under Adam, which already scales every coordinate (arXiv 2604.08939).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import snibench
from snibench.base.types import OptimizerName
from snibench.plan.request import QUICK
from snibench.report.cells import cell
from snibench.report.values import Column

METHOD = "lora"
RULES = ("pcgrad", "cagrad", "mgda", "uncertainty")
_COLUMNS = (
    Column("mean", "Mean", "percent"),
    Column("delta", "Δ", "difference", low="delta_low", high="delta_high", mark="significant"),
    Column("mde", "Finds", "points"),
)
_QUESTIONS = {"unseen": "comparison_unseen", "seen": "comparison_held_out"}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is not stored, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output-dir", type=Path, required=True)
    parser.add_argument("-r", "--rule", action="append", help=f"default: {', '.join(RULES)}")
    parser.add_argument("--optimizer", action="append", choices=get_args(OptimizerName), help="default: all")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--trials", type=int, default=4, help="learning rates tried for each optimizer")
    parser.add_argument("--steps", type=int, default=QUICK.steps)
    parser.add_argument("--limit", type=int, help="questions of a task")
    given = parser.parse_args(arguments)
    print(
        "| optimizer | rate | method | unseen, % | Δ unseen | finds | seen, % | Δ seen | finds |\n" + "|" + " --- |" * 9
    )
    for optimizer in given.optimizer or get_args(OptimizerName):
        common = {
            "protocols": ["gap"],
            "conflict": "off",
            "executor": "processes",
            "optimizer": optimizer,
            "steps": given.steps,
            "limit": given.limit,
        }
        folder = given.output_dir / optimizer
        searched = snibench.run(METHOD, folder / "search", baseline=None, seeds=[0], tune_budget=given.trials, **common)
        rate = float(searched.fits.set_index("method").loc[METHOD, "learning_rate"])
        rules = [f"{METHOD}+{rule}" for rule in given.rule or RULES]
        results = snibench.run(
            rules, folder / "rules", baseline=METHOD, seeds=range(given.seeds), learning_rate=rate, **common
        )
        for line in rows(optimizer, rate, results.tables):
            print(line, flush=True)


def rows(optimizer: str, rate: float, tables: Mapping[str, Any]) -> Iterator[str]:
    """A row for `lora` and for each of its rules."""
    found = {question: tables[name].set_index("method") for question, name in _QUESTIONS.items()}
    for method in found["unseen"].index:
        if not str(method).startswith(METHOD):
            continue
        cells = [optimizer, f"{rate:g}", f"`{method}`"]
        for frame in found.values():
            cells += [cell(frame.loc[method].to_dict(), column) for column in _COLUMNS]
        yield f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
