"""``snibench reproduce``: a fit, or an entry of a board, run again and held against what is stored."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from snibench.base.errors import StoreError, UsageError, unknown
from snibench.base.registry import installed_names
from snibench.base.wording import terminal_safe
from snibench.cli.extras import require_train
from snibench.cli.output import show_text
from snibench.cli.places import AnyPath

if TYPE_CHECKING:
    from snibench.fits.context import FitProgress, Runtime
    from snibench.plan.plan import FitPlan, Plan
    from snibench.report.reproduction import Item
    from snibench.store import Store


@click.command()
@click.argument("fit")
@click.argument("folder", type=AnyPath(), default="runs")
@click.option("--seed", type=int, help="Of several fits with the label FIT: the one with this seed.")
@click.option("-o", "--output-dir", "output", type=AnyPath(), help="Folder of the new fit. Default: FOLDER/reproduced.")
@click.option("--board", type=AnyPath(), help="A leaderboard file: FIT is the label of one of its entries.")
@click.option("--data", type=AnyPath(), help="With --board: folder of tasks. Default: the suite that the board names.")
@click.option("--split", default=None, help="With --board: as in `snibench run`.")
@click.option("--tasks", type=int, default=None, help="With --board: as in `snibench run`.")
@click.option("--instances", type=int, default=None, help="With --board: as in `snibench run`.")
@click.option("--model", default=None, help="With --board: where its model lies. Default: the name on the board.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, mps.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def reproduce(
    context: click.Context,
    /,
    fit: str,
    folder: Path,
    seed: int | None,
    output: Path | None,
    board: Path | None,
    device: str,
    as_json: bool,
    **where: Any,
) -> None:
    """Run FIT of FOLDER (default: runs) again, and say whether it is reproduced.

    FIT is a fit's id, the beginning of one, or its label. Weights, losses, answers by prompt, scores, gradient
    conflict and forgetting are compared one by one, and what differs between the two machines is listed. Exit code 0
    if all of it is reproduced or within noise, 1 if not.
    """
    require_train("snibench reproduce")
    if board is None:
        items, apart, place = _fit_again(fit, folder, seed, output, device)
    else:
        items, apart, place = _entry_again(fit, board, seed, output or Path("reproduced"), device, where)

    from snibench.report.reproduction import overall

    verdict = overall(items)
    if as_json:
        whole = {
            "verdict": verdict,
            "items": [asdict(one) for one in items],
            "differences": apart,
            "folder": str(place),
        }
        show_text(f"{json.dumps(whole, indent=1, ensure_ascii=False)}\n")
    else:
        for line in _lines(verdict, items, apart):
            click.echo(terminal_safe(line))
        click.echo(f"The new fit: {place}")
    context.exit(0 if verdict != "not reproduced" else 1)


def _lines(verdict: str, items: Sequence[Item], apart: Iterable[tuple[str, str, str]]) -> Iterable[str]:
    yield f"{verdict[:1].upper()}{verdict[1:]}."
    for item in items:
        yield f"  {item.name}: {item.verdict}; {item.text}"
    rows = list(apart)
    yield f"What differs between then and now{':' if rows else ': nothing that is recorded.'}"
    for name, then, now in rows:
        yield f"  {name}: {then}, now {now}"


# ------------------------------------------------------------------------------------- a stored fit


def _fit_again(
    fit: str, folder: Path, seed: int | None, output: Path | None, device: str
) -> tuple[list[Item], list[tuple[str, str, str]], Path]:
    from snibench.fits.again import run_again, stored_rows
    from snibench.report import reproduction
    from snibench.store import Store, read_frame
    from snibench.store.seals import FORGETTING

    store = Store(folder)
    name = _chosen(store, fit, seed)
    spec, record, manifest = store.spec(name), store.record(name), store.manifest()
    if record is None or record.status != "done":
        raise UsageError(f"{name} is not done, so there is nothing to reproduce. Repeat its run first.")
    faults = store.faults(record, by_size=())
    rows = stored_rows(store, name, manifest)
    again = Store(_fresh(output or folder / "reproduced", name))
    new_spec, new = run_again(spec, manifest, rows, again, _runtime(device, record.conflict), _watch)
    if new.status != "done":
        raise StoreError(f"The fit ended as '{new.status}' this time: {new.cause}")
    then, now = store.folder(name), again.folder(new_spec.id)
    items: list[Item] = [*reproduction.stored_items(faults)]
    # What is not what was sealed has its item already.
    if spec.trains and not any(name.startswith("adapter/") for name in faults):
        items.append(reproduction.weights_item(then / "adapter", now / "adapter"))
    for name, compared in (("trace.parquet", reproduction.losses_item), (FORGETTING, reproduction.forgetting_item)):
        paths = [folder / name for folder in (then, now)]
        if name not in faults and all(path.exists() for path in paths):
            items.append(compared(*map(read_frame, paths)))
    for protocol, frame in rows.items():
        fresh = [read_frame(path) for path in (now / "answers").glob(f"{protocol}-*.parquet")]
        if fresh:
            first, again_rows = (one.assign(seed=spec.seed) for one in (frame, fresh[0]))
            items += reproduction.answer_items(first, again_rows, protocol)
    items += reproduction.conflict_items(record.conflict, new.conflict)
    return items, reproduction.differences((spec, record), (new_spec, new)), now


def _chosen(store: Store, fit: str, seed: int | None) -> str:
    """The id of the stored fit that ``fit`` names.

    Raises:
        UsageError: If there is none, or more than one.
    """
    manifest = store.manifest()
    known = {path.parent.name: store.spec(path.parent.name) for path in sorted(store.root.glob("*/spec.json"))}
    labels = {name: manifest.labels.get(name, spec.label) for name, spec in known.items()}
    fits = [name for name in known if name == fit or (len(fit) >= 4 and name.startswith(fit))]
    fits = fits or [name for name, label in labels.items() if label == fit]
    if seed is not None:
        fits = [name for name in fits if known[name].seed == seed]
    if not fits:
        raise unknown("fit", fit, {*known, *labels.values()})
    if len(fits) > 1:
        seeds = ", ".join(f"{name} (seed {known[name].seed})" for name in fits)
        raise UsageError(f"'{fit}' names {len(fits)} fits: {seeds}. Name one by its id, or with --seed.")
    return fits[0]


def _fresh(place: Path, fit: str) -> Path:
    """A folder below ``place`` in which the fit was not done before; one that was stopped goes on."""
    number = 1
    while any((place / f"{fit}-{number}").glob("*/record.json")):
        number += 1
    return place / f"{fit}-{number}"


def _runtime(device: str, conflict: Any) -> Runtime:
    from snibench.fits.run import runtime_from
    from snibench.plan.request import QUICK

    points = set(conflict)
    measured = "full" if len(points) > 2 else "ends" if points else "off"
    options: Any = {"device": device, "executor": "inline", "conflict": measured}
    return runtime_from(options, QUICK)


def _watch(fit: FitPlan) -> FitProgress:
    from snibench.fits.context import FitProgress

    def say(stage: str) -> None:
        click.echo(f"{terminal_safe(fit.spec.label)} seed {fit.spec.seed}: {stage}", err=True)

    return FitProgress(on_stage=say)


# ------------------------------------------------------------------------------- an entry of a board


@installed_names()
def _entry_again(
    label: str, path: Path, seed: int | None, output: Path, device: str, where: dict[str, Any]
) -> tuple[list[Item], list[tuple[str, str, str]], Path]:
    from snibench.leaderboard.again import entry_request, read_entry
    from snibench.leaderboard.entries import forgetting_measure
    from snibench.report import reproduction

    entry, board, stored = read_entry(path, label)
    request = entry_request(entry, board, stored, seed=seed, **where)
    answers = stored.answers[stored.answers["seed"].isin(request.seeds)]
    store, results = _run_request(request, answers, output, label, device, entry["conflict"] or {}, board)
    items: list[Item] = []
    for protocol, rows in answers.groupby("protocol"):
        again = results.answers[results.answers["protocol"] == protocol]
        items += reproduction.answer_items(rows, again, str(protocol))
    if seed is None or entry["seeds"] == [seed]:
        from snibench.report.conflict import conflict_points

        points = conflict_points(results).drop(columns="method").to_dict("records")
        now = {f"{row['share']:g}": {str(key): value for key, value in row.items()} for row in points}
        items += reproduction.conflict_items(entry["conflict"] or {}, now)
        items += reproduction.entry_forgetting_items(entry["forgetting"], forgetting_measure(results))
    then = {"code": entry["config"]["code"], "versions": entry["provenance"]["versions"]}
    record = results.records[0]
    apart = reproduction.value_differences(then, {"code": dict(results.specs[0].source), "versions": record.versions})
    return items, apart, store.root


def _run_request(
    request: Any, answers: Any, output: Path, label: str, device: str, conflict: Any, board: Any
) -> tuple[Store, Any]:
    from snibench.base.hashing import digest
    from snibench.fits.again import possible_limits
    from snibench.fits.inline import run_all
    from snibench.fits.run import manifest_of, placed
    from snibench.leaderboard.again import check_same
    from snibench.plan.plan import plan
    from snibench.store import Store, load_results

    runtime = _runtime(device, conflict)
    rows = {str(name): frame for name, frame in answers.groupby("protocol")}
    asked = [replace(request, limit=limit) for limit in possible_limits(rows)]
    plans = [placed(plan(one), one, runtime.device) for one in asked]
    planned = min(plans, key=lambda one: len(_prompts(one) ^ set(answers["prompt_sha"])))
    check_same(planned.suite.digest, planned.model.ref, board)
    store = Store(_fresh(output, digest(label)[:8]))
    store.prepare()
    store.write_manifest(manifest_of(planned, ()))
    outcomes = run_all(planned, store, runtime, lambda _, fit: _watch(fit))
    return store, load_results(store.root, outcomes=outcomes)


def _prompts(planned: Plan) -> set[str]:
    return {one.prompt_sha for fit in planned.fits for part in fit.questions for one in part.rendered}
