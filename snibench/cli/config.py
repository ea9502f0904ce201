"""Config files of ``snibench run``: its long option names as keys of a TOML file, read and written."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from snibench.base.errors import UsageError, unknown

# They say what to do with a run, not what it is.
_OF_THE_CALL = {"config", "save-config", "dry-run", "json", "help"}


def read_config(ctx: click.Context, param: click.Parameter, path: Path | None) -> None:
    """Take defaults from a TOML file; flags and the environment override them.

    Raises:
        UsageError: If the file cannot be read, or a key is no option; names it.
    """
    if path is None:
        return
    try:
        with path.open("rb") as file:
            values = tomllib.load(file)
    except OSError as error:
        raise UsageError(f"The config file '{path}' cannot be read ({error.strerror}).") from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"The config file '{path}' is not TOML: {error}.") from error
    options = _options(ctx.command)
    defaults: dict[str, Any] = {}
    for key, value in values.items():
        if key not in options:
            raise unknown(f"option in {path}", key, options)
        defaults[str(options[key].name)] = _as_option(value, options[key], f"{path}: {key}")
    ctx.default_map = defaults


def save_config(ctx: click.Context, path: Path) -> None:
    """Write every option that is not at its default to ``path``, so that ``--config`` reads it back."""
    from snibench.report.files import write_text

    lines = []
    for key, option in _options(ctx.command).items():
        source = ctx.get_parameter_source(str(option.name))
        if key not in _OF_THE_CALL and source not in (ParameterSource.DEFAULT, None):
            lines.append(f"{key} = {_toml(ctx.params[str(option.name)])}")
    write_text(path, "\n".join(lines) + "\n")


def _options(command: click.Command) -> dict[str, click.Parameter]:
    """Options by their long names, without the hyphens in front."""
    return {name.removeprefix("--"): one for one in command.params for name in one.opts if name.startswith("--")}


def _as_option(value: Any, option: click.Parameter, where: str) -> Any:
    """A TOML value as the option takes it: a table is ``KEY=VALUE`` texts, and one value is a list of one."""
    if isinstance(value, Mapping):
        if option.metavar != "KEY=VALUE":
            raise UsageError(f"{where} is a table, but the option takes a value. Only set and set-all take tables.")
        return [f"{key}={_text(item)}" for key, item in _flat(value)]
    if isinstance(value, list) and any(isinstance(item, list | dict) for item in value):
        raise UsageError(f"{where} must be a value or a list of values.")
    if option.multiple:
        return value if isinstance(value, list) else [value]
    return tuple(value) if isinstance(value, list) else value


def _flat(table: Mapping[str, Any], head: str = "") -> Iterator[tuple[str, Any]]:
    """Keys and values; of a table inside, ``TABLE.KEY``."""
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{head}{key}.")
        else:
            yield f"{head}{key}", value


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(_text, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _toml(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, bool | int | float):
        return str(value).lower()
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
