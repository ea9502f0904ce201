"""How an adapter of peft gets into a model: injected into its layers, or as virtual tokens before every prompt."""

from __future__ import annotations

from typing import Any, cast

import torch
from peft import PEFT_TYPE_TO_CONFIG_MAPPING, PeftType, get_peft_model
from peft.utils.constants import TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING
from torch import Tensor, nn

from snibench.api import (
    ModelInfo,
    UsageError,
    adapted_layers,
    base_of,
    draw_down_projections,
    insert_prefix,
    insert_prompt,
    targets_as_named,
)

# Their encoders hold keys and values of every layer; those of the other virtual-token types hold input embeddings.
PREFIXES = {"PREFIX_TUNING", "CARTRIDGE"}


# Families whose linear layers are transformers' Conv1D, with the weight transposed.
_CONV1D = {"gpt2", "openai-gpt"}


def no_place_for_linear(info: ModelInfo, kind: str) -> str | None:
    """Why adapter ``kind``, which takes plain linear layers alone, has no place in a model; None where it has."""
    if info.model_type in _CONV1D:
        return f"peft's {kind.lower()} takes linear layers alone, and a {info.architecture} has Conv1D in their place."
    return None


def no_place_for_factors(info: ModelInfo) -> str | None:
    """Why IA3 has no place in a model: it treats the second feed-forward layers apart, which peft knows by family."""
    if info.model_type in TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING:
        return None
    return f"peft's ia3 does not know which layers of a {info.architecture} are the second feed-forward ones."


def attach_adapter(model: nn.Module, kind: str, seed: int, **arguments: Any) -> nn.Module:
    """``model`` with peft's adapter ``kind`` (the name of a ``PeftType``), drawn from ``seed``.

    ``target_modules="all-linear"`` are the layers that snibench's own methods adapt, not peft's.

    Raises:
        UsageError: If peft refuses the arguments, or does not find a place for the adapter in this model.
    """
    task = "SEQ_2_SEQ_LM" if getattr(model.config, "is_encoder_decoder", False) else "CAUSAL_LM"
    if arguments.get("target_modules") == "all-linear":
        arguments["target_modules"] = adapted_layers(model)
    make = PEFT_TYPE_TO_CONFIG_MAPPING[PeftType[kind]]
    try:
        config = make(task_type=task, **arguments)
        with targets_as_named():
            adapted: nn.Module = get_peft_model(cast(Any, model), config)
    except (AssertionError, ImportError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        cause = (str(error).splitlines() or [type(error).__name__])[0]
        raise UsageError(f"peft does not put {kind.lower()} on a {type(model).__name__}: {cause}") from error
    if config.is_prompt_learning:
        _insert_virtual_tokens(adapted, kind)
    if kind == "IA3":
        _name_whole(config)
    draw_down_projections(adapted, seed)
    return adapted


def _name_whole(config: Any) -> None:
    """Name IA3's feed-forward layers in whole, as its targets are named, else peft does not read what it wrote."""
    if isinstance(config.target_modules, set) and isinstance(config.feedforward_modules, set):
        ends = tuple(f".{name}" for name in config.feedforward_modules)
        whole = {name for name in config.target_modules if name.endswith(ends)}
        config.feedforward_modules = whole | (config.feedforward_modules & config.target_modules)


def encoder_of(adapted: nn.Module) -> Any:
    """Module with the learned numbers of a virtual-token adapter."""
    return cast(Any, adapted).prompt_encoder["default"]


def _insert_virtual_tokens(adapted: nn.Module, kind: str) -> None:
    """Let the harness put the adapter's virtual tokens before every prompt: it calls the model, not peft's wrapper."""
    encoder, config = encoder_of(adapted), cast(Any, adapted).peft_config["default"]
    count: int = config.num_virtual_tokens
    stored: list[bool] = []
    # peft stores what an encoder gives, not what it is made of, and reads it back in place of its input.
    encoder.embedding.register_load_state_dict_post_hook(lambda module, keys: stored.append(True))

    def learned() -> Tensor:
        table: Tensor = encoder.embedding.weight
        if stored:
            return table
        whole: Tensor = encoder(torch.arange(count, device=table.device)[None])[0]
        return whole

    if kind in PREFIXES:
        insert_prefix(
            adapted, count, lambda: learned().view(count, config.num_layers, 2, -1).permute(1, 2, 0, 3)
        )  # [layers, 2, n, W]
    else:
        insert_prompt(adapted, count, lambda ids, plain: learned())


def words_of(model: nn.Module, count: int) -> Tensor:
    """``[n]`` ids drawn from the vocabulary: what virtual tokens start as, so that they start as something readable."""
    table = base_of(model).get_input_embeddings().weight
    return torch.randint(len(table), (count,)).to(table.device)
