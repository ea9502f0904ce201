"""The methods of a run with their rules and settings: those asked for, the baseline and the controls."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snibench.base.errors import PluginError, SnibenchError, UsageError, first_line, unknown
from snibench.base.hashing import file_digest
from snibench.base.registry import METHODS, RULES, SAMPLERS, Registry
from snibench.base.settings import changed_settings, make_settings
from snibench.base.types import ModelInfo, Recipe
from snibench.contracts import Floor, Method, NoSettings, Rule, Sampler, settings_of_seed
from snibench.contracts.hooks import check_hooks, further_names
from snibench.plan import defaults
from snibench.plan.learning_rates import searched_rate, start_rate
from snibench.plan.names import MethodName, parse_method, shown
from snibench.plan.protocols import settings_of_methods
from snibench.plan.request import RunRequest


@dataclass(frozen=True, slots=True)
class Choice:
    """A method with its rule and sampler, and the settings of each, resolved."""

    name: str
    settings: Mapping[str, Any]
    rule: str
    rule_settings: Mapping[str, Any]
    sampler: str
    sampler_settings: Mapping[str, Any]
    own_order: bool  # its tasks are drawn by a sampler of its own
    trains: bool
    floor: bool
    control: bool
    shots: int
    label: str
    source: Mapping[str, str]
    with_model: bool = True  # False: answers come from a heuristic or a file, and no model is loaded
    by_seed: bool = False  # one fit for each seed although it does not train
    elsewhere: str = ""  # what was done outside of snibench

    @property
    def seeded(self) -> bool:
        """Whether it has one fit for each seed."""
        return self.trains or self.by_seed

    def settings_of(self, seed: int) -> Mapping[str, Any]:
        """The settings of one seed's fit, what they name in files resolved.

        Raises:
            UsageError: If a file is missing or cannot be used.
        """
        settings = METHODS.get(self.name).Settings(**self.settings)
        return dataclasses.asdict(settings_of_seed(settings, seed))


@dataclass(frozen=True, slots=True)
class Choices:
    """The methods of a run in the order of its tables, the baseline's label, and what the user should know."""

    methods: tuple[Choice, ...]
    baseline: str | None
    notes: tuple[str, ...] = ()


def method_choices(request: RunRequest) -> Choices:
    """Row 0, the floors, the baseline, and the methods asked for; equal ones once, in this order.

    Raises:
        UsageError: If a setting belongs to nothing, settings contradict each other, or the baseline is a floor.
    """
    settings = settings_of_methods(request)
    run_settings = {**request.everywhere, **settings}
    names = [parse_method(text) for text in request.methods]
    asked = [_choice(name, run_settings, request.rule, request.sampler) for name in names]
    notes: list[str] = _further_names(dict.fromkeys(name.name for name in names))
    if request.ablate:
        parts = [
            _ablated(name, choice, run_settings, request.rule, request.sampler)
            for name, choice in zip(names, asked, strict=True)
        ]
        if not any(parts):
            raise UsageError(f"--ablate leaves out parts that are on, and {_listed(asked)} has none.")
        asked = [one for choice, variants in zip(asked, parts, strict=True) for one in (choice, *variants)]
    baseline = None
    around: list[Choice] = []
    if request.baseline is not None:
        named = parse_method(request.baseline)
        baseline = _choice(named, request.everywhere, "")
        if baseline.floor:
            raise UsageError(
                f"'{request.baseline}' is a floor and takes no part in tests. "
                f"Name a method: --baseline {defaults.METHOD}"
            )
        around = [*(_choice(MethodName(name), {}, "") for name in defaults.BESIDE), baseline]
        notes += _kept(baseline, named, settings)
    _check_settings(settings, asked)
    _check_settings(request.everywhere, [*asked, *around])
    by_label: dict[str, Choice] = {}
    for choice in [*around, *asked]:
        by_label.setdefault(choice.label, choice)
    return Choices(tuple(by_label.values()), baseline.label if baseline else None, tuple(notes))


