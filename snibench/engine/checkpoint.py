"""The state of a tuning under way, on disk: one safetensors file, never a pickle.

Optimizers are read and written through ``state_dict``, so that no name of one optimizer's state stands here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from snibench.contracts import Rule
from snibench.engine.averaging import TailMean
from snibench.engine.checkpoint_files import write_checkpoint
from snibench.engine.optimizers import Together
from snibench.engine.progress import Tuning
from snibench.engine.sampling import Draws


def save_checkpoint(
    path: Path,
    named: Mapping[str, nn.Parameter],
    mean: TailMean,
    optimizer: torch.optim.Optimizer | Together,
    rule: Rule,
    draws: Draws,
    progress: Tuning,
) -> None:
    """Write all that the rest of the run depends on, in one step."""
    moments, options = _flattened(optimizer.state_dict())
    tensors = {f"parameter.{name}": parameter.detach() for name, parameter in named.items()} | moments
    tensors |= {f"mean.{name}": value for name, value in mean.values.items()}
    metadata = {
        "optimizer": json.dumps(options),
        "mean": json.dumps(mean.count),
        "progress": json.dumps(asdict(progress)),
        "rule": json.dumps(rule.state()),
        "draws": json.dumps(draws.state()),
    }
    write_checkpoint(path, tensors, metadata)


def load_checkpoint(
    path: Path,
    named: Mapping[str, nn.Parameter],
    mean: TailMean,
    optimizer: torch.optim.Optimizer | Together,
    rule: Rule,
    draws: Draws,
    progress: Tuning,
    device: torch.device,
) -> None:
    """Set parameters, their mean, optimizer, rule, draws and progress to what ``save_checkpoint`` wrote."""
    with safe_open(path, framework="pt", device=str(device)) as file:
        metadata = file.metadata()
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a mapping)
    with torch.no_grad():
        for name, parameter in named.items():
            parameter.copy_(tensors[f"parameter.{name}"])
    mean.restore(
        json.loads(metadata["mean"]),
        {name: tensors[f"mean.{name}"] for name in named if f"mean.{name}" in tensors},
    )
    optimizer.load_state_dict(_nested(json.loads(metadata["optimizer"]), tensors))
    rule.restore(json.loads(metadata["rule"]))
    draws.restore(json.loads(metadata["draws"]))
    for name, value in json.loads(metadata["progress"]).items():
        setattr(progress, name, value)


def _flattened(state: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """An optimizer's tensors by ``optimizer.<parameter>.<key>``, and all else as JSON."""
    tensors = {}
    rest: dict[str, Any] = {"param_groups": state["param_groups"], "state": {}}
    for index, values in state["state"].items():
        rest["state"][str(index)] = {}
        for key, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer.{index}.{key}"] = value
            else:
                rest["state"][str(index)][key] = value
    return tensors, rest


def _nested(rest: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """The state that ``_flattened`` took apart."""
    state: dict[int, dict[str, Any]] = {int(index): dict(values) for index, values in rest["state"].items()}
    for name, value in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".", 2)
            state[int(index)][key] = value
    return {"param_groups": rest["param_groups"], "state": state}
