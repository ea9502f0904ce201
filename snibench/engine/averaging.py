"""The mean of the trained parameters over the last steps, kept beside them while they are tuned."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_swa_multi_avg_fn

from snibench.base.types import Recipe

SHARE = 0.25  # of the steps, the last ones


class TailMean:
    """The running mean of ``named`` over the last quarter of the steps, at least one; off for other schedules.

    It takes as much memory as the parameters, in their dtype (float32), from its first step on. The tuning goes on
    from the parameters themselves, not from their mean, so the optimizer and the method's own state never meet it.

    Source:
        Izmailov et al., Averaging Weights Leads to Wider Optima and Better Generalization (UAI 2018), Algorithm 1, at
        a constant rate and with every step of the tail; the tail instead of the whole: Jain et al., Parallelizing
        Stochastic Gradient Descent for Least Squares Regression (JMLR 2018). No model here has batch statistics that
        would have to be computed anew.
    """

    def __init__(self, named: Mapping[str, nn.Parameter], recipe: Recipe) -> None:
        self._named = named
        self._first = recipe.steps - math.ceil(SHARE * recipe.steps) if recipe.schedule == "averaged" else recipe.steps
        self._average = get_swa_multi_avg_fn()
        self.count = 0  # steps in the mean
        self.values: dict[str, Tensor] = {}

    @torch.no_grad()
    def add(self, step: int) -> None:
        """Take in the parameters after step number ``step``, counted from 0, if it is one of the last."""
        if step < self._first:
            return
        if self.count == 0:
            self.values = {name: parameter.detach().clone() for name, parameter in self._named.items()}
        else:
            self._average(list(self.values.values()), list(self._named.values()), self.count)
        self.count += 1

    @torch.no_grad()
    def put_in_place(self) -> None:
        """Set the parameters to their mean, if there is one."""
        for name, value in self.values.items():
            self._named[name].copy_(value)

    def restore(self, count: int, values: Mapping[str, Tensor]) -> None:
        """Go on from an earlier ``count`` and ``values``."""
        self.count, self.values = count, dict(values)
