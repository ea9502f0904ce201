"""Config files of ``snibench run``: its long option names as keys of a TOML file, read and written."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from snibench.base import reading
from snibench.base.errors import UsageError, first_line, unknown
from snibench.cli.parameters import CommaList, PerStep

# They say what to do with a run, not what it is.
_LARGEST = 2**20  # bytes of a config file
_OF_THE_CALL = {"config", "save-config", "dry-run", "probe", "json", "help"}


def read_config(ctx: click.Context, param: click.Parameter, path: Path | None) -> None:
    """Take defaults from a TOML file; flags and the environment override them.

    Raises:
        UsageError: If the file cannot be read, or a key is no option; names it.
    """
    if path is None:
        return
    try:
        values = tomllib.loads(reading.read_text(path, _LARGEST))
    except reading.Unreadable as error:
        raise UsageError(f"The config file '{path}' {error}.") from error
    except RecursionError as error:
        raise UsageError(f"The config file '{path}' is nested too deeply.") from error
    except ValueError as error:  # not TOML, or a number of more than 4,300 digits
        raise UsageError(f"The config file '{path}' is not TOML: {first_line(error)}.") from error
    options = _options(ctx.command)
    defaults: dict[str, Any] = {}
    for key, value in values.items():
        if key not in options:
            raise unknown(f"option in {path}", key, options)
        try:
            defaults[str(options[key].name)] = _as_option(value, options[key], f"{path}: {key}")
        except RecursionError as error:
            raise UsageError(f"{path}: {key} is nested too deeply.") from error
    ctx.default_map = defaults


def save_config(ctx: click.Context, path: Path) -> None:
    """Write every option that is not at its default to ``path``, so that ``--config`` reads it back."""
    from snibench.report.files import write_text

    lines = []
    for key, option in _options(ctx.command).items():
        source = ctx.get_parameter_source(str(option.name))
        if key not in _OF_THE_CALL and source not in (ParameterSource.DEFAULT, None):
            lines.append(f"{key} = {as_toml(ctx.params[str(option.name)])}")
    write_text(path, "\n".join(lines) + "\n")


def _options(command: click.Command) -> dict[str, click.Parameter]:
    """Options by their long names, without the hyphens in front."""
    return {name.removeprefix("--"): one for one in command.params for name in one.opts if name.startswith("--")}


def _as_option(value: Any, option: click.Parameter, where: str) -> Any:
    """A TOML value as the command line would give it: texts, so that one reader judges both.

    A table is ``KEY=VALUE`` texts, and one value is a list of one. A flag is a truth value.
    """
    if isinstance(value, Mapping):
        if option.metavar != "KEY=VALUE":
            raise UsageError(f"{where} is a table, but the option takes a value. Only set and set-all take tables.")
        return [f"{key}={_text(item, f'{where}.{key}')}" for key, item in _flat(value)]
    if getattr(option, "is_flag", False):
        if not isinstance(value, bool):
            raise UsageError(f"{where} must be true or false.")
        return value
    if isinstance(value, bool):
        raise UsageError(f"{where} is {as_toml(value)}, but the option takes a value.")
    if isinstance(value, list):
        if not (option.multiple or isinstance(option.type, CommaList | PerStep)):
            raise UsageError(f"{where} is a list, but the option takes one value.")
        parts = [_text(item, where) for item in value if not isinstance(item, list)]
        if len(parts) < len(value):
            raise UsageError(f"{where} must be a value or a list of values.")
        return parts if option.multiple else tuple(parts)
    return [_text(value, where)] if option.multiple else _text(value, where)


def _flat(table: Mapping[str, Any], head: str = "") -> Iterator[tuple[str, Any]]:
    """Keys and values; of a table inside, ``TABLE.KEY``."""
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{head}{key}.")
        else:
            yield f"{head}{key}", value


def _text(value: Any, where: str) -> str:
    if isinstance(value, list):
        return ",".join(_text(item, where) for item in value)
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str | int | float):
        raise UsageError(f"{where} is a {type(value).__name__}, but options are texts, numbers and truth values.")
    try:
        text = str(value)
    except ValueError:  # a hexadecimal number may have more digits than Python writes
        raise UsageError(f"{where} is a number of too many digits.") from None
    if "\0" in text:
        raise UsageError(f"{where} holds a null character. Remove it.")
    return text


def as_toml(value: Any) -> str:
    """A value, or a list of values, of an option as TOML reads it."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(as_toml, value))}]"
    if isinstance(value, bool | int | float):
        return str(value).lower()
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
