"""Settings dataclasses from ``--set KEY=VALUE`` text."""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from snibench.base.bounds import Bounds
from snibench.base.errors import PluginError, UsageError, first_line, unknown
from snibench.base.numbers import MOST, finite_number, shown, whole_number


def parse_assignments(pairs: Sequence[str]) -> dict[str, str]:
    """``KEY=VALUE`` texts as a mapping; the last of equal keys counts.

    Raises:
        UsageError: If one has no ``=``.
    """
    texts = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise UsageError(f"--set takes KEY=VALUE, but got '{pair}'.")
        texts[key.strip().replace("-", "_")] = value.strip()
    return texts


def make_settings(settings_type: type, owner: str, texts: Mapping[str, Any]) -> Any:
    """An instance of the settings dataclass ``settings_type``; a text is read as its field's type.

    Raises:
        UsageError: If a key is not a field (suggests the closest), or a value is not of the field's type or outside of
            its bounds.
    """
    return validated(settings_type(**_values(settings_type, owner, texts)), owner)


def with_texts(settings: Any, owner: str, texts: Mapping[str, Any]) -> Any:
    """``settings`` with other values for some fields; a text is read as its field's type.

    Raises:
        UsageError: As ``make_settings``.
    """
    return validated(dataclasses.replace(settings, **_values(type(settings), owner, texts)), owner)


def _values(settings_type: type, owner: str, texts: Mapping[str, Any]) -> dict[str, Any]:
    fields = _fields(settings_type)
    for key in texts:
        if key not in fields:
            raise unknown(f"setting of {owner}", key, fields)
    return {
        key: (_read if isinstance(value, str) else _checked)(value, fields[key].type, f"{owner}: {key}")
        for key, value in texts.items()
    }


@dataclasses.dataclass(frozen=True, slots=True)
class _Field:
    type: Any  # without annotations
    bounds: tuple[Bounds, ...]


@cache
def _fields(settings_type: type) -> dict[str, _Field]:
    """Type and bounds of every field of a settings dataclass.

    Raises:
        PluginError: If it is none, or an annotation names what is not imported at run time.
    """
    name = f"{settings_type.__module__}.{settings_type.__qualname__}"
    if not dataclasses.is_dataclass(settings_type):
        raise PluginError(f"{name} has to be a frozen dataclass to be settings.")
    try:
        plain, annotated = get_type_hints(settings_type), get_type_hints(settings_type, include_extras=True)
    except Exception as error:
        raise PluginError(f"The types of {name} cannot be read: {first_line(error)}.") from error
    return {
        field.name: _Field(plain[field.name], tuple(_bounds(annotated[field.name])))
        for field in dataclasses.fields(settings_type)
    }


def _bounds(annotated: Any) -> Iterator[Bounds]:
    """The bounds in a type, also in one part of a union such as ``Count | None``."""
    if get_origin(annotated) is Annotated:
        yield from (one for one in annotated.__metadata__ if isinstance(one, Bounds))
    elif get_origin(annotated) in (Union, types.UnionType):
        for part in get_args(annotated):
            yield from _bounds(part)


def _checked(value: Any, field_type: Any, name: str) -> Any:
    """``value``, which is no text of a command line, as the type of its field."""
    try:
        converted = msgspec.convert(value, field_type)
    except msgspec.ValidationError as error:
        fault = str(error).replace("`", "")
        raise UsageError(f"{name} cannot be {value!r}: {fault[:1].lower()}{fault[1:]}.") from error
    if isinstance(converted, float) and not math.isfinite(converted):
        raise UsageError(f"{name} cannot be {value!r}: it is not finite.")
    if isinstance(converted, int) and abs(converted) > MOST:
        raise UsageError(f"{name} cannot be {shown(repr(value))}: it is not from -{MOST:,} to {MOST:,}.")
    return converted


def validated(settings: Any, owner: str = "") -> Any:
    """``settings``, if each field has its type and is within its bounds, and their own ``validate()`` does not raise.

    Raises:
        UsageError: If they cannot be used; begins with ``owner``.
        PluginError: If they are no dataclass.
    """
    settings_type: type = settings.__class__
    for key, field in _fields(settings_type).items():
        name, value = f"{owner}: {key}" if owner else key, getattr(settings, key)
        with suppress(TypeError):  # a type that msgspec does not know: its owner's affair
            _checked(value, field.type, name)
        for bounds in field.bounds if value is not None else ():
            if not bounds.hold(value):
                raise UsageError(f"{name} must be {bounds}, but got {value}.")
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
