"""The two newest checkpoints of a tuning: where one is damaged, the one before it is there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from snibench.store import write_whole

_DIGEST = "digest"  # of all else in the file


def previous(path: Path) -> Path:
    """Path of the checkpoint before that at ``path``."""
    return path.with_suffix(f".previous{path.suffix}")


def write_checkpoint(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a checkpoint with its digest; the one that was there is kept as the previous one.

    Raises:
        StoreError: If the disk does not take it; the previous one is there.
    """
    whole = {name: tensor.contiguous() for name, tensor in tensors.items()}
    sealed = {**metadata, _DIGEST: _digest(whole, metadata)}
    if path.exists():
        path.replace(previous(path))
    write_whole(path, lambda temporary: save_file(whole, temporary, sealed))


def newest_intact(path: Path) -> tuple[Path | None, str]:
    """The newest checkpoint that is as it was written, None if there is none; and a sentence about damaged ones."""
    damaged = 0
    for file in (path, previous(path)):
        if not file.exists():
            continue
        if _is_intact(file):
            return file, "the newest checkpoint was damaged; tuning went on from the one before" if damaged else ""
        damaged += 1
    return None, "the checkpoints were damaged; tuning began anew" if damaged else ""


def remove_checkpoints(path: Path) -> None:
    """Remove the checkpoint at ``path`` and the one before it."""
    for file in (path, previous(path)):
        file.unlink(missing_ok=True)


def _is_intact(file: Path) -> bool:
    try:
        with safe_open(file, framework="pt") as opened:
            metadata = dict(opened.metadata() or {})
            tensors = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118 (not a mapping)
    except (OSError, ValueError, SafetensorError):
        return False
    return bool(metadata.pop(_DIGEST, None) == _digest(tensors, metadata))


def _digest(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    sha256 = hashlib.sha256(json.dumps(dict(sorted(metadata.items()))).encode())
    for name, tensor in sorted(tensors.items()):
        sha256.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        sha256.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().data)
    return sha256.hexdigest()
