"""Searches for the default learning rate of every method, with one budget, and writes the table that ships.

    python scripts/learning_rates.py -o runs/rates          # suite mini, model tiny, 8 trials of the quick profile
    python scripts/learning_rates.py -o runs/rates --trials 4 --write docs/recipe.md
    python scripts/learning_rates.py -o runs/rates --trials 4 --model MODEL --suite sni --data FOLDER --steps 500

The rule is that of `snibench run --tune-budget` (docs/recipe.md): training instances of seen tasks, some of them held
back. Where the best rate lies at the edge of what was tried, as many trials again around it, at most `--rounds` times.
The row of the model's size in snibench/plan/learning_rates.json gets the rates, under the optimizer and the schedule;
rules share their method's. Prints the rows as Markdown, and puts them into the table of a document. The same command
again tries nothing that is stored in the folder.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

from rich.console import Console

from snibench.base.registry import METHODS
from snibench.base.types import OptimizerName, RateSchedule, Search
from snibench.cli.progress import search_work, watching
from snibench.contracts import Floor
from snibench.fits.lr_search import search_rates
from snibench.fits.run import placed, runtime_from
from snibench.plan.learning_rates import TABLE, recipe_name
from snibench.plan.options import request_from
from snibench.plan.plan import Plan, plan
from snibench.plan.request import QUICK
from snibench.store import Store, write_whole

# A template, and what is another method by default; the baseline is "lora" in the table.
LEFT_OUT = {"template-lora", "peft", "unified-prompt", "adapter", "answers"}
START, END = "<!-- learning rates: start -->", "<!-- learning rates: end -->"
COLUMNS = ("method", "rate", "loss", "tried", "loss at the rate before", "note")


def main(arguments: Sequence[str] | None = None) -> None:
    """Search, write the table, print the row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output-dir", type=Path, required=True)
    parser.add_argument("-m", "--method", action="append", help="default: every installed one")
    parser.add_argument("--suite", default="mini")
    parser.add_argument("--data")
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3, help="searches of a method whose best rate is at the edge")
    parser.add_argument("--steps", type=int, default=QUICK.steps)
    parser.add_argument("--optimizer", choices=get_args(OptimizerName), default="adamw")
    parser.add_argument("--schedule", choices=get_args(RateSchedule), default="linear")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--table", type=Path, default=TABLE, help="default: the one that ships")
    parser.add_argument("--write", type=Path, help="a Markdown file with the two marks of the table")
    given = parser.parse_args(arguments)
    method_types = {name: METHODS.get(name) for name in given.method or METHODS.names() if name not in LEFT_OUT}
    request = request_from(
        [
            name
            for name, method_type in method_types.items()
            if method_type.trains and not issubclass(method_type, Floor)
        ],
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
    runtime, store = runtime_from({"device": given.device}, request.profile), Store(given.output_dir)
    store.prepare()
    made = placed(plan(request), request, runtime.device)
    rounds: dict[str, list[Search]] = {}
    for _ in range(given.rounds):
        with watching(Console(stderr=True), search_work(made.fits, given.trials, None)) as watch:
            found, searches = search_rates(made, given.trials, store, runtime, watch)
        for search in searches:
            rounds.setdefault(search.label, []).append(search)
        made = _further(found, searches)
        if not made.fits:
            break
    recipe = request.recipe
    how = f"suite {made.suite.name}, model {made.model.ref.digest[:12]}, {given.trials} trials of {given.steps} steps"
    how += f", {recipe.optimizer}, {recipe.schedule}"
    made_by = f"{how} ({', '.join(method_types)})" if given.method else how
    rates = {label: _best(some)[0] for label, some in rounds.items() if _best(some)}
    _write(given.table, recipe_name(recipe.optimizer, recipe.schedule), rates, made.model.info.parameters, made_by)
    rows = {f"`{label}`": _row(label, some) for label, some in rounds.items()}
    print(f"{how}\n\n{_table(rows)}")
    if given.write:
        _put(given.write, rows)


def _further(made: Plan, searches: Sequence[Search]) -> Plan:
    """The fits whose best rate is the lowest or the highest that was tried, with that rate as their default."""
    edge = {search.label for search in searches if search.note.endswith("tried")}
    return replace(made, fits=tuple(fit for fit in made.fits if fit.spec.label in edge))


def _losses(rounds: Sequence[Search]) -> dict[float, float]:
    """The loss at every rate that was tried to the end."""
    return {trial.rate: trial.loss for search in rounds for trial in search.trials if trial.loss is not None}


def _best(rounds: Sequence[Search]) -> tuple[float, float] | None:
    """The rate with the lowest loss, the lower one at a tie, and its loss; None if no trial was done."""
    losses = _losses(rounds)
    return min(losses.items(), key=lambda one: (one[1], one[0])) if losses else None


def _row(label: str, rounds: Sequence[Search]) -> tuple[str, ...]:
    losses, best, default = _losses(rounds), _best(rounds), rounds[0].default
    if best is None:
        causes = dict.fromkeys(trial.cause for trial in rounds[0].trials)
        return (f"`{label}`", f"{default:g}", "", "", "", f"no trial was done: {'; '.join(causes)}")
    rate, loss = best
    tried = f"{min(losses):g} to {max(losses):g}"
    before = f"{losses[default]:.3f} at {default:g}" if default in losses else f"none at {default:g}"
    note = "at the edge" if len(losses) > 1 and rate in (min(losses), max(losses)) else ""
    return (f"`{label}`", f"{rate:g}", f"{loss:.3f}", tried, before, note)


def _table(rows: dict[str, tuple[str, ...]]) -> str:
    """``rows`` as Markdown, by name."""
    lines = [COLUMNS, ("---",) * len(COLUMNS), *(rows[name] for name in sorted(rows))]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _put(path: Path, rows: dict[str, tuple[str, ...]]) -> None:
    """Put ``rows`` into the table between the two marks of a Markdown file; those of other methods stay."""
    before, start, rest = path.read_text(encoding="utf-8").partition(START)
    old, end, after = rest.partition(END)
    if not (start and end):
        raise SystemExit(f"{path} has no place for the table: the lines '{START}' and '{END}'.")
    cells = [tuple(cell.strip() for cell in line.strip("| ").split(" | ")) for line in old.splitlines()]
    kept = {line[0]: line + ("",) * (len(COLUMNS) - len(line)) for line in cells if line[0].startswith("`")}
    whole = f"{before}{START}\n\n{_table(kept | rows)}\n\n{END}{after}"
    write_whole(path, lambda temporary: temporary.write_text(whole, encoding="utf-8"))


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
