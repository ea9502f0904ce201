"""``snibench plugin``: a package to start from, and the conformance kit from the command line."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from snibench.base.errors import PluginError, SnibenchError, UsageError, first_line, unknown
from snibench.base.registry import class_of_file, load_class
from snibench.cli.scaffold import REGISTRIES, scaffold, write

SORTS = tuple(REGISTRIES)


@click.group()
def plugin() -> None:
    """Write a plugin package to start from, and check that a plugin keeps its contract."""


@plugin.command()
@click.argument("sort", type=click.Choice(SORTS))
@click.argument("name")
@click.option("-o", "--output-dir", type=click.Path(path_type=Path), default=Path(), help="Parent of the new folder.")
def new(sort: str, name: str, output_dir: Path) -> None:
    """Write a package with one plugin of a SORT called NAME: code, test, pyproject.toml, README.

    The code is an example that keeps its contract; make it yours.
    """
    files = scaffold(sort, name)
    if owners := [f"{one.distribution} {one.version}" for one in REGISTRIES[sort].entries() if one.name == name]:
        owner = " and ".join(dict.fromkeys(owners))
        raise UsageError(
            f"The {sort} '{name}' is there already, of {owner}: no run could tell them apart. Take another."
        )
    folder = write(files, output_dir)
    click.echo(f"Wrote {folder}. Next: snibench plugin check {folder}; then pip install -e {folder}")


@plugin.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
def check(names: tuple[str, ...]) -> int:
    """Run the conformance kit on plugins: NAME of an installed one, FILE.py:Class, or the folder of a package."""
    failed = 0
    for name in names:
        for sort, label, plugin_type in _found(name):
            fault = _fault(sort, label, plugin_type)
            click.echo(f"{sort} {label}: {fault or 'keeps the contract'}")
            failed += bool(fault)
    return 1 if failed else 0


def _found(name: str) -> Iterator[tuple[str, str, Any]]:
    """Sort, name and object of each plugin that ``name`` stands for.

    Raises:
        SnibenchError: If there is none, or it cannot be imported.
    """
    path = Path(name)
    if path.is_dir():
        yield from _in_folder(path)
    elif ".py:" in name or name.endswith(".py"):
        registry, loaded = load_class(class_of_file("plugin", name))
        yield registry.noun, name, loaded
    else:
        known = [(sort, one) for sort, one in REGISTRIES.items() if name in one.names()]
        if not known:
            raise unknown("plugin", name, [other for one in REGISTRIES.values() for other in one.names()])
        yield from ((sort, name, one.get(name)) for sort, one in known)


def _in_folder(folder: Path) -> Iterator[tuple[str, str, Any]]:
    """The plugins of a package that need not be installed, by its pyproject.toml."""
    file = folder / "pyproject.toml"
    try:
        project = tomllib.loads(file.read_text("utf-8"))
        groups = project["project"]["entry-points"]
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise UsageError(f"{file} names no plugin ({first_line(error)}). It needs [project.entry-points].") from error
    sorts = {one.group: sort for sort, one in REGISTRIES.items()}
    known = {group: names for group, names in groups.items() if group in sorts} if isinstance(groups, dict) else {}
    if not known:
        raise UsageError(f"{file} has no entry point in {', '.join(sorts)}.")
    sys.path[:0] = [str(folder / "src"), str(folder)]
    try:
        for group, names in known.items():
            for name, target in names.items():
                yield sorts[group], name, _imported(str(target), file)
    finally:
        del sys.path[:2]


def _imported(target: str, file: Path) -> Any:
    module, _, attribute = target.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except Exception as error:
        raise PluginError(f"{file} names '{target}', which cannot be imported: {first_line(error)}.") from error


def _fault(sort: str, name: str, plugin_type: Any) -> str:
    """Why a plugin does not keep its contract, as one sentence; empty if it does."""
    from snibench import testing
    from snibench.base.types import SuiteRequest

    check = getattr(testing, f"check_{sort}")
    try:
        if sort == "suite":
            check(plugin_type, SuiteRequest(name))
        else:
            check(plugin_type() if sort in {"format", "metric"} else plugin_type)
    except AssertionError as error:
        return f"fails: {first_line(error)}"
    except SnibenchError as error:
        return f"cannot be checked: {error}"
    except Exception as error:
        return f"fails: {type(error).__name__}: {first_line(error)}"
    return ""
