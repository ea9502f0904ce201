"""Checks of a method's losses and further hooks."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from itertools import product
from typing import TYPE_CHECKING

from snibench.base.types import Instance
from snibench.contracts import Sampler
from snibench.testing.expectations import expect
from snibench.testing.small_trainer import SEEN, UNSEEN, small_batch

if TYPE_CHECKING:
    from snibench.engine.tuning import Trainer


def check_losses(make: Callable[[], Trainer], name: str) -> None:
    """One finite loss for each task, which depends on no other task."""
    import torch

    from snibench.engine.packing import make_batch

    trainer = make()
    method, model = trainer.method, trainer.model
    model.eval()  # dropout would differ from call to call
    together = small_batch(trainer, (0, 1, 2))
    losses = trainer.task_losses.losses_of(together).tasks
    expect(
        tuple(losses.shape) == (3,), f"{name}.losses must have shape (3,) for 3 tasks, but has {tuple(losses.shape)}"
    )
    expect(torch.isfinite(losses).all(), f"{name}.losses are not finite: {losses.tolist()}")
    # Other company, but equally long, so that the same sums are made in the same order: nothing is left to rounding.
    others = [
        (
            SEEN[task].name,
            trainer.encode_instances(SEEN[task].name, [Instance("x", "a zibbet with 0 legs", ("#####",))] * 2),
        )
        for task in (3, 1)
    ]
    first = trainer.encode([(SEEN[0].name, (0, 1))])
    company = trainer.task_losses.losses_of(trainer.task_losses.batch([*first, *others])).tasks.detach()
    losses = losses.detach()
    expect(
        torch.allclose(losses[:1], company[:1], rtol=5e-7, atol=0),
        f"{name}.losses of a task must not depend on the others in the batch: {float(losses[0])!r} beside some, "
        f"{float(company[0])!r} beside others",
    )
    alone = torch.cat([trainer.task_losses.losses_of(small_batch(trainer, (task,))).tasks for task in (0, 1, 2)])
    expect(
        torch.allclose(losses, alone, rtol=1e-3, atol=1e-4),
        f"{name}.losses of a task must not depend on the others in the batch: {losses.tolist()} together, "
        f"{alone.tolist()} alone",
    )
    if method.shares_prefixes:
        groups = trainer.encode([(SEEN[task].name, (0, 1)) for task in (0, 1, 2)])
        apart = trainer.task_losses.losses_of(make_batch(groups, trainer.backbone, pack=False)).tasks
        expect(
            torch.allclose(losses, apart, rtol=1e-4, atol=1e-5),
            f"{name}.losses differ when a task's instances share their prefix: {losses.tolist()}, apart "
            f"{apart.tolist()}; set shares_prefixes = False",
        )
    model.train()
    step_losses = trainer.task_losses.losses_of(together)
    anchors = step_losses.anchors() if callable(step_losses.anchors) else step_losses.anchors
    if anchors is not None:
        expect(
            anchors.ndim == 1 and torch.isfinite(anchors).all(),
            f"{name}.losses must give one finite loss for each anchor, but gave {anchors}",
        )
    total = step_losses.tasks.sum() + (0 if step_losses.auxiliary is None else step_losses.auxiliary)
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


def check_further_hooks(make: Callable[[], Trainer], name: str) -> None:
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
    for card in (SEEN[0], UNSEEN):
        texts, again = (list(method.targets(card, instance, random.Random(3))) for _ in range(2))
        expect(
            bool(texts) and all(isinstance(text, str) for text in texts),
            f"{name}.targets must give at least one text for every instance, but gave {texts!r}",
        )
        expect(texts == again, f"{name}.targets gives other texts under the same seed; use the rng that it is given")
    check_gradients(trainer, name)


def check_gradients(trainer: Trainer, name: str) -> None:
    """Pseudo-gradients, where a method has them: every task's own, and no trace left behind."""
    import torch

    trainer.model.eval()  # dropout would differ from call to call
    before = {key: parameter.detach().clone() for key, parameter in trainer.named.items()}
    together = trainer.method.gradients(trainer.model, small_batch(trainer, (0, 1)))
    if together is None:
        return
    alone = trainer.method.gradients(trainer.model, small_batch(trainer, (0,)))
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
