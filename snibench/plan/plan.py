"""From what the user asks to what must be fitted and answered. Values only; loads no weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache

from snibench import __version__
from snibench.base.registry import FORMATS, PROTOCOLS, SUITES
from snibench.base.types import Checked, FitSpec, Mixture, Paths, Question, Recipe, SuiteData
from snibench.contracts import Protocol
from snibench.models.find import ModelSource, find_model, parameter_count
from snibench.plan.choices import Choice, method_choices
from snibench.plan.learning_rates import default_learning_rate
from snibench.plan.questions import QuestionRenderer, QuestionSet
from snibench.plan.request import RunRequest, split_rule

# Changes when tuning or decoding changes what the same spec gives; listed under "Numbers" in CHANGELOG.md.
ENGINE = 5


@dataclass(frozen=True)
class FitPlan:
    """One fit, and what it must answer."""

    spec: FitSpec
    questions: tuple[QuestionSet, ...]
    notes: tuple[str, ...] = ()  # for the record


@dataclass(frozen=True)
class Plan:
    """All fits of a run, the suite they share, and what the user should know before."""

    fits: tuple[FitPlan, ...]
    suite: SuiteData
    model: ModelSource
    baseline: str | None  # label
    notes: tuple[str, ...]
    same: Mapping[str, str] = field(default_factory=dict)  # label of a method -> label under which its fits are shown


def plan(request: RunRequest, *, check: Callable[[ModelSource], Checked] = lambda source: Checked()) -> Plan:
    """Every fit that ``request`` needs, each once, with every question it must answer.

    ``check``: how the model is read (``engine.check``); by default as a plain decoder such as ``tiny``.

    Raises:
        SnibenchError: If a name, setting, file or model cannot be used.
    """
    protocols = {name: _protocol(name, request) for name in request.protocols}
    choices = method_choices(request)
    train_format = FORMATS.get(request.train_format)()
    source = find_model(request.model, trust_remote_code=request.trust_remote_code)
    suite = SUITES.get(request.suite.name)().load(request.suite)
    checked = check(source) if any(not choice.floor for choice in choices) else Checked()
    render = QuestionRenderer(suite, source)
    render.format(request.train_format, train_format)

    asks: dict[Mixture, dict[str, list[Question]]] = {}
    for name, protocol in protocols.items():
        for ask in protocol.plan(suite, request.limit):
            asks.setdefault(ask.mixture, {}).setdefault(name, []).extend(ask.questions)
    specs: dict[str, FitSpec] = {}
    shots: dict[str, int] = {}
    same: dict[str, str] = {}
    told: dict[str, dict[Mixture, None]] = {}  # fit -> the asks that it answers, each once
    for mixture in asks:
        for choice in choices:
            for seed in request.seeds if choice.trains else (0,):
                spec = _spec(request, choice, mixture, suite, source, checked, seed)
                first = specs.setdefault(spec.id, spec)
                if first.label != choice.label:
                    same[choice.label] = first.label
                shots[spec.id] = choice.shots
                told.setdefault(spec.id, {})[mixture] = None

    @cache
    def question_sets(mixtures: tuple[Mixture, ...], shots: int) -> tuple[QuestionSet, ...]:
        return tuple(
            render.question_set(name, protocol.version, questions, shots, ranked=request.rank_labels)
            for name, protocol in protocols.items()
            if (questions := list(dict.fromkeys(one for mixture in mixtures for one in asks[mixture].get(name, ()))))
        )

    fits = tuple(
        FitPlan(spec, question_sets(tuple(told[fit]), shots[fit]), () if spec.floor else checked.notes)
        for fit, spec in specs.items()
    )
    wanted = split_rule(request.baseline or "")
    baseline = next((choice.label for choice in choices if (choice.name, choice.rule) == wanted), None)
    baseline = same.get(baseline, baseline) if baseline else None
    twins = (f"{label} is the same fit as {first}: tuned once, shown under that name." for label, first in same.items())
    left_out = (note for protocol in protocols.values() for note in protocol.notes(suite))
    notes = dict.fromkeys([*suite.notes, *checked.notes, *left_out, *render.notes(), *twins])
    return Plan(fits, suite, source, baseline, tuple(notes), same)


def _spec(
    request: RunRequest,
    choice: Choice,
    mixture: Mixture,
    suite: SuiteData,
    source: ModelSource,
    checked: Checked,
    seed: int,
) -> FitSpec:
    recipe = request.recipe
    if not choice.trains:
        # Nothing is tuned: what only tuning depends on is left out, so that all runs share the answers.
        mixture, recipe = Mixture(()), Recipe(steps=0, max_input=recipe.max_input, max_output=recipe.max_output)
    elif not recipe.learning_rate:
        # Of the method that it is: two names of one fit have one rate.
        name, settings = (twin["method"], twin["settings"]) if (twin := choice.twin) else (choice.name, choice.settings)
        rate = default_learning_rate(name, settings, parameter_count(source.folder))
        recipe = dataclasses.replace(recipe, learning_rate=rate)
    engine = {"snibench": __version__, "engine": str(ENGINE)}
    rules = {key: value for key, value in choice.source.items() if key.startswith("rule_")}
    twin = choice.twin and {**choice.twin, "source": {**choice.twin["source"], **rules, **engine}}
    return FitSpec(
        method=choice.name,
        rule=choice.rule,
        rule_settings=choice.rule_settings,
        settings=choice.settings,
        source={**choice.source, **engine},
        model=source.ref,
        suite=request.suite,
        suite_digest=suite.digest,
        mixture=mixture,
        train_format=request.train_format if choice.trains else "",
        recipe=recipe,
        seed=seed,
        precision=request.precision,
        label=choice.label,
        floor=choice.floor,
        paths=Paths() if choice.floor else checked.paths,
        twin=twin,
    )


def _protocol(name: str, request: RunRequest) -> Protocol:
    kind = PROTOCOLS.get(name)
    settings = kind.quick if request.profile == "quick" else kind.Settings()
    changes = request.protocol_settings.get(name, {})
    protocol: Protocol = kind(dataclasses.replace(settings, **changes))
    return protocol
