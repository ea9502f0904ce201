"""Experiment trackers by name. Nothing of them is imported here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import util

from snibench.base.errors import UsageError, unknown

# Name -> the packages of which one must be there.
TRACKERS: Mapping[str, tuple[str, ...]] = {
    "tensorboard": ("tensorboard", "tensorboardX"),
    "wandb": ("wandb",),
    "mlflow": ("mlflow",),
    "trackio": ("trackio",),
}


def check_trackers(names: Sequence[str]) -> None:
    """Raises UsageError if one of ``names`` is no tracker, or is not installed; says which package it needs."""
    for name in names:
        if name not in TRACKERS:
            raise unknown("tracker", name, TRACKERS)
        if not any(util.find_spec(package) for package in TRACKERS[name]):
            package = TRACKERS[name][0]
            raise UsageError(f"--report-to {name} needs the package {package}. Run: pip install {package}")
