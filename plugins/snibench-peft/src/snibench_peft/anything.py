"""``--method peft --set type=...``: any adapter of peft that trains on a plain loss."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from peft import PEFT_TYPE_TO_CONFIG_MAPPING, PeftType
from torch import nn

from snibench.api import (
    BaseMethod,
    Encode,
    ModelInfo,
    TaskCard,
    UsageError,
    canonical_json,
    no_place_for_prefix,
    no_place_for_prompt,
    unknown,
)
from snibench_peft.attaching import PREFIXES, attach_adapter, no_place_for_factors, no_place_for_linear

# What is not peft's own default: what the type is for, or what makes it start at the base model.
_ARGUMENTS: Mapping[str, Mapping[str, Any]] = {
    "C3A": {"init_weights": True},
    "FOURIERFT": {"init_weights": True},
    "PROMPT_TUNING": {"num_transformer_submodules": 1},
    "P_TUNING": {"num_transformer_submodules": 1},
}
_REFUSED: Mapping[str, str] = {
    "ADALORA": "it moves ranks between layers after each optimizer step, which only its own training loop does",
    "CPT": "its loss weighs the words of its own prompt, and snibench owns the loss",
    "LILY": "its routing is a mean over all rows of a batch, so an answer would depend on the other rows",
    "MULTITASK_PROMPT_TUNING": "it learns a prompt for each seen task and has none for an unseen one",
    "POLY": "it needs each row's task: use --method poly",
    "SHADOW": "its layers hand a second state from block to block, which only peft's own forward pass unpacks",
    "XLORA": "it mixes adapters that are trained already",
}
_PROMPTS = {"PROMPT_TUNING", "P_TUNING"}
# Types that refuse GPT-2's transposed linear layers (Conv1D).
_LINEAR_ONLY = {
    *("ADAMSS", "BEFT", "BOFT", "C3A", "DELORA", "GLORA", "HRA", "LOHA", "LOKR", "MISS", "OFT", "PEANUT", "PSOFT"),
    *("ROAD", "SHIRA", "SUPERTUNING"),
}
# Fields of every config that belong to snibench, and to files.
_OURS = {"peft_type", "task_type", "inference_mode", "auto_mapping", "base_model_name_or_path", "revision"}


@dataclass(frozen=True, slots=True)
class PeftSettings:
    """``type``: a type of peft, such as vera, oft, boft, loha, lokr, hra, miss, road, vblora, randlora, fourierft.

    ``config``: its arguments as a JSON object, such as ``{"r": 64}``; what is not named has peft's default, and
    ``target_modules`` is "all-linear" where the type takes linear layers. Equal objects are equal settings.
    """

    type: str = "lora"
    config: str = "{}"

    def __post_init__(self) -> None:
        kind = self.type.upper().replace("-", "_")
        known = {one.name for one in PEFT_TYPE_TO_CONFIG_MAPPING}
        if kind not in known:
            raise unknown("type of peft", self.type, [one.lower() for one in known - _REFUSED.keys()])
        if kind in _REFUSED:
            raise UsageError(f"peft's {self.type} cannot be used here: {_REFUSED[kind]}.")
        arguments = _read(self.config)
        fields = {field.name for field in dataclasses.fields(_config(kind))} - _OURS
        for key in arguments:
            if key not in fields:
                raise unknown(f"argument of peft's {self.type}", key, fields)
        if arguments.get("prefix_projection"):
            raise UsageError("prefix_projection must be false: peft stores what it projects to, and not itself.")
        object.__setattr__(self, "type", kind.lower())
        object.__setattr__(self, "config", canonical_json(arguments))


class Peft(BaseMethod):
    """Any adapter of Hugging Face peft: ``--set type=vera --set config='{"r": 64}'``.

    Types differ a thousandfold in size at their defaults, so look at the number of trainable parameters, which every
    report shows. Types that need more than a loss are refused with the reason.

    Source: the paper that peft's documentation names for each type.
    """

    Settings: ClassVar[type] = PeftSettings

    def unfit(self, info: ModelInfo) -> str | None:
        """Requirements of an adapter type that the headers of a model do not meet."""
        kind = self.settings.type.upper()
        if kind in PREFIXES:
            return no_place_for_prefix(info)
        if kind in _PROMPTS:
            return no_place_for_prompt(info)
        if kind == "IA3" and "feedforward_modules" not in _read(self.settings.config):
            return no_place_for_factors(info)
        return no_place_for_linear(info, kind) if kind in _LINEAR_ONLY else super().unfit(info)

    def attach(self, model: nn.Module, cards: Sequence[TaskCard], encode: Encode, seed: int) -> nn.Module:
        """``model`` with the adapter."""
        kind = self.settings.type.upper()
        return attach_adapter(model, kind, seed, **{**_defaults(kind), **_read(self.settings.config)})


def _config(kind: str) -> Any:
    return PEFT_TYPE_TO_CONFIG_MAPPING[PeftType[kind]]


def _defaults(kind: str) -> dict[str, Any]:
    """Fields of the config that the user did not set."""
    fields = {field.name for field in dataclasses.fields(_config(kind))}
    found = dict(_ARGUMENTS.get(kind, {}))
    # Norms, biases, attention blocks and single tokens are no linear layers: those types know their own places.
    if "target_modules" in fields and kind not in {"ADAPTION_PROMPT", "LN_TUNING", "TRAINABLE_TOKENS"}:
        found["target_modules"] = "all-linear"
    if "num_virtual_tokens" in fields:
        found["num_virtual_tokens"] = 20
    return found


def _read(text: str) -> dict[str, Any]:
    wrong = UsageError(f"config must be a JSON object such as '{{\"r\": 64}}', but got '{text}'.")
    try:
        value = json.loads(text)
    except ValueError as error:
        raise wrong from error
    if not isinstance(value, dict):
        raise wrong
    return value
