"""From what the user asks to what must be fitted and answered. Values only; loads no weights."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from snibench import __version__
from snibench.api import Floor, Format, NoSettings, Protocol
from snibench.backbone import ModelSource, find_model, parameter_count
from snibench.batches import with_history
from snibench.errors import UsageError, unknown
from snibench.formats.base import with_shots
from snibench.rates import default_learning_rate
from snibench.registry import FORMATS, METHODS, PROTOCOLS, RULES, SUITES, Registry
from snibench.settings import changed_settings, make_settings
from snibench.text import derive_seed, digest, file_digest
from snibench.types import FitSpec, Instance, Mixture, Prompt, Question, Recipe, SuiteData, SuiteRequest

# Changes when tuning or decoding changes what the same spec gives; listed under "Numbers" in CHANGELOG.md.
ENGINE = 4

# What stands in every table before the baseline.
BESIDE = ("untuned", "copy-input", "majority")

QUICK_STEPS = 90
# Two epochs over 100 instances of each of the 756 official training tasks, 32 instances a step.
PAPER_STEPS = 4725


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What the user asks of one run."""

    methods: tuple[str, ...]
    suite: SuiteRequest
    model: str
    rule: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)  # for the methods asked for, not the baseline
    baseline: str | None = "unified-prompt"
    protocols: tuple[str, ...] = ("gap", "formats", "combos")
    protocol_settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    profile: str = "quick"
    train_format: str = "definition"
    seeds: tuple[int, ...] = (0, 1, 2)
    recipe: Recipe = Recipe(steps=QUICK_STEPS)  # noqa: RUF009 (frozen); learning_rate 0 = the method's own
    limit: int | None = None
    rank_labels: bool = False  # store the likeliest label of closed tasks beside what is said
    precision: str = "float32"
    trust_remote_code: bool = False


@dataclass(frozen=True, slots=True)
class Rendered:
    """A question as it is asked: its prompt and what identifies it among all prompts of a task."""

    question: Question
    prompt: Prompt
    prompt_sha: str
    targets: tuple[str, ...]


@dataclass(frozen=True)
class QuestionSet:
    """All questions of one protocol for one fit. ``digest`` covers protocol version, order, prompts and ``ranked``.

    ``ranked``: the labels of closed tasks are ranked, too.
    """

    protocol: str
    version: int
    digest: str
    rendered: tuple[Rendered, ...]
    ranked: bool = False


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


def plan(request: RunRequest) -> Plan:
    """Every fit that ``request`` needs, each once, with every question it must answer.

    Raises:
        SnibenchError: If a name, setting, file or model cannot be used.
    """
    protocols = {name: _protocol(name, request) for name in request.protocols}
    choices = _method_choices(request)
    train_format = FORMATS.get(request.train_format)()
    source = find_model(request.model, trust_remote_code=request.trust_remote_code)
    suite = SUITES.get(request.suite.name)().load(request.suite)
    render = _Renderer(suite, source)
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
                spec = _spec(request, choice, mixture, suite, source, seed)
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

    fits = tuple(FitPlan(spec, question_sets(tuple(told[fit]), shots[fit])) for fit, spec in specs.items())
    wanted = split_rule(request.baseline or "")
    baseline = next((choice.label for choice in choices if (choice.name, choice.rule) == wanted), None)
    baseline = same.get(baseline, baseline) if baseline else None
    twins = (f"{label} is the same fit as {first}: tuned once, shown under that name." for label, first in same.items())
    left_out = (note for protocol in protocols.values() for note in protocol.notes(suite))
    notes = dict.fromkeys([*suite.notes, *left_out, *render.notes(), *twins])
    return Plan(fits, suite, source, baseline, tuple(notes), same)


# ------------------------------------------------------------------------------------ methods


@dataclass(frozen=True, slots=True)
class _Choice:
    name: str
    settings: Mapping[str, Any]
    rule: str
    rule_settings: Mapping[str, Any]
    trains: bool
    floor: bool
    shots: int
    label: str
    source: Mapping[str, str]
    twin: Mapping[str, Any] | None


