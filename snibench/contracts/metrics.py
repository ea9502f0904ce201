"""Contract of a metric."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from snibench.base.types import Instance


class Metric(ABC):
    """Score of one answer, named by ``TaskCard.metric``. Without settings or state."""

    @abstractmethod
    def score(self, prediction: str, references: Sequence[str]) -> float:
        """The score in [0, 1] of ``prediction``: 1 for a perfect answer. A pure function of the texts.

        ``references``: at least one, in no order that means anything.
        """

    def chance(self, instances: Sequence[Instance]) -> float:
        """The score in [0, 1] that an answer to an open task reaches without solving it; 0 by default.

        Of closed tasks it is one over the number of labels, whatever the metric.
        """
        return 0.0
