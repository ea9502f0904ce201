"""Settings dataclasses from ``--set KEY=VALUE`` text."""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from snibench.base.errors import UsageError, unknown
from snibench.base.numbers import MOST, finite_number, shown, whole_number


def parse_assignments(pairs: Sequence[str]) -> dict[str, str]:
    """``KEY=VALUE`` texts as a mapping; the last of equal keys counts.

    Raises:
        UsageError: If one has no ``=``.
    """
    found = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise UsageError(f"--set takes KEY=VALUE, but got '{pair}'.")
        found[key.strip().replace("-", "_")] = value.strip()
    return found


def make_settings(settings_type: type, owner: str, given: Mapping[str, Any]) -> Any:
    """An instance of the settings dataclass ``settings_type``: ``given`` texts are read as its fields' types.

    Raises:
        UsageError: If a key is not a field (suggests the closest), or a value is not of the field's type.
    """
    return validated(settings_type(**_values(settings_type, owner, given)))


def with_texts(settings: Any, owner: str, given: Mapping[str, Any]) -> Any:
    """``settings`` with other values for some fields; a text is read as its field's type.

    Raises:
        UsageError: If a key is not a field (suggests the closest), or a value is not of the field's type.
    """
    return validated(dataclasses.replace(settings, **_values(type(settings), owner, given)))


def _values(settings_type: type, owner: str, given: Mapping[str, Any]) -> dict[str, Any]:
    hints = get_type_hints(settings_type)
    fields = [field.name for field in dataclasses.fields(settings_type)]
    for key in given:
        if key not in fields:
            raise unknown(f"setting of {owner}", key, fields)
    return {
        key: (_read if isinstance(value, str) else _checked)(value, hints[key], f"{owner}: {key}")
        for key, value in given.items()
    }


def _checked(value: Any, field_type: Any, name: str) -> Any:
    """``value``, which is no text of a command line, as the type of its field."""
    try:
        converted = msgspec.convert(value, field_type)
    except msgspec.ValidationError as error:
        fault = str(error).replace("`", "")
        raise UsageError(f"{name} cannot be {value!r}: {fault[:1].lower()}{fault[1:]}.") from error
    if isinstance(converted, float) and not math.isfinite(converted):
        raise UsageError(f"{name} cannot be {value!r}: it is not finite.")
    return converted


def validated(settings: Any) -> Any:
    """``settings`` after their own ``validate()``, if they have one.

    Raises:
        UsageError: If they cannot be used.
    """
    if callable(check := getattr(settings, "validate", None)):
        check()
    return settings


def _read(text: str, field_type: Any, name: str) -> Any:
    origin = get_origin(field_type)
    if origin is Literal:
        if text not in get_args(field_type):
            raise UsageError(f"{name} must be one of {', '.join(map(str, get_args(field_type)))}, but got '{text}'.")
        return text
    if origin in (Union, types.UnionType):
        if text.lower() == "none" and type(None) in get_args(field_type):
            return None
        field_type = next(one for one in get_args(field_type) if one is not type(None))
        origin = get_origin(field_type)
    if origin is tuple:
        # Items with a comma in them are separated by semicolons.
        items = (item.strip() for item in text.split(";" if ";" in text else ","))
        return tuple(_read(item, get_args(field_type)[0], name) for item in items if item)
    if field_type is bool:
        words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
        if text.lower() not in words:
            raise UsageError(f"{name} must be true or false, but got '{text}'.")
        return words[text.lower()]
    if field_type in (int, float):
        try:
            return whole_number(text, least=-MOST) if field_type is int else finite_number(text)
        except ValueError:
            number = "a whole number" if field_type is int else "a number"
            raise UsageError(f"{name} must be {number}, but got '{shown(text)}'.") from None
    return text


def changed_settings(settings: Any) -> dict[str, Any]:
    """The fields that differ from their defaults."""
    defaults = type(settings)()
    return {
        field.name: getattr(settings, field.name)
        for field in dataclasses.fields(settings)
        if getattr(settings, field.name) != getattr(defaults, field.name)
    }
