"""Whether a method keeps its contract, on a small model made here: no downloads."""

from __future__ import annotations

import math
import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields, is_dataclass, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snibench.base.errors import PluginError
from snibench.base.hashing import canonical_json
from snibench.base.types import Instance, Mixture, Recipe
from snibench.contracts import Floor, Method, Rule, Sampler
from snibench.testing.expectations import expect, recognisable_card
from snibench.testing.models import save_tiny_llama

if TYPE_CHECKING:
    from torch import nn

    from snibench.engine.backbone import Backbone
    from snibench.engine.packing import Batch
    from snibench.engine.tuning import Trainer

_RECIPE = Recipe(steps=3, tasks_per_step=3, instances_per_task=2, learning_rate=1e-2, max_input=512, max_output=8)
_SEEN = tuple(recognisable_card(number) for number in range(4))
_UNSEEN = recognisable_card(9, closed=False)


def check_method(method: type[Method] | type[Floor], settings: Any = None) -> None:
    """Nothing, if ``method`` keeps its contract on a two-layer Llama with random weights.

    Checked: settings are a frozen dataclass of JSON values; attaching twice under one seed gives the same
    parameters; losses are ``[K]``, a task's loss does not depend on its company, nor on whether its instances share
    their prefix (unless the method says so); gradients are finite and reach something; anchors, penalty, rule, groups,
    targets, sampler, base rate and pseudo-gradients are what the contract says; three steps change the parameters, the
    same way twice; stored parameters give the same answers back, and through peft where peft made them; seen tasks, an
    unseen one and a prompt without instruction are answered, the same alone as together; virtual tokens stand before
    every prompt and are not counted; a tuning-free method attaches nothing trainable.
    Of a floor: settings, and that it answers any task with a text, the same one again.

    Args:
        method: The class.
        settings: An instance of ``method.Settings``; None = the defaults.

    Raises:
        AssertionError: Names the promise that is broken.
    """
    try:
        _check_method(method, settings)
    except PluginError as error:  # what a run would refuse
        raise AssertionError(str(error)) from error


def _check_method(method: type[Method] | type[Floor], settings: Any) -> None:
    name = method.__name__
    contracts = (Method, Floor)
    expect(
        isinstance(method, type) and issubclass(method, contracts), f"{name} is not derived from snibench.api.Method"
    )
    _check_settings(method, settings)
    if issubclass(method, Floor):
        _check_floor(method, settings)
        return
    with tempfile.TemporaryDirectory() as folder, _one_thread():
        model = save_tiny_llama(Path(folder) / "model")
        trained = _trained_names(method, settings, model)
        if not method.trains:
            expect(not trained, f"{name}.trains is False, but it leaves {', '.join(trained[:3])} to train")
            return
        expect(trained, f"{name}.attach leaves nothing to train: no parameter requires a gradient")
        make: Callable[[], Trainer] = lambda: _trainer(method, settings, model)  # noqa: E731 (bound once)
        _check_attached(make, name)
        _check_hooks(make, name)
        _check_losses(make, name)
        _check_training(make, name, Path(folder))


def _check_floor(floor: type[Floor], settings: Any) -> None:
    pool = tuple(Instance(str(number), f"{number} legs", ("grue",) if number else ("bleen",)) for number in range(3))
    bare = replace(recognisable_card(), positive=(), negative=())
    for card in (recognisable_card(), recognisable_card(closed=False), bare):
        for one in pool:
            answers = [floor(settings).answer(card, one.input, pool) for _ in range(2)]
            expect(
                isinstance(answers[0], str) and answers[0] == answers[1],
                f"{floor.__name__}.answer must return one text, but returned {answers[0]!r} and {answers[1]!r}",
            )


def _check_settings(method: type[Method] | type[Floor], settings: Any) -> None:
    name, settings_type = method.__name__, method.Settings
    expect(
        is_dataclass(settings_type) and settings_type.__dataclass_params__.frozen,  # type: ignore[attr-defined]  # made by dataclass()
        f"{name}.Settings must be a frozen dataclass",
    )
    try:
        values = settings_type() if settings is None else settings
    except TypeError as error:
        raise AssertionError(f"{name}.Settings must have a default for every field: {error}") from error
    expect(
        isinstance(values, settings_type),
        f"settings must be a {settings_type.__name__}, but is a {type(values).__name__}",
    )
    try:
        canonical_json(asdict(values))
    except (TypeError, ValueError) as error:
        names = ", ".join(field.name for field in fields(settings_type))
        raise AssertionError(
            f"{name}.Settings must hold JSON values ({names}), they go into the fit id: {error}"
        ) from error


