"""Examples-proportional mixing: larger tasks are drawn more often."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from snibench.contracts import Draw, Sampler
from snibench.samplers.systematic import capped, systematic


class Proportional(Sampler):
    """A task is drawn in proportion to how many training instances it has, but at most once a step.

    Source:
        Raffel et al., Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer (JMLR 2020),
        section 3.5.2. The limit on a task's size is the suite's, which caps the instances of every task.
    """

    def draw(self, step: Draw) -> Sequence[str]:
        """Tasks of this step."""
        names = list(step.sizes)
        sizes = np.array([step.sizes[name] for name in names], dtype=float)
        return [names[index] for index in systematic(capped(sizes, step.count), step.rng)]
