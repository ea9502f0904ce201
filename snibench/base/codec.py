"""The one codec between frozen types and JSON values: strict on the way in: no text is read as a number."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import msgspec

from snibench.base.errors import StoreError
from snibench.base.types.fits import Json

T = TypeVar("T")


def to_json(value: Any) -> Json:
    """The JSON value of a frozen dataclass: mappings, lists, texts, numbers; a tuple is a list."""
    return msgspec.to_builtins(value)


def from_json(value_type: type[T], raw: Json, path: Path, *, remedy: str) -> T:
    """``raw``, which was read from ``path``, as the frozen dataclass ``value_type``; unknown fields are ignored.

    Raises:
        StoreError: If a field is missing or of another type; names file and field, and says ``remedy``.
    """
    try:
        return msgspec.convert(raw, value_type)
    except msgspec.ValidationError as error:
        fault, _, place = str(error).replace("`", "").partition(" - at ")
        where = f"{place.removeprefix('$').removeprefix('.')}: " if place else ""
        raise StoreError(f"{path} is damaged ({where}{fault[:1].lower()}{fault[1:]}). {remedy}") from error
