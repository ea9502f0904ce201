"""Temperature-scaled mixing: between proportional and equal shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from snibench.base.bounds import Positive
from snibench.contracts import Draw, Sampler
from snibench.samplers.systematic import capped, systematic


@dataclass(frozen=True, slots=True)
class TemperatureSettings:
    """``temperature``: T, by whose root sizes are evened out; 1 is proportional, infinity equal."""

    temperature: Positive = 2.0


class Temperature(Sampler):
    """A task is drawn in proportion to ``size ** (1/T)``, but at most once a step.

    Source:
        Arivazhagan et al., Massively Multilingual Neural Machine Translation in the Wild (2019), section 4; Raffel et
        al. (JMLR 2020), section 3.5.2.
    """

    Settings: ClassVar[type] = TemperatureSettings

    def draw(self, step: Draw) -> Sequence[str]:
        """Tasks of this step."""
        names = list(step.sizes)
        sizes = np.array([step.sizes[name] for name in names], dtype=float)
        shares = (sizes / sizes.max()) ** (1 / self.settings.temperature)
        return [names[index] for index in systematic(capped(shares, step.count), step.rng)]
