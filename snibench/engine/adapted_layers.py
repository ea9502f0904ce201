"""The layers of a model that every LoRA-like method adapts, ours and peft's alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from snibench.engine.backbone import base_of

# Families that read these projections' weights past their modules, in fused kernels or everywhere, so that an adapter
# would not be seen; left out whether or not a machine has the kernels.
_MAMBA = frozenset({"x_proj", "dt_proj", "out_proj"})


_MAMBA2 = frozenset({"out_proj"})


_READ_PAST = {
    **dict.fromkeys(("mamba", "falcon_mamba"), _MAMBA),
    **dict.fromkeys(("mamba2", "bamba", "falcon_h1", "granitemoehybrid", "zamba2", "nemotron_h"), _MAMBA2),
    "jamba": frozenset({"dt_proj"}),
}


# Parts of a mixture of experts: the experts themselves, whose tokens are gathered from all rows, and what chooses them.
_EXPERTS = {"experts", "gate", "router", "shared_expert_gate"}


def is_expert_part(name: str) -> bool:
    """Whether a module of this name is an expert of a mixture of experts, or chooses them, or is inside of one."""
    return bool(_EXPERTS & set(name.split(".")))


def sizes_of(layer: nn.Module) -> tuple[int, int]:
    """Inputs and outputs of a linear layer; transformers' ``Conv1D`` (GPT-2) has its weight the other way round."""
    if isinstance(layer, nn.Linear):
        return layer.in_features, layer.out_features
    inputs, outputs = cast(Tensor, layer.weight).shape
    return inputs, outputs


def adapted_layers(model: nn.Module) -> list[str]:
    """Names, in module order, of the layers that every LoRA-like method adapts, ours and peft's alike.

    All linear layers (``Conv1D`` among them) of the part that reads and writes text, but the output embedding, and in a
    mixture of experts neither the experts nor what chooses them: most are stacked parameters and no layers, and a token
    that is sent to an expert no longer shows whose row it is of. Experts that see every token are adapted. Left out are
    layers that are more or less than ``W x + b`` (a product in blocks) or whose weight the model reads of itself.
    """
    from transformers.pytorch_utils import Conv1D

    base = base_of(model)
    head, text = base.get_output_embeddings(), _text_part(base)
    inside = {id(module) for module in text.modules()}
    experts = _EXPERTS if _has_experts(base.config) else set()
    read_past = _READ_PAST.get(base.config.get_text_config().model_type, frozenset())
    return [
        name
        for name, module in base.named_modules()
        if isinstance(module, nn.Linear | Conv1D)
        and module is not head
        and id(module) in inside
        and name.rpartition(".")[2] not in read_past
        and not experts & set(name.split("."))
        and _multiplies(module)
    ]


def _multiplies(layer: nn.Module) -> bool:
    """Whether a layer is ``x -> W x + b``; a subclass may be a router or a product in blocks, with the same weight."""
    from transformers.pytorch_utils import Conv1D

    if type(layer).forward in (nn.Linear.forward, Conv1D.forward):
        return True
    inputs, outputs = sizes_of(layer)
    weight = cast(Tensor, layer.weight)
    try:
        with torch.no_grad():
            product = layer(torch.zeros(1, 1, inputs, dtype=weight.dtype, device=weight.device))
    except RuntimeError:
        return False
    return isinstance(product, Tensor) and product.shape == (1, 1, outputs)


def _has_experts(config: Any) -> bool:
    """Whether the model is a mixture of experts, by its config's number of them."""
    numbers = config.get_text_config().to_dict()
    return any(name.endswith("experts") and isinstance(value, int) and value > 1 for name, value in numbers.items())


def _text_part(base: Any) -> nn.Module:
    """The decoder of a model that also sees or hears; the whole model where it is all text."""
    if base.config.is_encoder_decoder or not hasattr(base.config, "text_config"):
        return cast(nn.Module, base)
    return cast(nn.Module, base.get_decoder())


def described(layers: Sequence[str]) -> str:
    """Number of layers, and their last names by frequency in the model."""
    counts = Counter(name.rpartition(".")[2] for name in layers)
    groups: dict[int, list[str]] = {}
    for name, count in counts.items():
        groups.setdefault(count, []).append(name)
    parts = (f"{', '.join(names)} ({count}{' each' if len(names) > 1 else ''})" for count, names in groups.items())
    return f"{len(layers)} linear layers: {'; '.join(parts)}"
