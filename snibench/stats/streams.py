"""Spread of the accuracies of streams."""

from __future__ import annotations

import numpy as np

from snibench.stats.arrays import Floats


def iqr(values: Floats) -> Floats:
    """The interquartile range over the last axis, type-7 quartiles."""
    low, high = np.quantile(values, (0.25, 0.75), axis=-1)
    return np.asarray(high - low)


def excess_sd(accuracies: Floats, noise: Floats) -> Floats:
    """SD of stream accuracies beyond binomial noise, over the last axis; 0 where noise explains all.

    Args:
        accuracies: ``[..., n]``, one per stream.
        noise: ``[..., n]``, the variance of each stream's accuracy from its answers alone.
    """
    return np.asarray(np.sqrt(np.maximum(0.0, np.var(accuracies, axis=-1, ddof=1) - np.mean(noise, axis=-1))))
