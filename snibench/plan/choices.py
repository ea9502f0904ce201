"""The methods of a run with their rules and settings: those asked for, the baseline and the controls."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snibench.base.errors import UsageError, unknown
from snibench.base.hashing import file_digest
from snibench.base.registry import METHODS, RULES, Registry
from snibench.base.settings import changed_settings, make_settings
from snibench.base.types import ModelInfo
from snibench.contracts import Floor, NoSettings
from snibench.plan.protocols import settings_of_methods
from snibench.plan.request import RunRequest, split_rule

# What stands in every table before the baseline.
BESIDE = ("untuned", "copy-input", "majority")


@dataclass(frozen=True, slots=True)
class Choice:
    """A method with its rule and the settings of both, resolved."""

    name: str
    settings: Mapping[str, Any]
    rule: str
    rule_settings: Mapping[str, Any]
    trains: bool
    floor: bool
    shots: int
    label: str
    source: Mapping[str, str]


def method_choices(request: RunRequest) -> list[Choice]:
    """Row 0, the floors, the baseline, and the methods asked for; equal ones once, in this order."""
    settings = settings_of_methods(request)
    asked = [_choice(name, settings, request.rule) for name in request.methods]
    _check_settings(settings, asked)
    around = [] if request.baseline is None else [_choice(name, {}, "") for name in (*BESIDE, request.baseline)]
    if request.baseline is not None and around[-1].floor:
        raise UsageError(
            f"'{request.baseline}' is a floor and takes no part in tests. Name a method: --baseline untuned"
        )
    found: dict[str, Choice] = {}
    for choice in [*around, *asked]:
        found.setdefault(choice.label, choice)
    return list(found.values())


def why_unfit(choice: Choice, info: ModelInfo) -> str:
    """The method's own sentence why it has no place in the model; empty where it has, and for floors."""
    if choice.floor:
        return ""
    kind = METHODS.get(choice.name)
    return kind(kind.Settings(**choice.settings)).unfit(info) or ""


def _check_settings(given: Mapping[str, str], choices: Sequence[Choice]) -> None:
    """Raises UsageError if a setting belongs to no method and no rule that was asked for."""
    of_methods = {key: choice.name for choice in choices for key in choice.settings}
    of_rules = {key: choice.rule for choice in choices for key in choice.rule_settings}
    known = {*of_methods, *of_rules, *(f"rule.{key}" for key in of_rules)}
    for key in given:
        if key not in known:
            owners = dict.fromkeys(one for choice in choices for one in (choice.name, choice.rule) if one)
            raise unknown(f"setting of {', '.join(owners)}", key, known)


def _choice(name: str, given: Mapping[str, str], rule: str) -> Choice:
    """A method with a rule of its own (``name`` is ``method+rule``) or with ``rule``, and the settings of both."""
    name, own_rule = split_rule(name)
    method = METHODS.get(name)
    fields = {one.name for one in dataclasses.fields(method.Settings)}
    settings = make_settings(method.Settings, name, {key: text for key, text in given.items() if key in fields})
    source = _code(METHODS, name)
    floor = issubclass(method, Floor)
    rule = (own_rule or rule) if method.trains else ""
    rule_settings: Any = NoSettings()
    if rule:
        kind = RULES.get(rule)  # a typo is told before any work
        own = {one.name for one in dataclasses.fields(kind.Settings)}
        # A name that both have is the method's; rule.NAME is always the rule's.
        taken = {key: text for key, text in given.items() if key in own - fields}
        taken |= {key: given[f"rule.{key}"] for key in own if f"rule.{key}" in given}
        rule_settings = make_settings(kind.Settings, rule, taken)
        source |= {f"rule_{key}": value for key, value in _code(RULES, rule).items()}
    short = name.rpartition(":")[2] if ".py:" in name else name
    return Choice(
        name=name,
        settings=dataclasses.asdict(settings),
        rule=rule,
        rule_settings=dataclasses.asdict(rule_settings),
        trains=method.trains,
        floor=floor,
        shots=0 if floor else method(settings).shots,
        label=short + _changed(settings) + (f"+{rule}{_changed(rule_settings)}" if rule else ""),
        source=source,
    )


def _changed(settings: Any) -> str:
    changed = ",".join(f"{key}={_plain(value)}" for key, value in changed_settings(settings).items())
    return f"({changed})" if changed else ""


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _code(registry: Registry, name: str) -> dict[str, str]:
    """Whose code a name runs: object, distribution, version, and the digest of its file."""
    if ".py:" in name:
        path, _, attribute = name.rpartition(":")
        return {"object": attribute, "distribution": "file", "version": "", "file": file_digest(Path(path))}
    entry = registry.entry(name)
    module = importlib.util.find_spec(entry.point.module)
    origin = module.origin if module else None
    return {
        "object": entry.point.value,
        "distribution": entry.distribution,
        "version": entry.version,
        "file": file_digest(Path(origin)) if origin else "",
    }
