"""From a fit's spec to a trainer that is about to run: the same in every process that works on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from snibench.base.hashing import derive_seed
from snibench.base.registry import FORMATS, METHODS, RULES, SAMPLERS
from snibench.base.types import FitSpec, Instance, SuiteData
from snibench.contracts import Method, Rule
from snibench.engine.backbone import Backbone
from snibench.engine.check import check_method
from snibench.engine.embeddings import InstructionEncoder
from snibench.engine.loading import load_backbone
from snibench.engine.tuning import Trainer, TrainingSet
from snibench.fits.context import ATTACHING, FitContext, FitProgress, Runtime
from snibench.fits.guard import start_clock
from snibench.fits.isolation import seed_generators
from snibench.models.find import ModelSource


def load(spec: FitSpec, source: ModelSource, runtime: Runtime, progress: FitProgress) -> Backbone:
    """The base model of ``spec``."""
    progress.on_stage("loading")
    return load_backbone(
        source,
        device=runtime.device,
        precision=spec.precision,
        trust_remote_code=runtime.trust_remote_code,
        paths=spec.paths,
    )


def attach(
    spec: FitSpec, suite: SuiteData, backbone: Backbone, folder: Path, runtime: Runtime, progress: FitProgress
) -> FitContext:
    """The base model with the method's parameters in it; initial values come from the run's seed.

    The fit's time counts from here on.
    """
    start_clock(runtime.fit_timeout)
    progress.on_stage(ATTACHING)
    method_type = METHODS.get(spec.method)
    method: Method = method_type(method_type.Settings(**spec.settings))
    seed = derive_seed("initial values", spec.seed)
    seed_generators(seed)  # for libraries that draw from them
    cards = [suite.tasks[task].card for task in spec.mixture.tasks]
    model = method.attach(backbone.model, cards, InstructionEncoder(backbone, spec.recipe.max_input), seed)
    check_method(backbone, method, model, cards, spec)
    return FitContext(spec, suite, backbone, method, model, folder, runtime, progress)


def trainer_of(context: FitContext, instances: Mapping[str, Sequence[Instance]]) -> Trainer:
    """A trainer of the fit, about to run on ``instances`` of every task of its mixture."""
    spec = context.spec
    rule_type = RULES.get(spec.rule) if spec.rule else None
    rule: Rule = rule_type(rule_type.Settings(**spec.rule_settings)) if rule_type else context.method.rule()
    drawing = SAMPLERS.get(spec.sampler) if spec.sampler else None
    sampler = drawing(drawing.Settings(**spec.sampler_settings)) if drawing else context.method.sampler()
    data = TrainingSet(
        cards={task: context.suite.tasks[task].card for task in spec.mixture.tasks},
        instances=instances,
        formats=[FORMATS.get(name)().bind(context.backbone.tokenizer) for name in spec.train_formats],
        mixture=spec.mixture,
    )
    return Trainer(context.backbone, context.model, context.method, rule, data, spec.recipe, spec.seed, sampler)
