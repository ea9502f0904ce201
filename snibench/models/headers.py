"""``ModelInfo`` of a model folder: its config and the headers of its weight files, read without torch.

What is broken in a folder is said here, while a run is planned, and not after its first fits.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from snibench.base import reading
from snibench.base.errors import ModelError
from snibench.base.types import ModelInfo

_LARGEST = 64 * 2**20  # bytes of a config or an index
_INDEX = "model.safetensors.index.json"
# What no model is without, under the names that configs have for it: whole numbers from 1 on.
_COUNTS = {
    *("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads"),
    *("n_embd", "n_layer", "n_head", "d_model", "num_layers", "num_heads"),
}
# Ends of names that stand for numbers, null where the model does not need them.
_NUMERIC = (
    "_size",
    "_layers",
    "_heads",
    "_dim",
    "_eps",
    "_epsilon",
    "_theta",
    "_embeddings",
    "_experts",
    "n_positions",
)


def read_headers(folder: Path) -> ModelInfo:
    """Model in ``folder``, by its headers.

    Raises:
        ModelError: If the config or a weight file cannot be read, is cut off, or has no number where one must stand.
    """
    config = _config(folder / "config.json")
    shapes: dict[str, tuple[int, ...]] = {}
    for path in weight_files(folder):
        shapes |= _shapes(path)
    return ModelInfo(config, shapes, sum(math.prod(shape) for shape in shapes.values()))


def weight_files(folder: Path) -> list[Path]:
    """The weight files that transformers reads: one, or the shards that an index names; else all there are.

    Raises:
        ModelError: If the index cannot be read, or names a shard that is not there.
    """
    if (folder / "model.safetensors").is_file():
        return [folder / "model.safetensors"]
    if not (index := folder / _INDEX).is_file():
        return sorted(folder.glob("*.safetensors"))
    shards = read_object(index).get("weight_map")
    if not isinstance(shards, Mapping):
        raise ModelError(f"'{index}' has no weight_map. Save the model again, or fetch the file again.")
    files = [folder / name for name in sorted(set(map(str, shards.values())))]
    for file in files:
        if not file.is_file():
            raise ModelError(f"'{index}' names '{file.name}', which is not there. Fetch it into the folder.")
    return files


def _shapes(path: Path) -> dict[str, tuple[int, ...]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"The weight file '{path}' is cut off or is not safetensors ({error}). Fetch or save it again."
        ) from error


def _config(path: Path) -> dict[str, Any]:
    config = read_object(path)
    for where, part in _parts(config):
        for key, value in part.items():
            _check_number(path, f"{where}{key}", key, value)
    return config


def _parts(config: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "", config
    for name, part in config.items():
        if name.endswith("text_config") and isinstance(part, dict):
            yield f"{name}.", part


def _check_number(path: Path, name: str, key: str, value: Any) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if key in _COUNTS:
        # Some configs have a number for every layer.
        whole = number and math.isfinite(value) and value >= 1 and value == int(value)
        right = whole or (isinstance(value, list) and bool(value))
        wanted = "a whole number from 1 on"
    else:
        right, wanted = not (key.endswith(_NUMERIC) and isinstance(value, str)), "a number"
    if not right:
        shown = json.dumps(value)
        raise ModelError(f"'{path}' has {shown} as {name}, where {wanted} must stand. Correct it or fetch it again.")


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        ModelError: If there is none.
    """
    try:
        value = reading.read_json(path, _LARGEST)
    except reading.Unreadable as error:
        raise ModelError(f"'{path}' cannot be read as JSON (it {error}). Fetch or save it again.") from error
    if not isinstance(value, dict):
        raise ModelError(f"'{path}' holds no JSON object. Fetch or save it again.")
    return value
