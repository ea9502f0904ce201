"""Whether a fit that was run again is the same: item by item, and what differs between the two machines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from snibench.base.types import FitRecord, FitSpec

if TYPE_CHECKING:
    import pandas as pd

Verdict = Literal["reproduced", "within noise", "not reproduced"]
_ORDER: tuple[Verdict, ...] = ("reproduced", "within noise", "not reproduced")
# Relative distance of weights and losses that rounding in another order leaves.
_ROUNDING = 1e-3
# Share of prompts that may be answered otherwise: rounding decides between two words that are as likely.
_OTHERWISE = 0.05
_LEVEL = 0.05  # of the sign test that the scores differ to one side
_QUESTION = ["seed", "variant", "format", "task", "instance", "stream", "position", "prompt_sha"]


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that was compared."""

    name: str
    verdict: Verdict
    text: str


def overall(items: Iterable[Item]) -> Verdict:
    """The worst verdict."""
    return max((item.verdict for item in items), key=_ORDER.index, default="not reproduced")


def weights_item(first: Path, again: Path) -> Item:
    """Tuned parameters in two folders of adapters, tensor by tensor."""
    one, other = _tensors(first), _tensors(again)
    if one.keys() != other.keys() or any(one[name].shape != other[name].shape for name in one):
        return Item("weights", "not reproduced", "other tensors, or tensors of other shapes")
    if all((one[name] == other[name]).all() for name in one):
        return Item("weights", "reproduced", f"{len(one)} tensors are equal, bit by bit")
    square = sum(float(((one[name] - other[name]) ** 2).sum()) for name in one)
    whole = sum(float((one[name] ** 2).sum()) for name in one)
    distance = (square / whole) ** 0.5 if whole else float("inf")
    verdict: Verdict = "within noise" if distance <= _ROUNDING else "not reproduced"
    return Item("weights", verdict, f"relative distance {distance:.2g} (rounding: up to {_ROUNDING:g})")


def _tensors(folder: Path) -> dict[str, Any]:
    """Arrays by file and name, in double precision."""
    import numpy as np
    from safetensors import safe_open

    tensors = {}
    for path in sorted(folder.rglob("*.safetensors")):
        with safe_open(path, framework="np") as file:
            for name in file.keys():  # noqa: SIM118 (not a mapping)
                tensors[f"{path.name}/{name}"] = np.asarray(file.get_tensor(name), dtype=np.float64)
    return tensors


def losses_item(first: pd.DataFrame, again: pd.DataFrame) -> Item:
    """The training loss of every step."""
    if len(first) != len(again):
        return Item("losses", "not reproduced", f"{len(first)} steps, now {len(again)}")
    one, other = first["loss"].to_numpy(), again["loss"].to_numpy()
    if (one == other).all():
        return Item("losses", "reproduced", f"equal in all {len(one)} steps")
    distance = float((abs(one - other) / abs(one).clip(1e-12)).max())
    verdict: Verdict = "within noise" if distance <= _ROUNDING else "not reproduced"
    return Item("losses", verdict, f"at most {distance:.2g} apart, relatively (rounding: up to {_ROUNDING:g})")


def forgetting_item(first: pd.DataFrame, again: pd.DataFrame) -> Item:
    """The loss per token of every passage of general text, before and after tuning."""
    columns = ["passage", "tokens"]
    if not first[columns].equals(again[columns]):
        return Item("forgetting", "not reproduced", "other passages, or other tokens")
    one, other = first[["before", "after"]].to_numpy(), again[["before", "after"]].to_numpy()
    then, now = ((ends[:, 1] - ends[:, 0]).mean() for ends in (one, other))
    means = f"mean {then:.4g} nats, now {now:.4g}"
    if (one == other).all():
        return Item("forgetting", "reproduced", f"equal on all {len(one)} passages, mean {then:.4g} nats")
    distance = float((abs(one - other) / abs(one).clip(1e-12)).max())
    verdict: Verdict = "within noise" if distance <= _ROUNDING else "not reproduced"
    return Item("forgetting", verdict, f"{means}; losses at most {distance:.2g} apart, relatively")


