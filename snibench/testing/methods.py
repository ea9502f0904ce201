"""Whether a method keeps its contract, on a small model made here: no downloads."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable
from dataclasses import asdict, fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snibench.base.errors import PluginError
from snibench.base.hashing import canonical_json
from snibench.base.types import Instance
from snibench.contracts import Floor, Method, Rule
from snibench.testing.expectations import expect, recognisable_card
from snibench.testing.method_hooks import check_further_hooks, check_losses
from snibench.testing.models import save_tiny_llama
from snibench.testing.small_trainer import RECIPE, SEEN, UNSEEN, one_thread, small_trainer, trained_names

if TYPE_CHECKING:
    from snibench.engine.tuning import Trainer


def check_method(method: type[Method] | type[Floor], settings: Any = None) -> None:
    """Check that ``method`` keeps its contract on a two-layer Llama with random weights.

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
    with tempfile.TemporaryDirectory() as folder, one_thread():
        model = save_tiny_llama(Path(folder) / "model")
        trained = trained_names(method, settings, model)
        if not method.trains:
            expect(not trained, f"{name}.trains is False, but it leaves {', '.join(trained[:3])} to train")
            return
        expect(trained, f"{name}.attach leaves nothing to train: no parameter requires a gradient")
        make: Callable[[], Trainer] = lambda: small_trainer(method, settings, model)  # noqa: E731 (bound once)
        _check_attached(make, name)
        check_further_hooks(make, name)
        check_losses(make, name)
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
        f"{name} is not changed by {RECIPE.steps} training steps",
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
        for card in (SEEN[0], SEEN[1], UNSEEN)
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