@contextmanager
def _one_thread() -> Iterator[None]:
    """A model this small only loses time on threads; and the caller's global generator is left as it was."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        torch.set_num_threads(threads)


def _attached(method: type[Method], settings: Any, folder: Path) -> tuple[Backbone, Method, nn.Module]:
    import torch

    from snibench.engine.embeddings import InstructionEncoder
    from snibench.engine.loading import load_backbone
    from snibench.models.find import find_model

    backbone = load_backbone(find_model(str(folder)))
    made = method(settings)
    torch.manual_seed(0)
    return backbone, made, made.attach(backbone.model, _SEEN, InstructionEncoder(backbone, _RECIPE.max_input), 0)


def _trained_names(method: type[Method], settings: Any, folder: Path) -> list[str]:
    _, _, model = _attached(method, settings, folder)
    return [name for name, parameter in model.named_parameters() if parameter.requires_grad]


def _trainer(method: type[Method], settings: Any, folder: Path) -> Trainer:
    from snibench.base.registry import FORMATS
    from snibench.engine.tuning import Trainer, TrainingSet

    backbone, made, model = _attached(method, settings, folder)
    instances = {
        card.name: tuple(Instance(f"{card.name}-{i}", f"a zibbet with {i} legs", ("bleen",)) for i in range(6))
        for card in _SEEN
    }
    data = TrainingSet(
        {card.name: card for card in _SEEN}, instances, [FORMATS.get("definition")()], Mixture(tuple(instances))
    )
    return Trainer(backbone, model, made, made.rule(), data, _RECIPE, seed=0)


def _batch(trainer: Trainer, tasks: Sequence[int]) -> Batch:
    groups = trainer.encode([(_SEEN[task].name, (0, 1)) for task in tasks])
    return trainer.task_losses.batch(groups)


def _check_attached(make: Callable[[], Trainer], name: str) -> None:
    import torch

    first, second = make(), make()
    expect(
        first.named.keys() == second.named.keys()
        and all(torch.equal(first.named[key], second.named[key]) for key in first.named),
        f"{name}.attach must give the same parameters under the same seed: stored ones are loaded over them",
    )
    own = {id(parameter) for parameter in first.method.task_parameters(first.model)}
    expect(
        own <= {id(parameter) for parameter in first.named.values()},
        f"{name}.task_parameters names parameters that are not trained",
    )
    expect(isinstance(first.rule, Rule), f"{name}.rule() must return a Rule, but returned {type(first.rule).__name__}")


def _check_losses(make: Callable[[], Trainer], name: str) -> None:
    import torch

    from snibench.engine.packing import make_batch

    trainer = make()
    method, model = trainer.method, trainer.model
    model.eval()  # dropout would differ from call to call
    together = _batch(trainer, (0, 1, 2))
    losses = trainer.task_losses.losses_of(together).tasks
    expect(
        tuple(losses.shape) == (3,), f"{name}.losses must have shape (3,) for 3 tasks, but has {tuple(losses.shape)}"
    )
    expect(torch.isfinite(losses).all(), f"{name}.losses are not finite: {losses.tolist()}")
    # Other company, but equally long, so that the same sums are made in the same order: nothing is left to rounding.
    others = [
        (
            _SEEN[task].name,
            trainer.encode_instances(_SEEN[task].name, [Instance("x", "a zibbet with 0 legs", ("#####",))] * 2),
        )
        for task in (3, 1)
    ]
    first = trainer.encode([(_SEEN[0].name, (0, 1))])
    company = trainer.task_losses.losses_of(trainer.task_losses.batch([*first, *others])).tasks.detach()
    losses = losses.detach()
    expect(
        torch.allclose(losses[:1], company[:1], rtol=5e-7, atol=0),
        f"{name}.losses of a task must not depend on the others in the batch: {float(losses[0])!r} beside some, "
        f"{float(company[0])!r} beside others",
    )
    alone = torch.cat([trainer.task_losses.losses_of(_batch(trainer, (task,))).tasks for task in (0, 1, 2)])
    expect(
        torch.allclose(losses, alone, rtol=1e-3, atol=1e-4),
        f"{name}.losses of a task must not depend on the others in the batch: {losses.tolist()} together, "
        f"{alone.tolist()} alone",
    )
    if method.shares_prefixes:
        groups = trainer.encode([(_SEEN[task].name, (0, 1)) for task in (0, 1, 2)])
        apart = trainer.task_losses.losses_of(make_batch(groups, trainer.backbone, pack=False)).tasks
        expect(
            torch.allclose(losses, apart, rtol=1e-4, atol=1e-5),
            f"{name}.losses differ when a task's instances share their prefix: {losses.tolist()}, apart "
            f"{apart.tolist()}; set shares_prefixes = False",
        )
    model.train()
    found = trainer.task_losses.losses_of(together)
    anchors = found.anchors() if callable(found.anchors) else found.anchors
    if anchors is not None:
        expect(
            anchors.ndim == 1 and torch.isfinite(anchors).all(),
            f"{name}.losses must give one finite loss for each anchor, but gave {anchors}",
        )
    total = found.tasks.sum() + (0 if found.auxiliary is None else found.auxiliary)
    total.backward()
    gradients = [parameter.grad for parameter in trainer.named.values() if parameter.grad is not None]
    expect(all(torch.isfinite(one).all() for one in gradients), f"{name}.losses have gradients that are not finite")
    expect(any(one.any() for one in gradients), f"{name}.losses reach no trainable parameter")
    penalty = method.penalty(model, together.tasks, together.instructions)
    if penalty is not None:
        expect(
            penalty.ndim == 0 and torch.isfinite(penalty),
            f"{name}.penalty must be None or one finite number, but is {penalty}",
        )
        try:
            penalty.backward()
        except RuntimeError as error:
            raise AssertionError(
                f"{name}.penalty must be of parameters alone, since the graph of losses is freed by then ({error}); "
                "what needs activations is an auxiliary loss"
            ) from error


def _check_hooks(make: Callable[[], Trainer], name: str) -> None:
    """Base rate, sampler, targets and pseudo-gradients, as far as a method has its own."""
    from snibench.base.types import ModelInfo
    from snibench.testing.samplers import check_sampler

    trainer = make()
    method = trainer.method
    for parameters, optimizer in product((10**6, 10**9, 10**11), ("adamw", "sgd", "muon")):
        rate = method.base_rate(ModelInfo({}, {}, parameters), optimizer)
        expect(
            rate is None or 0 < rate < math.inf,
            f"{name}.base_rate must be None or a positive number, but is {rate} ({parameters} parameters, {optimizer})",
        )
    expect(
        isinstance(method.sampler(), Sampler),
        f"{name}.sampler() must return a Sampler, but returned {type(method.sampler()).__name__}",
    )
    check_sampler(method.sampler)
    instance = Instance("1", "a zibbet with 1 leg", ("bleen", "grue"))
    for card in (_SEEN[0], _UNSEEN):
        texts, again = (list(method.targets(card, instance, random.Random(3))) for _ in range(2))
        expect(
            bool(texts) and all(isinstance(text, str) for text in texts),
            f"{name}.targets must give at least one text for every instance, but gave {texts!r}",
        )
        expect(texts == again, f"{name}.targets gives other texts under the same seed; use the rng that it is given")
    _check_gradients(trainer, name)


def _check_gradients(trainer: Trainer, name: str) -> None:
    """Pseudo-gradients, where a method has them: every task's own, and no trace left behind."""
    import torch

    trainer.model.eval()  # dropout would differ from call to call
    before = {key: parameter.detach().clone() for key, parameter in trainer.named.items()}
    together = trainer.method.gradients(trainer.model, _batch(trainer, (0, 1)))
    if together is None:
        return
    alone = trainer.method.gradients(trainer.model, _batch(trainer, (0,)))
    expect(
        all(torch.equal(before[key], parameter) for key, parameter in trainer.named.items()),
        f"{name}.gradients must leave the parameters as they were",
    )
    expect(
        set(together) <= set(before),
        f"{name}.gradients names {sorted(set(together) - set(before))}, which are no trainable parameters",
    )
    for key, rows in together.items():
        expect(
            tuple(rows.shape) == (2, *before[key].shape),
            f"{name}.gradients must have shape {(2, *before[key].shape)} for {key}, a row for each of 2 tasks, "
            f"but has {tuple(rows.shape)}",
        )
        expect(torch.isfinite(rows).all(), f"{name}.gradients are not finite for {key}")
        expect(
            alone is not None and torch.allclose(rows[0], alone[key][0], rtol=1e-2, atol=1e-4),
            f"{name}.gradients of a task must not depend on the others in the batch, but do for {key}",
        )
    trainer.task_losses.clear()


