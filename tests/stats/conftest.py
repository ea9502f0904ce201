"""Published data sets with published answers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import settings

from snibench.stats.arrays import Floats

# A deadline would test how busy the machine is.
settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")


@pytest.fixture
def demsar() -> Floats:
    """AUC of C4.5, C4.5+m, C4.5+cf, C4.5+m+cf on 14 data sets: Demsar, JMLR 7 (2006), table 6.

    Data set voting reads 0.975 for the last two, yet has ranks 2 and 3: they differ beyond the digits printed.
    """
    return np.array(
        [
            [0.763, 0.768, 0.771, 0.798],
            [0.599, 0.591, 0.590, 0.569],
            [0.954, 0.971, 0.968, 0.967],
            [0.628, 0.661, 0.654, 0.657],
            [0.882, 0.888, 0.886, 0.898],
            [0.936, 0.931, 0.916, 0.931],
            [0.661, 0.668, 0.609, 0.685],
            [0.583, 0.583, 0.563, 0.625],
            [0.775, 0.838, 0.866, 0.875],
            [1.000, 1.000, 1.000, 1.000],
            [0.940, 0.962, 0.965, 0.962],
            [0.619, 0.666, 0.614, 0.669],
            [0.972, 0.981, 0.9752, 0.9751],
            [0.957, 0.978, 0.946, 0.970],
        ]
    )


@pytest.fixture
def maize() -> Floats:
    """Darwin's 15 differences of height, crossed minus self-fertilised, in eighths of an inch (Fisher 1935)."""
    return np.array([49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48], dtype=np.float64)