def _method_choices(request: RunRequest) -> list[_Choice]:
    """Row 0, the floors, the baseline, and the methods asked for; equal ones once, in this order."""
    asked = [_choice(name, request.settings, request.rule) for name in request.methods]
    _check_settings(request.settings, asked)
    around = [] if request.baseline is None else [_choice(name, {}, "") for name in (*BESIDE, request.baseline)]
    if request.baseline is not None and around[-1].floor:
        raise UsageError(
            f"'{request.baseline}' is a floor and takes no part in tests. Name a method: --baseline untuned"
        )
    found: dict[str, _Choice] = {}
    for choice in [*around, *asked]:
        found.setdefault(choice.label, choice)
    return list(found.values())


def _check_settings(given: Mapping[str, str], choices: Sequence[_Choice]) -> None:
    """Raises UsageError if a setting belongs to no method and no rule that was asked for."""
    of_methods = {key: choice.name for choice in choices for key in choice.settings}
    of_rules = {key: choice.rule for choice in choices for key in choice.rule_settings}
    known = {*of_methods, *of_rules, *(f"rule.{key}" for key in of_rules)}
    for key in given:
        if key not in known:
            owners = dict.fromkeys(one for choice in choices for one in (choice.name, choice.rule) if one)
            raise unknown(f"setting of {', '.join(owners)}", key, known)


def split_rule(name: str) -> tuple[str, str]:
    """Method and rule of ``method+rule``; an empty rule where none is named."""
    method, plus, rule = name.rpartition("+")
    return (method, rule) if plus and ".py:" not in rule else (name, "")


def _choice(name: str, given: Mapping[str, str], rule: str) -> _Choice:
    """A method with a rule of its own (``name`` is ``method+rule``) or with ``rule``, and the settings of both."""
    name, own_rule = split_rule(name)
    method = METHODS.get(name)
    fields = {one.name for one in dataclasses.fields(method.Settings)}
    settings = make_settings(method.Settings, name, {key: text for key, text in given.items() if key in fields})
    source = _code(METHODS, name)
    floor = issubclass(method, Floor)
    twin = None if floor else method.same_as(settings)
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
    return _Choice(
        name=name,
        settings=dataclasses.asdict(settings),
        rule=rule,
        rule_settings=dataclasses.asdict(rule_settings),
        trains=method.trains,
        floor=floor,
        shots=0 if floor else method(settings).shots,
        label=short + _changed(settings) + (f"+{rule}{_changed(rule_settings)}" if rule else ""),
        source=source,
        twin=None
        if twin is None
        else {"method": twin[0], "settings": dict(twin[1]), "source": _code(METHODS, twin[0])},
    )


def _changed(settings: Any) -> str:
    changed = ",".join(f"{key}={_plain(value)}" for key, value in changed_settings(settings).items())
    return f"({changed})" if changed else ""


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _code(registry: Registry, name: str) -> dict[str, str]:
    """Whose code a name runs: distribution, version, and the digest of its file."""
    if ".py:" in name:
        return {"distribution": "file", "version": "", "file": file_digest(Path(name.rpartition(":")[0]))}
    entry = registry.entry(name)
    module = importlib.util.find_spec(entry.point.module)
    origin = module.origin if module else None
    return {
        "distribution": entry.distribution,
        "version": entry.version,
        "file": file_digest(Path(origin)) if origin else "",
    }


def _spec(
    request: RunRequest, choice: _Choice, mixture: Mixture, suite: SuiteData, source: ModelSource, seed: int
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
        twin=twin,
    )


# ---------------------------------------------------------------------------------- questions


def _protocol(name: str, request: RunRequest) -> Protocol:
    kind = PROTOCOLS.get(name)
    settings = kind.quick if request.profile == "quick" else kind.Settings()
    changes = request.protocol_settings.get(name, {})
    protocol: Protocol = kind(dataclasses.replace(settings, **changes))
    return protocol