def _check_training(make: Callable[[], Trainer], name: str, folder: Path) -> None:
    import torch

    from snibench.engine.trained_parameters import load_trained, save_trained

    trainer, repeated = make(), make()
    before = {key: parameter.detach().clone() for key, parameter in trainer.named.items()}
    frozen = {key: p.detach().clone() for key, p in trainer.model.named_parameters() if not p.requires_grad}
    for index, one in enumerate((trainer, repeated)):
        one.run(folder / f"checkpoint{index}.safetensors")
    expect(
        any(not torch.equal(before[key], parameter) for key, parameter in trainer.named.items()),
        f"{name} is not changed by {_RECIPE.steps} training steps",
    )
    expect(
        all(torch.equal(frozen[key], p) for key, p in trainer.model.named_parameters() if key in frozen),
        f"{name} changes parameters of the base model that are frozen",
    )
    expect(
        all(torch.equal(trainer.named[key], repeated.named[key]) for key in trainer.named),
        f"{name} trained twice under one seed gives different parameters",
    )
    answers = _check_answers(trainer, name)
    save_trained(trainer.model, folder / "adapter")
    _check_peft(trainer, name, folder)
    restored = make()
    load_trained(restored.model, folder / "adapter")
    expect(
        _check_answers(restored, name) == answers,
        f"{name} answers differently after its trained parameters are stored and loaded: "
        "what training changes must be a parameter",
    )


