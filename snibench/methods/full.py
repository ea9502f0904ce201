"""Full fine-tuning: every parameter of the base model."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

from snibench.base.bounds import Bounds
from snibench.base.lazy import nn
from snibench.base.types import ModelInfo, TaskCard
from snibench.contracts import Encode, Group
from snibench.methods.base import BaseMethod, attach_all
from snibench.plan.learning_rates import usual_rate

_BLOCK = re.compile(r"(.*?)\.(\d+)\.")  # a stack of blocks, and the number of one of them


@dataclass(frozen=True, slots=True)
class FullSettings:
    """``layer_decay``: the learning rate of a layer relative to that of the layer above; 1: the same for all."""

    layer_decay: Annotated[float, Bounds(above=0, most=1)] = 1.0


class Full(BaseMethod):
    """Every parameter is tuned, in float32, on the mean of task gradients.

    What adapters are measured against. It wants far lower learning rates than they do (docs/recipe.md), and with a rule
    that needs task gradients, memory for K copies of the model's gradient.

    With ``layer_decay`` below 1 lower layers move less: the norm and the head above all blocks have the run's learning
    rate, the n-th block from the top ``layer_decay ** n`` times it, embeddings (a head that is tied to them, too) the
    least of all.

    Source of the decay: Howard and Ruder, Universal Language Model Fine-tuning (ACL 2018), section 3.2; by depth with
    embeddings at the bottom as in Clark et al., ELECTRA (ICLR 2020).
    """

    Settings: ClassVar[type] = FullSettings

    def base_rate(self, info: ModelInfo, optimizer: str) -> float | None:
        """Usual learning rate of whole models of this size."""
        return usual_rate(info.parameters, "everything", optimizer)

    def attach(self, model: nn.Module, cards: Sequence[TaskCard], encode: Encode, seed: int) -> nn.Module:
        """``model``, all of it trainable."""
        tables = [module for module in model.modules() if isinstance(module, nn.Embedding)]
        self._tables = {id(parameter) for table in tables for parameter in table.parameters()}
        return attach_all(model)

    def groups(self, named: Mapping[str, nn.Parameter]) -> Mapping[str, Group]:
        """Every parameter by its depth below the top; none where all learn alike."""
        decay = self.settings.layer_decay
        if decay == 1:
            return {}
        blocks = {name: (found[1], int(found[2])) for name in named if (found := _BLOCK.match(name))}
        sizes: dict[str, int] = {}
        for stack, number in blocks.values():
            sizes[stack] = max(sizes.get(stack, 0), number + 1)
        deepest = max(sizes.values(), default=0) + 1

        def depth(name: str, parameter: nn.Parameter) -> int:
            if name in blocks:
                stack, number = blocks[name]
                return sizes[stack] - number
            return deepest if id(parameter) in self._tables else 0

        return {name: Group(scale=decay ** depth(name, parameter)) for name, parameter in named.items()}
