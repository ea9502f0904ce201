"""The trainable parameters of a model in files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from snibench.base.errors import StoreError, first_line


def save_trained(model: nn.Module, folder: Path) -> None:
    """Write a model's trainable parameters into the new ``folder`` as safetensors.

    In peft's layout where peft made the adapter, so that ``PeftModel.from_pretrained`` reads it. Of a soft prompt peft
    keeps what its encoder gives, not the encoder: the parameters themselves stand beside it.
    """
    from safetensors.torch import save_file

    folder.mkdir()
    config = cast(Any, model).peft_config["default"] if hasattr(model, "peft_config") else None
    if config is not None:
        from peft import get_peft_model_state_dict

        config.save_pretrained(folder)
        save_file(_whole(get_peft_model_state_dict(model)), folder / "adapter_model.safetensors")
    if config is None or config.is_prompt_learning:
        trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
        save_file(_whole(trained), folder / "trainable.safetensors")


def load_trained(model: nn.Module, folder: Path) -> None:
    """Give ``model``, freshly attached, the parameters that ``save_trained`` wrote.

    Raises:
        StoreError: If the file cannot be read, or does not hold the parameters of ``model``, all and no other.
    """
    file = folder / "trainable.safetensors"
    if not file.exists():
        from peft import get_peft_model_state_dict, set_peft_model_state_dict

        stored = _stored(folder / "adapter_model.safetensors", get_peft_model_state_dict(model))
        set_peft_model_state_dict(model, stored)
        return
    wanted = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    stored = _stored(file, wanted)
    with torch.no_grad():
        for name, parameter in wanted.items():
            parameter.copy_(stored[name])


def _stored(file: Path, expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of ``file``, which must have the names and shapes of ``expected``."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        stored = load_file(file)
    except (OSError, SafetensorError) as error:
        raise StoreError(f"{file} cannot be read ({first_line(error)}).") from error
    lacking, further = sorted(expected.keys() - stored.keys()), sorted(stored.keys() - expected.keys())
    other = sorted(name for name in expected.keys() & stored.keys() if expected[name].shape != stored[name].shape)
    for fault, names in (("lacks", lacking), ("has the unknown tensor", further), ("has another shape of", other)):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise StoreError(f"{file} {fault} {names[0]}{more}.")
    return dict(stored)


def _whole(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors as safetensors stores them: on the CPU, contiguous, none sharing memory with another."""
    return {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()
    }