class _Renderer:
    """Renders questions for one suite and tokenizer."""

    def __init__(self, suite: SuiteData, source: ModelSource) -> None:
        self._suite = suite
        self._source = source
        self._formats: dict[str, Format] = {}
        self._instances: dict[str, dict[str, Instance]] = {}
        self._rendered: dict[tuple[Question, int], Rendered] = {}

    def format(self, name: str, format: Format | None = None) -> Format:
        """The format called ``name``, bound to the model's tokenizer where it asks for one."""
        if name not in self._formats:
            format = format or FORMATS.get(name)()
            if type(format).bind is not Format.bind:
                from transformers import AutoTokenizer

                format = format.bind(AutoTokenizer.from_pretrained(self._source.folder))
            self._formats[name] = format
        return self._formats[name]

    def notes(self) -> list[str]:
        """What the formats used so far show otherwise than they promise."""
        cards = [task.card for task in self._suite.tasks.values()]
        return [note for format in self._formats.values() for note in format.notes(cards)]

    def instance(self, task: str, id: str) -> Instance:
        """One instance of the suite by its id."""
        if task not in self._instances:
            known = [*self._suite.context.get(task, ()), *self._suite.evaluation.get(task, ())]
            self._instances[task] = {one.id: one for one in known}
        return self._instances[task][id]

    def question_set(
        self, protocol: str, version: int, questions: Sequence[Question], shots: int, *, ranked: bool
    ) -> QuestionSet:
        """``questions`` rendered, with the digest under which their answers are stored."""
        rendered = tuple(self._render(question, shots) for question in questions)
        identity = [
            [one.question.task, one.question.instance, one.question.variant, one.question.stream,
             one.question.position, one.prompt_sha]
            for one in rendered
        ]  # fmt: skip
        whole = [protocol, version, identity, *(["labels ranked"] if ranked else [])]
        return QuestionSet(protocol, version, digest(whole)[:16], rendered, ranked)

    def _render(self, question: Question, shots: int) -> Rendered:
        if (question, shots) not in self._rendered:
            self._rendered[question, shots] = self._as_asked(question, shots)
        return self._rendered[question, shots]

    def _as_asked(self, question: Question, shots: int) -> Rendered:
        card = self._suite.tasks[question.task].card
        instance = self.instance(question.task, question.instance)
        # The same bytes for every method and training seed: the prompt's randomness hangs on the question alone.
        rng = Random(derive_seed("prompt", question.task, question.instance))
        format = self.format(question.format)
        prompt = format.render(card, instance.input, rng)
        if shots:
            prompt = with_shots(prompt, format, card, instance.input, shots)
        turns = [self.instance(turn.task, turn.instance) for turn in question.history]
        if turns:
            prompt = with_history(prompt, [f"Input: {one.input}\nOutput: {one.outputs[0]}\n\n" for one in turns])
        sha = hashlib.sha256(f"{question.task}\0{prompt.text}".encode()).hexdigest()
        return Rendered(question, prompt, sha, instance.outputs)


def check_names(request: RunRequest) -> None:
    """Resolve every name of ``request`` without loading anything, so that a typo costs no time.

    Raises:
        UsageError: If one is not known; suggests the closest.
        PluginError: If two distributions claim one.
    """
    asked = [split_rule(name) for name in (*request.methods, request.baseline or "")]
    for registry, names in (
        (METHODS, [method for method, _ in asked if method]),
        (RULES, [rule for rule in (*(rule for _, rule in asked), request.rule) if rule]),
        (PROTOCOLS, request.protocols),
        (FORMATS, [request.train_format, *request.protocol_settings.get("formats", {}).get("formats", ())]),
        (SUITES, [request.suite.name]),
    ):
        for name in names:
            if ".py:" not in name:
                registry.entry(name)
    if not request.methods:
        raise UsageError("Name at least one method: --method ours.")
