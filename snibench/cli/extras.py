"""Optional parts of snibench that are installed."""

from __future__ import annotations

from importlib import util

from snibench.base.errors import MissingExtra

_TRAIN = ("torch", "transformers", "peft")


def has_train() -> bool:
    """Whether what runs a model is installed."""
    return all(util.find_spec(package) is not None for package in _TRAIN)


def require_train(purpose: str) -> None:
    """Raises MissingExtra if what runs a model is not installed; ``purpose`` begins its sentence."""
    if not has_train():
        raise MissingExtra(purpose, "train")
