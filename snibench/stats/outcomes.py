"""Outcome of a comparison: better, worse, equivalent within a margin, or undecided."""

from __future__ import annotations

from math import isnan, nan
from typing import Literal

from snibench.stats.estimates import Estimate

Outcome = Literal["better", "worse", "equivalent", "undecided"]

MARGIN = 0.02  # differences of at most this size count as none that matters


def outcome(
    estimate: Estimate, *, significant: bool, margin: float = MARGIN, level: float = 0.95, higher_is_better: bool = True
) -> Outcome:
    """The first that holds of: better or worse, if ``significant``; equivalent; undecided.

    Equivalent: two one-sided t tests at 1 - ``level`` both reject, which is so if the whole interval of level
    2 ``level`` - 1 (90%) lies inside the margin. A difference that was not found is not therefore absent.

    Source:
        Schuirmann, Journal of Pharmacokinetics and Biopharmaceutics 15 (1987).
    """
    if significant and estimate.value != 0.0:
        return "better" if (estimate.value > 0.0) == higher_is_better else "worse"
    return "equivalent" if within(estimate, margin=margin, level=level) else "undecided"


def within(estimate: Estimate, *, margin: float = MARGIN, level: float = 0.95) -> bool:
    """Whether the difference is shown to be smaller than ``margin`` in size."""
    bound = equivalence_bound(estimate, level=level)
    return not isnan(bound) and abs(estimate.value) + bound < margin


def equivalence_bound(estimate: Estimate, *, level: float = 0.95) -> float:
    """The smallest margin within which an estimate of exactly 0 would be called equivalent.

    NaN without an interval, and where nothing varied: no noise seen is no evidence that there is none.
    """
    return nan if estimate.noiseless else estimate.half_width(2.0 * level - 1.0)
