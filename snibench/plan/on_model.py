"""A method on a model, as a run of it would be planned. Needs no torch, and loads no weights."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from snibench.base.registry import METHODS, SAMPLERS, SUITES
from snibench.base.types import SuiteData
from snibench.models.find import ModelSource, find_model
from snibench.plan.choices import Choice, Rate, learning_rate, method_choices, why_unfit
from snibench.plan.request import RunRequest


@dataclass(frozen=True)
class OnModel:
    """A method in a model, tuned on the seen tasks of a suite.

    ``unfit``: the method's sentence why it has no place in the model; "" where it has. ``rate``: None where nothing is
    tuned, or where a run must name one. ``sampler``: its name, "" where nothing is tuned.
    """

    choice: Choice
    model: ModelSource
    suite: SuiteData
    unfit: str
    rate: Rate | None
    sampler: str


def on_model(request: RunRequest) -> OnModel:
    """The one method that ``request`` asks for, on its model.

    Raises:
        SnibenchError: If a name, setting, file or model cannot be used.
    """
    (choice,) = method_choices(dataclasses.replace(request, baseline=None)).methods
    model = find_model(request.model, revision=request.revision, trust_remote_code=request.trust_remote_code)
    suite = SUITES.get(request.suite.name)().load(request.suite)
    unfit = why_unfit(choice, model.info)
    rate = learning_rate(choice, model.info, request.recipe) if choice.trains and not unfit else None
    return OnModel(choice, model, suite, unfit, rate, _sampler(choice) if choice.trains else "")


def _sampler(choice: Choice) -> str:
    if choice.sampler:
        return choice.sampler
    method_type = METHODS.get(choice.name)
    return SAMPLERS.name_of(type(method_type(method_type.Settings(**choice.settings)).sampler()))