def entry_forgetting_items(
    first: Mapping[str, float | None] | None, again: Mapping[str, float | None] | None
) -> Iterator[Item]:
    """The forgetting of an entry of a board (mean, ci_low, ci_high), if both measured it."""
    if first and again and first["mean"] is not None and again["mean"] is not None:
        yield _interval_item("forgetting", first["mean"], first["ci_low"], first["ci_high"], again["mean"])


def answer_items(first: pd.DataFrame, again: pd.DataFrame, protocol: str) -> Iterator[Item]:
    """Answers by prompt, and scores, of one protocol; rows of both have ``seed``."""
    both = first.merge(again, on=_QUESTION, suffixes=("", "_again"), validate="one_to_one")
    lost = len(first) - len(both)
    if not len(both):
        yield Item(
            f"answers of {protocol}", "not reproduced", "no prompt was asked again: the questions are others now"
        )
        return
    otherwise = int((both["prediction"] != both["prediction_again"]).sum())
    verdict: Verdict = (
        "reproduced"
        if not otherwise and not lost
        else "within noise"
        if otherwise <= _OTHERWISE * len(both) and not lost
        else "not reproduced"
    )
    missing = f"; {lost} prompts were not asked again" if lost else ""
    yield Item(
        f"answers of {protocol}",
        verdict,
        f"{len(both) - otherwise} of {len(both)} prompts have the same answer{missing}",
    )
    yield _scores(both, protocol)


def _scores(both: pd.DataFrame, protocol: str) -> Item:
    from scipy.stats import binomtest

    difference = both["score_again"] - both["score"]
    better, worse = int((difference > 0).sum()), int((difference < 0).sum())
    means = f"mean {100 * both['score'].mean():.2f}%, now {100 * both['score_again'].mean():.2f}%"
    if not better + worse:
        return Item(f"scores of {protocol}", "reproduced", f"{means}: equal on every prompt")
    p = float(binomtest(better, better + worse).pvalue)
    verdict: Verdict = "within noise" if p >= _LEVEL else "not reproduced"
    return Item(f"scores of {protocol}", verdict, f"{means}; {better} better, {worse} worse, sign test p = {p:.2g}")


def conflict_items(
    first: Mapping[str, Mapping[str, float]], again: Mapping[str, Mapping[str, float]]
) -> Iterator[Item]:
    """Gradient conflict at each share of the training that both measured."""
    for share in sorted(set(first) & set(again)):
        one, other = first[share].get("score"), again[share].get("score")
        if one is None or other is None:
            continue
        ends = first[share].get("score_low"), first[share].get("score_high")
        yield _interval_item(f"conflict at {share}", one, *ends, other)


def _interval_item(name: str, one: float, low: float | None, high: float | None, other: float) -> Item:
    """A number with its stored interval, None where there was none, and the number of now."""
    if one == other:
        return Item(name, "reproduced", f"{one:.4g}, equal")
    low, high = one if low is None else low, one if high is None else high
    inside = low <= other <= high or abs(one - other) <= _ROUNDING * abs(one)
    verdict: Verdict = "within noise" if inside else "not reproduced"
    return Item(name, verdict, f"{one:.4g} [{low:.4g}, {high:.4g}], now {other:.4g}")


def stored_items(faults: Mapping[str, str]) -> Iterator[Item]:
    """Stored files that are not what was sealed, which nothing reproduces; ``faults`` by name."""
    for name, fault in faults.items():
        yield Item(f"stored {name}", "not reproduced", fault)


def differences(first: tuple[FitSpec, FitRecord], again: tuple[FitSpec, FitRecord]) -> list[tuple[str, str, str]]:
    """(what, then, now) for everything of spec, device and versions that differs; places and labels do not count."""
    then, now = (
        {
            **{name: value for name, value in asdict(spec).items() if name not in _PLACES},
            "device": record.device,
            "versions": dict(record.versions),
        }
        for spec, record in (first, again)
    )
    return value_differences(then, now)


def value_differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(what, then, now) for every value that differs."""
    one, other = _flat(then), _flat(now)
    return [
        (name, str(one.get(name, "not recorded")), str(other.get(name, "not recorded")))
        for name in dict.fromkeys([*one, *other])
        if one.get(name) != other.get(name)
    ]


_PLACES = {"label", "suite", "searched", "method"}


def _flat(values: Mapping[str, Any], head: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{head}{key}.")
        else:
            flat[f"{head}{key}"] = json.loads(json.dumps(value, default=str))
    return flat
