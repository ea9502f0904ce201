"""Ranks of several methods over tasks: Friedman, critical differences, tie groups, agreement.

Rank 1 is the best (highest) score; equal scores share their mean rank. Decisions in the default report come from
pairwise sign flips, not from mean-rank post-hocs, whose verdict on A against B depends on the other methods in
the pool (Benavoli, Corani and Mangili, JMLR 17, 2016).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, nan, sqrt
from string import ascii_letters

import numpy as np
import numpy.typing as npt
from scipy import special

from snibench.stats.arrays import Floats, average_ranks, check_level, rounded
from snibench.stats.estimates import Interval

Booleans = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Friedman:
    """Friedman's test over k methods and N tasks, with the better behaved Iman-Davenport F beside it."""

    chi2: float
    p: float
    iman_davenport: float
    iman_davenport_p: float
    nemenyi_cd: float


def ranks(scores: Floats) -> Floats:
    """Ranks along the last axis, 1 = highest, ties averaged, after rounding to 12 decimals."""
    return average_ranks(-rounded(scores))


def friedman(scores: Floats, *, correct_ties: bool = True, level: float = 0.95) -> Friedman:
    """Friedman's chi-squared and the F of Iman and Davenport for ``[N, k]`` scores, one row per task.

    Args:
        scores: At least two tasks and three methods.
        correct_ties: Divide by the rank variance that is there, as SciPy and R do. Without it the statistic is
            that of Demsar (2006).
        level: One minus the alpha of the Nemenyi critical difference.

    Returns:
        If all methods tie on all tasks, statistics are 0 and p is 1. If one order holds on all tasks, F is
        infinite and its p is 0.

    Raises:
        ValueError: With fewer than two tasks or three methods.

    Source:
        Demsar, JMLR 7 (2006), section 3.2.2; Iman and Davenport, Communications in Statistics A9 (1980).
    """
    n, k = np.shape(scores)
    if n < 2 or k < 3:
        raise ValueError(f"the Friedman test needs at least two tasks and three methods, but got {n} and {k}.")
    chi2 = float(_friedman_chi2(ranks(scores), correct_ties=correct_ties))
    if np.isnan(chi2):
        chi2 = 0.0
    rest = n * (k - 1) - chi2
    f = (n - 1) * chi2 / rest if rest > 1e-9 else inf
    return Friedman(
        chi2=chi2,
        p=float(special.chdtrc(k - 1, chi2)),
        iman_davenport=f,
        iman_davenport_p=float(special.fdtrc(k - 1, (k - 1) * (n - 1), f)),
        nemenyi_cd=nemenyi_cd(k, n, level=level),
    )


def _friedman_chi2(table: Floats, *, correct_ties: bool = True) -> Floats:
    """Chi-squared of ranks ``[..., N, k]``; NaN where every row is one tie."""
    n, k = table.shape[-2:]
    middle = (k + 1) / 2.0
    between = ((table.sum(axis=-2) - n * middle) ** 2).sum(axis=-1)
    within = ((table - middle) ** 2).sum(axis=(-2, -1)) if correct_ties else n * k * (k * k - 1) / 12.0
    with np.errstate(invalid="ignore"):
        return np.asarray((k - 1) * between / within)


def nemenyi_cd(methods: int, tasks: int, *, level: float = 0.95) -> float:
    """The difference of mean ranks that Nemenyi's test of all pairs needs.

    Source:
        Demsar (2006), section 3.2.2; the Studentized range with infinite degrees of freedom over sqrt(2).
    """
    from scipy import stats  # a second to import, and here alone it is needed

    check_level(level)
    q = float(stats.studentized_range.ppf(level, methods, inf)) / sqrt(2.0)
    return q * sqrt(methods * (methods + 1) / (6.0 * tasks))


def cliques(mean_ranks: Floats, separated: Booleans) -> tuple[tuple[int, ...], ...]:
    """Maximal runs of neighbours in rank order within which no pair is separated: the bars of a CD diagram.

    Args:
        mean_ranks: ``[k]``, lower is better.
        separated: ``[k, k]``, symmetric.

    Returns:
        Indices into ``mean_ranks``, best first, runs of one included. Every index is in at least one run; no run
        is inside another.
    """
    order = [int(index) for index in np.argsort(mean_ranks, kind="stable")]
    runs: list[tuple[int, ...]] = []
    reached = 0
    for start in range(len(order)):
        end = start + 1
        while end < len(order) and not separated[order[end], order[start:end]].any():
            end += 1
        if end > reached:
            runs.append(tuple(order[start:end]))
            reached = end
    return tuple(runs)


