"""A curriculum: tasks with a low loss first, all of them in the end."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from snibench.base.bounds import Bounds
from snibench.contracts import Draw, Sampler

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class EasyToHardSettings:
    """``start``: share of the tasks at first. ``full``: share of the steps after which all are drawn from.

    ``memory``: share of the old running loss that is kept at a visit.
    """

    start: Annotated[float, Bounds(above=0, most=1)] = 0.1
    full: Annotated[float, Bounds(above=0, most=1)] = 0.5
    memory: Annotated[float, Bounds(least=0, below=1)] = 0.5


def competence(step: int, steps: int, settings: EasyToHardSettings) -> float:
    """Share of the tasks that is drawn from in ``step``, counted from 0, of ``steps``."""
    start, reached = settings.start**2, step / (settings.full * steps)
    return min(1.0, math.sqrt(reached * (1 - start) + start))


class EasyToHard(Sampler):
    """Tasks are drawn equally often from those with the lowest running loss, whose share grows to all of them.

    The share is ``min(1, sqrt(t (1 - start^2) / (full T) + start^2))`` in step t of T. A task that was not drawn yet
    counts as the easiest, so that each is looked at once before losses rank it. Unlike the source, which
    ranks sentences by length or rarity before training, tasks are ranked by the model's own loss, as it is now.

    Source:
        Platanios et al., Competence-based Curriculum Learning for Neural Machine Translation (NAACL 2019), the
        square-root competence.
    """

    Settings: ClassVar[type] = EasyToHardSettings

    def __init__(self, settings: Any = None) -> None:
        super().__init__(settings)
        self._losses: dict[str, float] = {}

    def draw(self, step: Draw) -> Sequence[str]:
        """``count`` of the easiest tasks."""
        names = sorted(step.sizes, key=lambda name: self._losses.get(name, -math.inf))
        pool = max(step.count, math.ceil(competence(step.step, step.steps, self.settings) * len(names) - 1e-9))
        return [names[index] for index in step.rng.choice(pool, step.count, replace=False)]

    def observe(self, tasks: Sequence[str], losses: Tensor, gram: Tensor | None) -> None:
        """Move the running losses of the step's tasks."""
        memory = self.settings.memory
        for task, loss in zip(tasks, losses.tolist(), strict=True):
            self._losses[task] = memory * self._losses.get(task, loss) + (1 - memory) * loss

    def state(self) -> Mapping[str, Any]:
        """``{"losses": {task: running loss}}``."""
        return {"losses": dict(self._losses)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take back the running losses."""
        self._losses = dict(state["losses"])