def _further_names(methods: Iterable[str]) -> list[str]:
    """A note for each method with public names that are no hooks."""
    notes = []
    for name in methods:
        method = METHODS.get(name)
        if issubclass(method, Method) and (names := further_names(method, Method)):
            notes.append(
                f"{name} has public names that are no hooks, so nothing in snibench reads them: "
                f"{', '.join(names)}. Helpers begin with an underscore."
            )
    return notes


def _kept(baseline: Choice, named: MethodName, settings: Mapping[str, Any]) -> list[str]:
    """A note if ``--set`` leaves the baseline another setting than the methods have."""
    keys = [key for key in settings if key in baseline.settings and key not in named.settings]
    if not keys:
        return []
    values = ", ".join(f"{key}={_plain(baseline.settings[key])}" for key in keys)
    return [f"The baseline {baseline.label} keeps {values}: --set reaches the methods asked for, --set-all both."]


def _ablated(
    named: MethodName, choice: Choice, run_settings: Mapping[str, Any], rule: str, sampler: str
) -> list[Choice]:
    """``choice`` without one of its parts each: a switch that is on goes off, and another one where the two need it."""
    switches = [key for key, value in choice.settings.items() if value is True]
    return [_without(named, switch, switches, run_settings, rule, sampler) for switch in switches]


def _without(
    named: MethodName, switch: str, switches: Sequence[str], run_settings: Mapping[str, Any], rule: str, sampler: str
) -> Choice:
    last: UsageError | None = None
    for further in ((), *((other,) for other in switches if other != switch)):
        off = dict.fromkeys((switch, *further), "false")
        try:
            return _choice(dataclasses.replace(named, settings={**named.settings, **off}), run_settings, rule, sampler)
        except UsageError as error:  # the method has no such variant
            last = last or error
    raise UsageError(f"{named.name} cannot be ablated by {switch}: {last}") from last


def _listed(choices: Sequence[Choice]) -> str:
    return ", ".join(choice.label for choice in choices)


@dataclass(frozen=True, slots=True)
class Rate:
    """A learning rate. ``searched``: for the method under the very recipe; ``own``: it is of the method's own."""

    value: float
    searched: bool
    own: bool


def learning_rate(choice: Choice, info: ModelInfo, recipe: Recipe) -> Rate | None:
    """The rate with which the method is tuned in the model where the user names none; None: the user must name one.

    That which was searched for, else the method's own for such a model, moved as the search moved the baseline's.
    """
    found = searched_rate(choice.name, info.parameters, recipe.optimizer, recipe.schedule)
    if found is not None:
        return Rate(found.rate, searched=found.exact, own=False)
    method_type = METHODS.get(choice.name)
    with _asked(choice.name):
        own: float | None = method_type(method_type.Settings(**choice.settings)).base_rate(info, recipe.optimizer)
    if own is None:
        return None
    moved = start_rate(float(own), info.parameters, recipe.optimizer, recipe.schedule)
    return Rate(moved, searched=False, own=True)


def why_unfit(choice: Choice, info: ModelInfo) -> str:
    """The method's own sentence why it has no place in the model; empty where it has, or needs none."""
    if not choice.with_model:
        return ""
    method_type = METHODS.get(choice.name)
    with _asked(choice.name):
        return method_type(method_type.Settings(**choice.settings)).unfit(info) or ""


@contextmanager
def _asked(name: str) -> Iterator[None]:
    """Inside, a method that raises before there is a fit to record it is refused by its name."""
    try:
        yield
    except SnibenchError:
        raise
    except Exception as error:
        cause = f"{type(error).__name__}: {first_line(error)}"
        raise PluginError(f"The method '{name}' cannot be planned: {cause}. Mend it, or leave it out.") from error


def _check_settings(run_settings: Mapping[str, str], choices: Sequence[Choice]) -> None:
    """Raises UsageError if a setting belongs to no method, rule or sampler that was asked for."""
    of_methods = {key: choice.name for choice in choices for key in choice.settings}
    of_rules = {key: choice.rule for choice in choices for key in choice.rule_settings}
    of_samplers = {key: choice.sampler for choice in choices for key in choice.sampler_settings}
    known = {*of_methods, *of_rules, *(f"rule.{key}" for key in of_rules)}
    known |= {*of_samplers, *(f"sampler.{key}" for key in of_samplers)}
    for key in run_settings:
        if key not in known:
            owners = dict.fromkeys(
                one for choice in choices for one in (choice.name, choice.rule, choice.sampler) if one
            )
            raise unknown(f"setting of {', '.join(owners)}", key, known)


