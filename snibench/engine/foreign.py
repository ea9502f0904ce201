"""Weights that were not written by snibench, put into a base model: peft's adapters and whole models."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from snibench.base.errors import UsageError, first_line
from snibench.engine.adapters import keep_products_in_input_dtype, targets_as_named
from snibench.models.weights import ADAPTER


def attach_adapter(model: nn.Module, folder: Path) -> nn.Module:
    """``model`` with the adapter that peft wrote into ``folder``.

    Raises:
        UsageError: If peft cannot build it on this model, or tensors are missing, left over or of another shape.
    """
    from peft import PeftConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
    from safetensors.torch import load_file

    try:
        stored = load_file(folder / ADAPTER)
        config = PeftConfig.from_pretrained(str(folder))
        config.inference_mode = True
        with targets_as_named():
            adapted: nn.Module = get_peft_model(cast(Any, model), config)
        empty = get_peft_model_state_dict(adapted)
        set_peft_model_state_dict(adapted, dict(stored))
    except (ValueError, RuntimeError, TypeError, KeyError, OSError, SafetensorError) as error:
        raise UsageError(f"The adapter in '{folder}' does not fit the model: {first_line(error)}") from error
    _refuse(folder, sorted(empty.keys() - stored.keys()), sorted(stored.keys() - empty.keys()))
    keep_products_in_input_dtype(adapted)
    return adapted


def copy_weights(model: nn.Module, folder: Path) -> None:
    """Give ``model`` the weights of the whole model in ``folder``, in its own dtype and place.

    Raises:
        UsageError: If tensors are missing, left over or of another shape.
    """
    base = cast(Any, model)
    try:
        other, report = type(base).from_pretrained(
            str(folder), use_safetensors=True, local_files_only=True, dtype=base.dtype, output_loading_info=True
        )
    except (ValueError, RuntimeError, OSError, KeyError, SafetensorError) as error:
        raise UsageError(f"The model in '{folder}' cannot be read: {first_line(error)}") from error
    mine, theirs = model.state_dict(), other.state_dict()
    absent = [name for name, tensor in mine.items() if name not in theirs or theirs[name].shape != tensor.shape]
    _refuse(
        folder,
        [*sorted(report["missing_keys"]), *absent],
        [*sorted(report["unexpected_keys"]), *(theirs.keys() - mine)],
    )
    with torch.no_grad():
        for name, tensor in mine.items():
            cast(Tensor, tensor).copy_(theirs[name])


def _refuse(folder: Path, missing: list[str], unexpected: list[str]) -> None:
    """Raises UsageError if there are such tensors: with some of them the model would be another one."""
    if missing or unexpected:
        fault = f"{missing[0]} is missing or of another shape" if missing else f"{unexpected[0]} has no place in it"
        raise UsageError(
            f"The weights in '{folder}' do not fit the base model: {fault}. Name the model they were tuned from."
        )
