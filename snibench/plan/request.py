"""Request of one run, and a check of its names that loads nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from snibench.base.errors import UsageError
from snibench.base.registry import FORMATS, METHODS, PROTOCOLS, RULES, SAMPLERS, SUITES
from snibench.base.types import Recipe, SuiteData, SuiteRequest
from snibench.plan import defaults
from snibench.plan.names import parse_method, setting_prefix


@dataclass(frozen=True, slots=True)
class Profile:
    """Budgets that belong together. ``full``: protocols take their full budget, not their quick one.

    ``threads`` of the processor for one fit, so that rows do not depend on how many fits run side by side; None = all
    that the library takes.
    """

    name: str
    steps: int
    conflict_tasks: int
    full: bool
    seeds: tuple[int, ...]
    threads: int | None = None


QUICK = Profile("quick", steps=90, conflict_tasks=8, full=False, seeds=(0, 1, 2, 3), threads=1)
# Two epochs over 100 instances of each of the 756 official training tasks, 32 instances a step.
PAPER = Profile("paper", steps=4725, conflict_tasks=16, full=True, seeds=(0, 1, 2))
PROFILES: Mapping[str, Profile] = {one.name: one for one in (QUICK, PAPER)}
# Stands for the profile that ``sized`` chooses once the suite is known: nothing of it is ever run.
BY_SIZE = Profile("by size", steps=0, conflict_tasks=0, full=True, seeds=())
_PASSES = 2  # over the training instances of every seen task, as in PAPER
_COUNTED = 100  # of a task's training instances, as in PAPER
_LARGE = 100  # seen tasks, from which on protocols take their full budget


@dataclass(frozen=True, slots=True)
class RunRequest:
    """Options of one run."""

    methods: tuple[str, ...]
    suite: SuiteRequest
    model: str
    revision: str = ""  # of a hub model: branch, tag or commit
    rule: str = ""
    sampler: str = ""
    # For the methods asked for, not the baseline; PROTOCOL.KEY for a protocol.
    settings: Mapping[str, Any] = field(default_factory=dict)
    everywhere: Mapping[str, Any] = field(default_factory=dict)  # settings for the baseline, too
    ablate: bool = False  # each method also without one of its parts
    baseline: str | None = defaults.METHOD
    protocols: tuple[str, ...] = defaults.PROTOCOLS
    profile: Profile = QUICK
    train_format: str = defaults.FORMAT
    seeds: tuple[int, ...] = QUICK.seeds  # none: the profile's
    # Steps 0 = the profile's; learning_rate 0 = the method's own.
    recipe: Recipe = field(default_factory=lambda: Recipe(steps=QUICK.steps))
    limit: int | None = None
    rank_labels: bool = False  # store the likeliest label of closed tasks beside what is said
    precision: str = "float32"  # or "bfloat16", or "auto": as the device can
    trust_remote_code: bool = False
    trials: int = 1  # learning rates tried for each method; 1 = the default, nothing is tried
    trial_steps: int | None = None  # None = as many as a fit's


def sized(request: RunRequest, suite: SuiteData) -> RunRequest:
    """``request`` with a profile that follows the size of ``suite``, where it leaves the profile to that.

    Steps: two passes over the training instances of the seen tasks, at most 100 of each, but no fewer than the quick
    profile's and no more than the paper's. Protocols have their full budget from 100 seen tasks on.
    """
    if request.profile != BY_SIZE:
        return request
    recipe, instances = request.recipe, sum(min(_COUNTED, len(some)) for some in suite.training.values())
    drawn = min(recipe.tasks_per_step, len(suite.seen)) * recipe.instances_per_task
    steps = min(max(math.ceil(_PASSES * instances / drawn), QUICK.steps), PAPER.steps)
    profile = replace(PAPER if len(suite.seen) >= _LARGE else QUICK, steps=steps)
    if request.model != defaults.MODEL:  # a fit of a larger one takes all threads
        profile = replace(profile, threads=None)
    return replace(
        request,
        profile=profile,
        recipe=recipe if recipe.steps else replace(recipe, steps=steps),
        seeds=request.seeds or profile.seeds,
    )


def request_again(
    method: str,
    *,
    suite: SuiteRequest,
    model: str,
    rule: str = "",
    sampler: str = "",
    settings: Mapping[str, Any],
    rule_settings: Mapping[str, Any],
    sampler_settings: Mapping[str, Any],
    protocol_settings: Mapping[str, Mapping[str, Any]],
    protocols: Sequence[str],
    train_format: str,
    seeds: Sequence[int],
    recipe: Recipe,
    limit: int | None,
    precision: str,
    rank_labels: bool = False,
) -> RunRequest:
    """The request of one method alone, without a baseline, that plans a fit again from what was stored of it.

    All settings are given, so that defaults of now decide nothing. ``rule`` and ``sampler``: those that were named.
    ``model``: its spec, with its revision behind an @. ``train_format``: "" where nothing was trained.
    """
    name, _, revision = model.partition("@")
    every = {
        **settings,
        **{f"rule.{key}": value for key, value in rule_settings.items()},
        **{f"sampler.{key}": value for key, value in sampler_settings.items()},
    }
    for protocol in protocols:
        own = protocol_settings.get(protocol, {})
        every |= {f"{setting_prefix(protocol)}.{key}": value for key, value in own.items()}
    return RunRequest(
        methods=(method,),
        suite=suite,
        model=name,
        revision=revision,
        rule=rule,
        sampler=sampler,
        settings=every,
        baseline=None,
        protocols=tuple(protocols),
        profile=QUICK if suite.name == defaults.SUITE else PAPER,
        train_format=train_format or defaults.FORMAT,
        seeds=tuple(seeds),
        recipe=recipe if recipe.steps else replace(recipe, steps=1),  # 0 would be the profile's
        limit=limit,
        rank_labels=rank_labels,
        precision=precision,
    )


def check_names(request: RunRequest) -> None:
    """Resolve every name of ``request`` without loading anything, so that a typo costs no time.

    Raises:
        UsageError: If one is not known; suggests the closest.
        PluginError: If two distributions claim one.
    """
    texts = (*request.methods, *([request.baseline] if request.baseline else []))
    asked = [parse_method(text) for text in texts]
    for registry, names in (
        (METHODS, [method.name for method in asked]),
        (RULES, [rule for rule in (*(method.rule for method in asked), request.rule) if rule]),
        (SAMPLERS, [one for one in (*(method.sampler for method in asked), request.sampler) if one]),
        (PROTOCOLS, request.protocols),
        (FORMATS, request.train_format.split(",")),
        (SUITES, [request.suite.name]),
    ):
        for name in names:
            if ".py:" not in name:
                registry.entry(name)
    if not request.methods:
        raise UsageError("Name at least one method: --method ours.")