def _choice(named: MethodName, run_settings: Mapping[str, Any], default_rule: str, sampler: str = "") -> Choice:
    """A method with its own rule or ``default_rule``, its own sampler or ``sampler``; settings in its name count first.

    ``run_settings`` are those of the whole run.
    """
    name = named.name
    method = METHODS.get(name)
    fields = {one.name for one in dataclasses.fields(method.Settings)}
    with_model = issubclass(method, Method)
    if with_model:
        check_hooks(method, Method)
    own = {key: value for key, value in run_settings.items() if key in fields}
    settings = make_settings(method.Settings, name, {**own, **named.settings})
    floor = issubclass(method, Floor)
    rule = (named.rule or default_rule) if method.trains else ""
    sampler = (named.sampler or sampler) if method.trains else ""
    _, rule_settings, rule_code = _beside(RULES, Rule, rule, named.rule_settings, fields, run_settings)
    drawing, sampler_settings, sampler_code = _beside(
        SAMPLERS, Sampler, sampler, named.sampler_settings, fields, run_settings
    )
    if drawing is not None:
        own_order = drawing.own_order
    else:
        with _asked(name):
            own_order = method.trains and method(settings).sampler().own_order
    # A label is a text for -m (``names``), so that what a table shows can be asked for again.
    label = shown(name) + _changed(settings)
    label += f"+{shown(rule)}{_changed(rule_settings)}" if rule else ""
    label += f"@{shown(sampler)}{_changed(sampler_settings)}" if sampler else ""
    with _asked(name):
        shots = method(settings).shots if with_model else 0
        elsewhere = "" if floor else method(settings).elsewhere
    return Choice(
        name=name,
        settings=dataclasses.asdict(settings),
        rule=rule,
        rule_settings=dataclasses.asdict(rule_settings),
        trains=method.trains,
        floor=floor,
        control=method.control,
        shots=shots,
        sampler=sampler,
        sampler_settings=dataclasses.asdict(sampler_settings),
        own_order=own_order,
        label=label,
        source={**_code(METHODS, name), **rule_code, **sampler_code},
        with_model=with_model,
        by_seed=getattr(settings, "by_seed", False),
        elsewhere=elsewhere,
    )


def _beside(
    registry: Registry,
    contract: type,
    name: str,
    own: Mapping[str, Any],
    of_method: set[str],
    run_settings: Mapping[str, Any],
) -> tuple[Any, Any, dict[str, str]]:
    """Class, settings and code of a rule or sampler that is named beside a method; None and nothing where none is.

    ``own``: the settings in its name, which count first. ``of_method``: the method's keys.
    """
    if not name:
        return None, NoSettings(), {}
    part_type = registry.get(name)  # a typo is reported before any work
    check_hooks(part_type, contract)
    keys = {field.name for field in dataclasses.fields(part_type.Settings)}
    taken = _taken(registry.noun, keys, of_method, run_settings)
    settings = make_settings(part_type.Settings, name, {**taken, **own})
    return part_type, settings, {f"{registry.noun}_{key}": value for key, value in _code(registry, name).items()}


def _taken(group: str, keys: set[str], methods: set[str], run_settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a rule or sampler among ``run_settings``; a name that the method has, too, is the method's."""
    taken = {key: value for key, value in run_settings.items() if key in keys - methods}
    return taken | {key: run_settings[f"{group}.{key}"] for key in keys if f"{group}.{key}" in run_settings}


def _changed(settings: Any) -> str:
    changed = ",".join(f"{key}={_plain(value)}" for key, value in changed_settings(settings).items())
    return f"({changed})" if changed else ""


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _code(registry: Registry, name: str) -> dict[str, str]:
    """Origin of the code behind a name: object, distribution, version, and the digest of its file."""
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
