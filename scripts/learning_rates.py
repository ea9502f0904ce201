"""Searches for the default learning rate of every method, with one budget, and writes the table that ships.

    python scripts/learning_rates.py -o runs/rates          # suite mini, model tiny, 8 trials of 90 steps a method
    python scripts/learning_rates.py -o runs/rates --trials 4 --model MODEL --suite sni --data FOLDER --steps 500

The rule is that of `snibench run --tune-budget` (docs/recipe.md): training instances of seen tasks, some of them held
back. The row of the model's size in snibench/plan/learning_rates.json gets the rates, under the optimizer and the
schedule; rules share their method's. Prints
the row as Markdown. The same command again tries nothing that is stored in the folder.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from rich.console import Console

from snibench.base.registry import METHODS
from snibench.base.types import OptimizerName, RateSchedule
from snibench.cli.progress import search_work, watching
from snibench.contracts import Floor
from snibench.fits.run import RunProgress, planned_with_rates, runtime_from
from snibench.plan.learning_rates import TABLE, recipe_name
from snibench.plan.options import request_from
from snibench.plan.request import QUICK
from snibench.store import Store, write_whole

# A template, and what is another method by default; the baseline is "lora" in the table.
LEFT_OUT = {"template-lora", "peft", "unified-prompt", "adapter", "answers"}


def main(arguments: Sequence[str] | None = None) -> None:
    """Search, write the table, print the row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output-dir", type=Path, required=True)
    parser.add_argument("-m", "--method", action="append", help="default: every installed one")
    parser.add_argument("--suite", default="mini")
    parser.add_argument("--data")
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--steps", type=int, default=QUICK.steps)
    parser.add_argument("--optimizer", choices=get_args(OptimizerName), default="adamw")
    parser.add_argument("--schedule", choices=get_args(RateSchedule), default="linear")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--table", type=Path, default=TABLE, help="default: the one that ships")
    given = parser.parse_args(arguments)
    kinds = {name: METHODS.get(name) for name in given.method or METHODS.names() if name not in LEFT_OUT}
    request = request_from(
        [name for name, kind in kinds.items() if kind.trains and not issubclass(kind, Floor)],
        {
            "suite": given.suite,
            "data": given.data,
            "model": given.model,
            "baseline": None,
            "protocols": ["gap"],
            "seeds": [0],
            "limit": 1,
            "profile": "quick",
            "steps": given.steps,
            "tune_budget": given.trials,
            "optimizer": given.optimizer,
            "schedule": given.schedule,
        },
    )
    progress = RunProgress(searching=lambda made: watching(Console(), search_work(made.fits, given.trials, None)))
    runtime = runtime_from({"device": given.device}, request.profile)
    made, searches = planned_with_rates(request, Store(given.output_dir), runtime, progress)
    rates = {fit.spec.method: fit.spec.recipe.learning_rate for fit in made.fits if fit.spec.recipe.steps}
    how = f"suite {made.suite.name}, model {made.model.ref.digest[:12]}, {given.trials} trials of {given.steps} steps"
    how += f", {request.recipe.optimizer}, {request.recipe.schedule}"
    key = recipe_name(request.recipe.optimizer, request.recipe.schedule)
    made_by = f"{how} ({', '.join(kinds)})" if given.method else how
    _write(given.table, key, rates, made.model.info.parameters, made_by)
    print(f"{how}\n\n| method | rate | loss | at the default | |\n| --- | --- | --- | --- | --- |")
    for search in searches:
        losses = {trial.rate: f"{trial.loss:.3f}" for trial in search.trials}
        edge = "at the edge" if search.note.endswith("tried") else ""
        print(f"| `{search.label}` | {search.rate:g} | {losses[search.rate]} | {losses[search.default]} | {edge} |")


def _write(path: Path, key: str, rates: dict[str, float], parameters: int, how: str) -> None:
    """Put ``rates`` into the row of the model's size, under the recipe's key; other methods' and recipes' stay."""
    table = json.loads(path.read_text(encoding="utf-8"))
    row = next(row for row in table if row["below"] is None or parameters < row["below"])
    row["methods"][key] = dict(sorted((row["methods"].get(key, {}) | rates).items()))
    row["made"] = f"{row['made']}; {how}"
    text = "[\n " + ",\n ".join(json.dumps(one) for one in table) + "\n]\n"
    write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


if __name__ == "__main__":
    main()
