"""Optional members of a settings class beside its fields, and the empty settings.

Settings are frozen dataclasses. Bounds of a number stand in its type (``snibench.base.bounds``). Each of these is
optional:

- ``validate()``: called while a run is planned; raises ``UsageError`` for values that cannot be used.
- ``of_seed(seed)``: the settings of one seed's fit, with whatever names a file resolved and the file's digest beside
  it, so that other contents are another fit. What it returns is stored, and part of the fit's id.
- ``by_seed``: True if a method that does not train has one fit for each seed all the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class NoSettings:
    """Settings of something that has none."""


def names_seed(path: str) -> bool:
    """Whether ``path`` has ``{seed}`` in it, so that each seed has a file or folder of its own."""
    return "{seed}" in path


def path_of_seed(path: str, seed: int) -> str:
    """``path`` with the seed in place of ``{seed}``."""
    return path.replace("{seed}", str(seed))


def settings_of_seed(settings: Any, seed: int) -> Any:
    """``settings`` as one seed's fit has them.

    Raises:
        UsageError: If what they name is not there.
    """
    return settings.of_seed(seed) if hasattr(settings, "of_seed") else settings