def _check_peft(trainer: Trainer, name: str, folder: Path) -> None:
    """peft reads the stored adapter and answers as the method does, where the prompt is all that the model sees."""
    import torch
    from peft import PeftModel

    from snibench.engine.backbone import base_of
    from snibench.engine.loading import load_backbone
    from snibench.methods.base import BaseMethod
    from snibench.models.find import find_model

    config = getattr(trainer.model, "peft_config", {}).get("default")
    plain = type(trainer.method).for_prompts is BaseMethod.for_prompts
    if (
        config is None
        or config.is_prompt_learning
        or not plain
        or (folder / "adapter" / "trainable.safetensors").exists()
    ):
        return
    base = load_backbone(find_model(str(folder / "model"))).model
    loaded = PeftModel.from_pretrained(base, folder / "adapter").eval()
    trainer.model.eval()
    ids = torch.tensor([trainer.encoder.prompt_ids(["Say what a zibbet with seven legs is."])[0]])
    with torch.no_grad():
        ours, theirs = base_of(trainer.model)(input_ids=ids).logits, loaded(input_ids=ids).logits
    expect(
        torch.allclose(ours, theirs, rtol=1e-4, atol=1e-5),
        f"{name}: the stored adapter, loaded with peft, answers differently: what the model computes must be what its "
        "peft config says",
    )


def _check_answers(trainer: Trainer, name: str) -> list[str]:
    """Greedy answers to a seen task, an unseen one, and a prompt without instruction; the same alone as together."""
    from snibench.base.registry import FORMATS
    from snibench.engine.backbone import virtual_tokens
    from snibench.engine.decoding import Prompted, choose

    decoder, _ = choose(trainer.backbone, trainer.model, trainer.method, trainer.encoder)
    rng = random.Random(0)
    asked = [
        Prompted(card, FORMATS.get(format)().render(card, text, rng), f"{card.name} {format}")
        for card in (_SEEN[0], _SEEN[1], _UNSEEN)
        for format in ("definition", "input_only")
        for text in ("a zibbet with 7 legs", "no legs at all")
    ]
    replies = decoder.answer(asked)
    texts = trainer.encoder.prompt_ids([one.prompt.text for one in asked])
    virtual = virtual_tokens(trainer.model)
    encoded = trainer.encoder.prompts([one.prompt for one in asked])
    expect(
        all(one.prompt_ids == (*virtual, *ids) for one, ids in zip(encoded, texts, strict=True))
        and [reply.prompt_tokens for reply in replies] == [len(ids) for ids in texts],
        f"{name}: a prompt must be its virtual tokens, inserted in attach, and its text's tokens, which alone count",
    )
    together = [reply.prediction for reply in replies]
    alone = [decoder.answer([one])[0].prediction for one in asked]
    differing = [one.card.name for one, a, b in zip(asked, together, alone, strict=True) if a != b]
    expect(
        not differing,
        f"{name} answers a prompt of {', '.join(differing)} differently alone than among others: "
        "for_prompts gets one card and one instruction per row",
    )
    return together
