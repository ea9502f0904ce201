"""From what the user asks to what must be fitted and answered. Values only; loads no weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from snibench.base.errors import UsageError
from snibench.base.registry import FORMATS, METHODS, METRICS, SUITES
from snibench.base.types import Checked, FitSpec, Json, Mixture, Question, Recipe, SuiteData
from snibench.base.version import __version__
from snibench.contracts import Recorded
from snibench.models.find import ModelSource, find_model
from snibench.plan.choices import Choice, learning_rate, method_choices, why_unfit
from snibench.plan.lengths import TokenCounter, check_positions, without_long_prompts
from snibench.plan.protocols import protocols_of
from snibench.plan.questions import QuestionRenderer, QuestionSet, Rendered
from snibench.plan.request import RunRequest, sized

# Changes when tuning or decoding changes what the same spec gives; listed under "Numbers" in CHANGELOG.md.
ENGINE = 5
# Formats that no training prompt had, where several did: else nothing is known of formats that are new.
_FEWEST_UNSEEN = 3


@dataclass(frozen=True)
class FitPlan:
    """One fit, and what it must answer."""

    spec: FitSpec
    questions: tuple[QuestionSet, ...]
    notes: tuple[str, ...] = ()  # for the record
    unfit: str = ""  # why the method has no place in the model: then nothing is tuned and nothing answered

    @property
    def prompts(self) -> dict[str, Rendered]:
        """Every prompt that it must answer, once, by its digest."""
        return {one.prompt_sha: one for part in self.questions for one in part.rendered}


@dataclass(frozen=True)
class Plan:
    """All fits of a run, the suite they share, and what the user should know before."""

    request: RunRequest  # with the profile that the suite's size decides
    fits: tuple[FitPlan, ...]
    suite: SuiteData
    model: ModelSource
    baseline: str | None  # label
    notes: tuple[str, ...]
    controls: tuple[str, ...] = ()  # labels of the yardsticks
    aliases: tuple[str, ...] = ()  # one sentence for each further name of a method that is asked for
    # Of every protocol, resolved: what planned its questions also measures their answers.
    protocol_settings: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)
    limit: int | None = None  # questions per task, format and protocol


def plan(request: RunRequest) -> Plan:
    """Every fit that ``request`` needs, each once, with every question it must answer.

    Nothing here depends on the device, and no torch is imported: ``on_device`` settles the rest.

    Raises:
        SnibenchError: If a name, setting, file or model cannot be used.
    """
    protocols_of(request)  # a setting that cannot be is refused before anything is read
    chosen = method_choices(request)
    choices = chosen.methods
    train_formats = {name: FORMATS.get(name)() for name in request.train_format.split(",")}
    source = find_model(request.model, revision=request.revision, trust_remote_code=request.trust_remote_code)
    suite = SUITES.get(request.suite.name)().load(request.suite)
    request = sized(request, suite)
    protocols = protocols_of(request)
    for name in dict.fromkeys(task.card.metric for task in suite.tasks.values()):
        METRICS.entry(name)  # an answer that cannot be scored is refused before it is asked for
    render = QuestionRenderer(suite, source)
    train_formats = {name: render.format(name, format) for name, format in train_formats.items()}
    if any(choice.with_model for choice in choices):
        check_positions(source.info, request.recipe)

    asks: dict[Mixture, dict[str, list[Question]]] = {}
    for name, protocol in protocols.items():
        for ask in protocol.plan(suite, request.limit):
            asks.setdefault(ask.mixture, {}).setdefault(name, []).extend(ask.questions)
    if not asks:
        why = [note for protocol in protocols.values() for note in protocol.notes(suite)]
        raise UsageError(" ".join([f"No question is asked by {', '.join(protocols)} of {suite.name}.", *why]))
    _check_unseen_formats(asks, train_formats)
    _check_orders(choices, asks)
    reasons = {choice.label: why_unfit(choice, source.info) for choice in choices}
    specs: dict[str, FitSpec] = {}
    shots: dict[str, int] = {}
    same: dict[str, str] = {}
    unfit: dict[str, str] = {}
    mixtures_of_fit: dict[str, dict[Mixture, None]] = {}  # fit -> the asks that it answers, each once
    resolved = {
        (choice.label, seed): choice.settings_of(seed)
        for choice in choices
        for seed in (request.seeds if choice.seeded else (0,))
    }
    for mixture in asks:
        for choice in choices:
            for seed in request.seeds if choice.seeded else (0,):
                spec = _spec(request, choice, resolved[choice.label, seed], mixture, suite, source, seed)
                first = specs.setdefault(spec.id, spec)
                if first.label != choice.label:
                    same[choice.label] = first.label
                shots[spec.id] = choice.shots
                unfit[spec.id] = reasons[choice.label]
                mixtures_of_fit.setdefault(spec.id, {})[mixture] = None

    @cache
    def question_sets(mixtures: tuple[Mixture, ...], shots: int) -> tuple[QuestionSet, ...]:
        return tuple(
            render.question_set(name, protocol.version, questions, shots, ranked=request.rank_labels)
            for name, protocol in protocols.items()
            if (questions := list(dict.fromkeys(one for mixture in mixtures for one in asks[mixture].get(name, ()))))
        )

    shortened: tuple[str, ...] = ()
    if any(choice.trains for choice in choices):
        counter = TokenCounter(source, trust_remote_code=request.trust_remote_code)
        for format in train_formats.values():
            suite, cut = without_long_prompts(suite, format, request.recipe.max_input, counter)
            shortened += cut
    fits = tuple(
        FitPlan(
            spec,
            question_sets(tuple(mixtures_of_fit[fit]), shots[fit]),
            shortened if spec.trains else (),
            unfit[fit],
        )
        for fit, spec in specs.items()
    )
    _check_recorded(fits)
    baseline = chosen.baseline
    baseline = same.get(baseline, baseline) if baseline else None
    controls = tuple(dict.fromkeys(same.get(one.label, one.label) for one in choices if one.control))
    aliases = tuple(f"{label} is {first}: tuned once, shown under that name." for label, first in same.items())
    left_out = (note for protocol in protocols.values() for note in protocol.notes(suite))
    skipped = (f"{label} is skipped: {reason}" for label, reason in reasons.items() if reason)
    settings = {name: dataclasses.asdict(protocol.settings) for name, protocol in protocols.items()}
    foreign = (f"{one.label}: {one.elsewhere}." for one in choices if one.elsewhere)
    parts = (suite.notes, shortened, left_out, render.notes(), chosen.notes, aliases, skipped, foreign)
    notes = dict.fromkeys(note for part in parts for note in part)
    return Plan(request, fits, suite, source, baseline, tuple(notes), controls, aliases, settings, request.limit)


def on_device(planned: Plan, precision: str, checked: Checked) -> Plan:
    """``planned`` with the precision that a device computes in, and the paths by which its model is read there."""

    def settled(fit: FitPlan) -> FitPlan:
        if fit.spec.floor:
            return dataclasses.replace(fit, spec=dataclasses.replace(fit.spec, precision=precision))
        spec = dataclasses.replace(fit.spec, precision=precision, paths=checked.paths)
        return dataclasses.replace(fit, spec=spec, notes=(*checked.notes, *fit.notes))

    fits = tuple(map(settled, planned.fits))
    return dataclasses.replace(planned, fits=fits, notes=tuple(dict.fromkeys((*planned.notes, *checked.notes))))


def _check_recorded(fits: Iterable[FitPlan]) -> None:
    """Raises DataError if a prompt lacks an answer that should have been given outside of snibench."""
    for fit in fits:
        method = METHODS.get(fit.spec.method)
        if issubclass(method, Recorded):
            method(method.Settings(**fit.spec.settings)).answers(fit.prompts)


def _check_unseen_formats(asks: Mapping[Mixture, Mapping[str, Sequence[Question]]], trained: Collection[str]) -> None:
    """Raises UsageError if training in several formats leaves too few of those that a protocol compares unseen."""
    for questions in asks.values() if len(trained) > 1 else ():
        for protocol, some in questions.items():
            formats = {question.format for question in some}
            if len(formats) > 1 and len(unseen := formats.difference(trained)) < _FEWEST_UNSEEN:
                raise UsageError(
                    f"Training in {', '.join(trained)} leaves {len(unseen)} of the {len(formats)} formats of "
                    f"'{protocol}' unseen, but {_FEWEST_UNSEEN} are needed. Train in fewer, or ask in more formats."
                )


def _check_orders(choices: Sequence[Choice], mixtures: Iterable[Mixture]) -> None:
    """Raises UsageError if a method draws tasks in its own order where a protocol weighs them."""
    if not any(mixture.weights for mixture in mixtures):
        return
    for choice in choices:
        if choice.own_order:
            raise UsageError(
                f"{choice.label} draws tasks in an order of its own, and a protocol of this run gives tasks weights. "
                "Leave out that protocol's fits (--combos switch) or the sampler."
            )


def _spec(
    request: RunRequest,
    choice: Choice,
    settings: Mapping[str, Json],
    mixture: Mixture,
    suite: SuiteData,
    source: ModelSource,
    seed: int,
) -> FitSpec:
    recipe, searched = request.recipe, False
    if not choice.trains:
        # Nothing is tuned: what only tuning depends on is left out, so that all runs share the answers.
        mixture, recipe = Mixture(()), Recipe(steps=0, max_input=recipe.max_input, max_output=recipe.max_output)
    elif not recipe.learning_rate:
        rate = learning_rate(choice, source.info, recipe)
        if rate is None:
            raise UsageError(f"'{choice.name}' names no learning rate for this model. Name one: --learning-rate 0.001")
        recipe, searched = dataclasses.replace(recipe, learning_rate=rate.value), rate.searched
    engine = {"snibench": __version__, "engine": str(ENGINE)}
    return FitSpec(
        method=choice.name,
        rule=choice.rule,
        rule_settings=choice.rule_settings,
        sampler=choice.sampler,
        sampler_settings=choice.sampler_settings,
        settings=settings,
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
        elsewhere=choice.elsewhere,
        searched=searched,
    )
