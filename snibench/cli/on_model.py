"""A method on a model, in lines: ``snibench show NAME --model MODEL``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from snibench.base.wording import counted
from snibench.cli.extras import has_train
from snibench.cli.output import plain_text

if TYPE_CHECKING:
    from rich.console import Console

    from snibench.fits.attached import Attached
    from snibench.plan.on_model import OnModel

_NAMED = 3  # tensors outside of adapted layers that are named


def find_on_model(name: str, options: Mapping[str, Any]) -> OnModel:
    """The method called ``name``, as ``-m`` takes it, on the model of ``options``.

    Raises:
        SnibenchError: If a name, setting, file or model cannot be used.
    """
    from snibench.plan.on_model import on_model
    from snibench.plan.options import request_from

    return on_model(request_from([name], {**options}))  # type: ignore[typeddict-item]


def print_on_model(out: Console, found: OnModel, *, trust_remote_code: bool) -> None:
    """What the method is on the model; its parameters only where torch is installed."""
    from rich.table import Table

    info, choice = found.model.info, found.choice
    out.print(plain_text(f"\n{choice.label} on {found.model.ref.spec}", "bold"), soft_wrap=True)
    rows = {"Model": f"{info.architecture}, {info.parameters:,} stored numbers"}
    if not choice.with_model:
        rows = {"Model": "none is loaded: its answers come from a heuristic or a file"}
    elif found.unfit:
        rows["Unfit"] = f"{found.unfit} A run skips its fits."
    else:
        rows |= _rows(found, trust_remote_code)
    table = Table.grid(padding=(0, 2))
    for title, text in rows.items():
        table.add_row(plain_text(f"  {title}"), plain_text(text))
    out.print(table)


def _rows(found: OnModel, trust_remote_code: bool) -> dict[str, str]:
    choice = found.choice
    rows, moved, rule = {"Trainable": "known where the extra 'train' is installed"}, [], choice.rule or "its own"
    if has_train():
        from snibench.fits.attached import attached

        parts = attached(found, trust_remote_code=trust_remote_code)
        rows, moved, rule = _parameters(parts, found), _moved(parts, found), parts.rule
    if choice.trains:
        rows |= {"Rate": _rate(found), **({"Groups": "\n".join(moved)} if moved else {})}
        rows |= {"Rule": rule, "Sampler": found.sampler}
    if choice.shots:
        rows["Shots"] = f"{counted(choice.shots, 'positive example')} in every prompt"
    if choice.elsewhere:
        rows["Origin"] = choice.elsewhere
    return rows


def _parameters(parts: Attached, found: OnModel) -> dict[str, str]:
    from snibench.engine.adapted_layers import described

    if not parts.trainable:
        return {"Trainable": f"nothing; {parts.total:,} parameters are as they are"}
    share = f"{100 * parts.trainable / parts.total:.3g} %"
    rows = {"Trainable": f"{parts.trainable:,} parameters, {share} of {parts.total:,}"}
    if parts.of_tasks:
        seen = f"{counted(len(found.suite.seen), 'seen task')} of suite {found.suite.name}"
        rows["Of tasks"] = f"{parts.of_tasks:,} of them, for {seen}"
    if parts.adapted:
        whole = "" if parts.adapted == parts.adaptable else f", of {len(parts.adaptable)} that adapters go into"
        rows["Layers"] = f"{described(parts.adapted)}{whole}"
    if parts.elsewhere:
        named = [f"{name} ({size:,})" for name, size in list(parts.elsewhere.items())[:_NAMED]]
        if further := list(parts.elsewhere.values())[_NAMED:]:
            named.append(f"{counted(len(further), 'further tensor')} ({sum(further):,})")
        rows["Elsewhere"] = ", ".join(named)
    if parts.loaded:
        rows["Weights"] = "read: the method looks at them"
    return rows


def _rate(found: OnModel) -> str:
    rate = found.rate
    if rate is None:
        return "none: a run must name one, such as --learning-rate 0.001"
    if rate.searched:
        return f"{rate.value:g}, searched for"
    if rate.own:
        return f"{rate.value:g}, the method's own, moved as the search moved the baseline's; --tune-budget searches"
    return f"{rate.value:g}, by a search under another schedule"


def _moved(parts: Attached, found: OnModel) -> list[str]:
    """A line for each group of parameters, where not all are moved alike by the run's rate."""
    plain = type(parts.moved[0].group)() if parts.moved else None
    if all(one.group == plain for one in parts.moved):
        return []
    lines = []
    for one in parts.moved:
        rate = "" if found.rate is None else f" = {one.group.scale * found.rate.value:.3g}"
        decay = f", weight decay {one.group.decay:g}" if one.group.decay else ""
        size = f"{counted(one.tensors, 'tensor')}, {one.parameters:,} parameters"
        lines.append(f"{size}: {one.group.scale:g} x the rate{rate}{decay}")
    return lines
