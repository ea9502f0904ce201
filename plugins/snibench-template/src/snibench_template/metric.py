"""A metric: one class with ``score``, a pure function of the answer and its references."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from snibench.api import Metric


class TokenF1(Metric):
    """The best F1 of words over the references, as SQuAD scores answers.

    Source: Rajpurkar et al., SQuAD (EMNLP 2016), section 6.1, without its removal of articles.
    """

    def score(self, prediction: str, references: Sequence[str]) -> float:
        """2 P R / (P + R) of the bags of lower-case words; 1 if both are empty."""
        return max(_f1(prediction.lower().split(), reference.lower().split()) for reference in references)


def _f1(ours: list[str], theirs: list[str]) -> float:
    if not ours or not theirs:
        return float(ours == theirs)
    common = (Counter(ours) & Counter(theirs)).total()
    return 2 * common / (len(ours) + len(theirs))
