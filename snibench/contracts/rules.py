"""Contract of a rule, which aggregates K task gradients into one update."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping, Sequence
from enum import Flag, auto
from typing import TYPE_CHECKING, Any, ClassVar

from snibench.base.settings import validated
from snibench.contracts.settings import NoSettings

if TYPE_CHECKING:
    from torch import Tensor

    from snibench.engine.gradients import TaskGradients


class Needs(Flag):
    """Quantities that a rule or a sampler asks the harness to compute; one that was not asked for cannot be read.

    ``GRAM``: inner products of the task gradients. ``LAYERS``, ``TENSORS``: the same for every layer or parameter, with
    weights for each. ``ROWS``: the gradients themselves, parameter by parameter. ``ANCHORS``: the method's anchor
    losses as further rows. Any of these five costs per-task gradients; a rule without them pays for none. ``HALVES``,
    of samplers alone: inner products of the gradients of two halves of each task's instances, which tell noise from
    size.
    ``LOSSES``: the task losses before the step. ``LOSSES_AFTER``: those after it, for ``observe``. ``GENERATOR``:
    random numbers of the step.
    """

    NONE = 0
    GRAM = auto()
    LOSSES = auto()
    LOSSES_AFTER = auto()
    GENERATOR = auto()
    LAYERS = auto()
    TENSORS = auto()
    ROWS = auto()
    ANCHORS = auto()
    HALVES = auto()

    @property
    def gradients(self) -> bool:
        """Whether a gradient of its own is needed for every task."""
        asked = Needs.GRAM | Needs.LAYERS | Needs.TENSORS | Needs.ROWS | Needs.ANCHORS | Needs.HALVES
        return bool(self & asked)


class Rule(ABC):  # noqa: B024 (one of two hooks is to be there)
    """Aggregation of K task gradients into one update: by ``weights``, or coordinate by coordinate by ``combine``.

    Anything kept from step to step is keyed by task name: rows change from step to step.
    """

    Settings: ClassVar[type] = NoSettings  # a frozen dataclass; every field is a --set key and part of the fit id
    needs: Needs = Needs.NONE
    clipped: ClassVar[bool] = True  # False: the rule itself sets the length of the update

    def __init__(self, settings: Any = None) -> None:
        self.settings = validated(self.Settings() if settings is None else settings)

    def weights(self, gradients: TaskGradients) -> Tensor:
        """``[K + R]`` float64 weights w; the update is ``sum_t w_t g_t`` over tasks, then anchors.

        R is 0 unless ``ANCHORS`` are needed. A rule that needs ``LAYERS`` or ``TENSORS`` may give ``[Q, K + R]``, a row
        for each of ``gradients.layers``.
        """
        raise NotImplementedError(f"{type(self).__name__} defines neither weights nor combine.")

    def combine(self, gradients: TaskGradients) -> Mapping[str, Tensor] | None:
        """The update itself, by the parameters' names, from ``gradients.rows()``; None: by ``weights``.

        Called only if ``ROWS`` are needed. For rules that act on each coordinate by itself; a parameter that is not
        named is not moved.
        """
        return None

    def observe(self, tasks: Sequence[str], losses: Tensor) -> None:  # noqa: B027 (optional hook)
        """Take in the tasks' ``[K]`` float64 losses after the step; called if ``LOSSES_AFTER`` are needed."""

    def diagnostics(self) -> Mapping[str, float]:
        """Numbers about the last step, for the trace."""
        return {}

    def state(self) -> Mapping[str, Any]:
        """State that a resumed run restores, as JSON."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:  # noqa: B027 (optional hook)
        """Take back what ``state`` gave."""
