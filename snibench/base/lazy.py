"""``torch`` and ``torch.nn``, imported when something of them is first used.

Methods and rules take them from here, so that a run is planned, and refused, before torch is there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import nn
else:
    from importlib import import_module

    class _Lazy:
        """Stands for a module until an attribute is asked for."""

        def __init__(self, name):
            self._name = name

        def __getattr__(self, attribute):
            return getattr(import_module(self._name), attribute)

    torch, nn = _Lazy("torch"), _Lazy("torch.nn")

__all__ = ["nn", "torch"]
