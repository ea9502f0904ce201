"""Provenance of a fit: versions, commit, device."""

from __future__ import annotations

import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version

import torch

_PACKAGES = ("snibench", "torch", "transformers", "peft", "tokenizers", "numpy", "pandas", "scipy")


def software_versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide numbers, and the commit of a checkout."""
    versions = {"python": platform.python_version(), "system": platform.system(), **_git()}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


@cache
def _git() -> dict[str, str]:
    """The commit that the run started from, and whether files differed from it; nothing outside a checkout."""

    def ask(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        dirty = "true" if ask("status", "--porcelain", "--untracked-files=no") else "false"
        return {"git_commit": ask("rev-parse", "HEAD"), "git_dirty": dirty}
    except (OSError, subprocess.SubprocessError):
        return {}


def device_name(device: torch.device) -> str:
    """Model of the GPU, or architecture and threads of the processor."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()}, {torch.get_num_threads()} threads"