def tie_groups(mean_ranks: Floats, separated: Booleans) -> tuple[str, ...]:
    """Letters, one string per method: two methods share a letter if and only if they are not separated.

    Args:
        mean_ranks: ``[k]``, lower is better; the best method has the first letter.
        separated: ``[k, k]``, symmetric.

    Source:
        Piepho, Journal of Computational and Graphical Statistics 13 (2004): insert and absorb.
    """
    order = [int(index) for index in np.argsort(mean_ranks, kind="stable")]
    columns = [frozenset(order)]
    for position, first in enumerate(order):
        for second in order[:position]:
            if separated[first, second]:
                columns = _split(columns, first, second)
    place = {index: position for position, index in enumerate(order)}
    columns.sort(key=lambda column: sorted(place[index] for index in column))
    names = ["" for _ in order]
    for number, column in enumerate(columns):
        letter = ascii_letters[number] if number < len(ascii_letters) else f"[{number}]"
        for index in column:
            names[index] += letter
    return tuple(names)


def _split(columns: list[frozenset[int]], first: int, second: int) -> list[frozenset[int]]:
    """``columns`` with every one that holds both methods cut in two, without those that lie inside another."""
    kept = [column for column in columns if not {first, second} <= column]
    for column in columns:
        if {first, second} <= column:
            kept += [column - {first}, column - {second}]
    return [
        column
        for number, column in enumerate(kept)
        if not any(column < other or (column == other and number > place) for place, other in enumerate(kept))
    ]


@dataclass(frozen=True, slots=True)
class Agreement:
    """Agreement of raters (formats) on the order of methods.

    ``kendall_w``: 0 none, 1 full. ``tau_b``: mean over pairs of raters. ``top1``: the chance that two raters name
    the same best method, ties broken at random. NaN where undefined: one rater, one method, or all methods tied.
    """

    kendall_w: float
    tau_b: float
    top1: float


def agreement(scores: Floats) -> Agreement:
    """The agreement of F raters on M methods, from ``[F, M]`` scores.

    Kendall's W is the tie-corrected Friedman chi-squared over F(M-1). With M = 4, tau has seven possible values:
    show the rank table too.
    """
    w, tau, top = (float(part[0]) for part in _agreement(np.asarray(scores, dtype=np.float64)[None]))
    return Agreement(w, tau, top)


def agreement_intervals(
    scores: Floats, *, rng: np.random.Generator, level: float = 0.95, draws: int = 2_000
) -> dict[str, Interval]:
    """Percentile intervals of ``agreement``, resampling tasks, by name of its field.

    Noise lowers the agreement that is seen, and a resample is noisier still: with 20 tasks the interval lies too low
    more often than not, with 119 it covers (docs/statistics.md). Read it as how far the figure depends on the tasks.

    Args:
        scores: ``[F, M, T]``; the mean over T is what raters judge by.
        rng: Source of the resampling noise.
        level: Probability in (0, 1) that the interval should cover the true agreement.
        draws: B.
    """
    check_level(level)
    values = np.asarray(scores, dtype=np.float64)
    tasks = values.shape[-1]
    picks = rng.multinomial(tasks, np.full(tasks, 1.0 / tasks), size=draws)  # [B, T]
    resampled = _agreement(np.einsum("fmt,bt->bfm", values, picks / tasks, optimize=True))
    observed = agreement(values.mean(axis=-1))
    intervals = {}
    for name, draw in zip(("kendall_w", "tau_b", "top1"), resampled, strict=True):
        known = draw[~np.isnan(draw)]
        ends = np.quantile(known, (0.5 - level / 2.0, 0.5 + level / 2.0)) if len(known) else (nan, nan)
        intervals[name] = Interval(getattr(observed, name), float(ends[0]), float(ends[1]))
    return intervals


def _agreement(scores: Floats) -> tuple[Floats, Floats, Floats]:
    """Kendall's W, mean tau-b and top-1 agreement of ``[B, F, M]`` scores, each ``[B]``."""
    values = rounded(scores)
    raters, methods = values.shape[1:]
    if raters < 2 or methods < 2:
        undefined = np.full(len(values), nan)
        return undefined, undefined, undefined
    w = _friedman_chi2(ranks(values)) / (raters * (methods - 1))

    first, second = np.triu_indices(methods, 1)
    orders = np.sign(values[..., first] - values[..., second])  # [B, F, pairs of methods]
    best = (values == values.max(axis=-1, keepdims=True)).astype(np.float64)
    best /= best.sum(axis=-1, keepdims=True)
    a, b = np.triu_indices(raters, 1)  # pairs of raters
    lengths = np.sqrt((orders**2).sum(axis=-1))  # [B, F]
    with np.errstate(invalid="ignore", divide="ignore"):
        taus = (orders @ orders.swapaxes(1, 2))[:, a, b] / (lengths[:, a] * lengths[:, b])
        known = ~np.isnan(taus)
        tau = np.clip(np.where(known, taus, 0.0).sum(axis=1) / known.sum(axis=1), -1.0, 1.0)
    top = (best @ best.swapaxes(1, 2))[:, a, b].mean(axis=1)
    return w, tau, top
