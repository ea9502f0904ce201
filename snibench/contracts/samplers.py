"""Contract of a sampler: which tasks a step draws."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from snibench.base.settings import validated
from snibench.contracts.rules import Needs
from snibench.contracts.settings import NoSettings

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Draw:
    """Request to a sampler: the tasks of one step.

    ``step``, counted from 0, of ``steps``. ``sizes``: how many training instances each task has, in the order of the
    mixture. ``count``: K, at most the number of tasks. ``rng``: the only source of randomness.
    """

    step: int
    steps: int
    sizes: Mapping[str, int]
    count: int
    rng: np.random.Generator


class Sampler(ABC):
    """A choice of the tasks of each step. Which of their instances, and how many, is the harness's choice.

    Anything kept from step to step is given back by ``state``: a resumed run must draw what the whole one would have.
    """

    Settings: ClassVar[type] = NoSettings  # a frozen dataclass; every field is a --set key and part of the fit id
    needs: Needs = Needs.NONE  # GRAM or HALVES: inner products of gradients, for ``observe``
    own_order: ClassVar[bool] = True  # False: the order that all methods share, so that they are paired step by step

    def __init__(self, settings: Any = None) -> None:
        self.settings = validated(self.Settings() if settings is None else settings)

    @abstractmethod
    def draw(self, step: Draw) -> Sequence[str]:
        """Different tasks of ``step.sizes``, at least one and at most ``step.count``."""

    def observe(self, tasks: Sequence[str], losses: Tensor, gram: Tensor | None) -> None:  # noqa: B027 (optional hook)
        """Take in the step's tasks, their ``[K]`` float64 losses before it and, if needed, the ``[K, K]`` ``gram``.

        Where ``HALVES`` are needed, ``gram`` is ``[2K, 2K]``: each task's two halves, one after the other, of which its
        gradient is the mean.
        """

    def state(self) -> Mapping[str, Any]:
        """State that a resumed run restores, as JSON."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:  # noqa: B027 (optional hook)
        """Take back what ``state`` gave."""
