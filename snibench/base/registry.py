"""One registry over one entry-point group. Names are read at list time, code is imported when used.

Built-ins come through snibench's own entry points; nothing here knows one by name.
"""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import EntryPoint, distribution, distributions
from pathlib import Path
from typing import Any

from snibench.base.errors import PluginError, UsageError, first_line, unknown
from snibench.base.reading import Unreadable, is_file, quoted, read_bytes

_LARGEST_SOURCE = 16 * 2**20  # bytes


@dataclass(frozen=True, slots=True)
class Entry:
    """An installed name, not imported yet. ``contracts``: the classes of ``snibench.contracts`` that it may be of."""

    noun: str
    name: str
    distribution: str
    version: str
    point: EntryPoint
    contracts: tuple[str, ...]

    def load(self) -> Any:
        """The class behind the name.

        Raises:
            PluginError: If its import fails, or it is no class of the contract; names distribution, version and cause.
        """
        owner = f"'{self.name}' of {self.distribution} {self.version}"
        try:
            loaded = self.point.load()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # sys.exit at import among them
            raise PluginError(
                f"{owner} cannot be loaded: {_said(error)}. Reinstall or remove {self.distribution}."
            ) from error
        if fault := contract_fault(loaded, self.noun, self.contracts):
            raise PluginError(f"{owner} is no {self.noun}: {fault}. Mend or remove {self.distribution}.")
        return loaded


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {first_line(error)}"


def contract_fault(candidate: Any, noun: str, contracts: tuple[str, ...]) -> str:
    """Why ``candidate`` is no class of one of ``contracts``; "" where it is."""
    wanted = " or ".join(contracts)
    if not isinstance(candidate, type):
        return f"it is a value of type {type(candidate).__name__}, not a class derived from {wanted}"
    # By name: the contracts stand above this room, and importing them here would be a circle.
    names = {one.__name__ for one in candidate.__mro__ if one.__module__.startswith("snibench.contracts.")}
    if contracts and names.isdisjoint(contracts):
        return f"the class {candidate.__name__} does not derive from {wanted}"
    if lacking := sorted(getattr(candidate, "__abstractmethods__", ())):
        return f"the class {candidate.__name__} lacks {', '.join(lacking)}"
    return ""


@dataclass(frozen=True, slots=True)
class Damaged:
    """An installed distribution whose entry points cannot be read."""

    distribution: str
    cause: str


def installed_points(group: str) -> tuple[list[tuple[str, str, EntryPoint]], list[Damaged]]:
    """(distribution, version, entry point) of a group, and the distributions that cannot be asked.

    Unlike ``importlib.metadata.entry_points``, which raises if the metadata of any distribution is malformed.
    """
    installed: list[tuple[str, str, EntryPoint]] = []
    damaged: list[Damaged] = []
    seen: set[str] = set()
    for place in distributions():
        name = "unknown"
        try:
            points, fault = [point for point in place.entry_points if point.group == group], ""
        except Exception as error:  # of whatever its files hold
            points, fault = [], _said(error)
        if not points and not fault:
            continue  # of most; to read the rest of their metadata takes long
        try:
            name, version = str(place.metadata["Name"] or "unknown"), str(place.metadata["Version"] or "?")
            # The first on sys.path is the one that is imported, with or without such entry points.
            key = re.sub(r"[-_.]+", "-", name).lower()
            shadowed = name != "unknown" and (key in seen or distribution(name).metadata["Version"] != version)
        except Exception as error:
            shadowed, fault = False, fault or _said(error)
        if fault and not shadowed:
            damaged.append(Damaged(name, fault))
        elif not shadowed:
            seen.add(key)
            installed += [(name, version, point) for point in points]
    return installed, damaged


_FILES_REFUSED: ContextVar[bool] = ContextVar("only installed names", default=False)


@contextmanager
def installed_names() -> Iterator[None]:
    """Inside, the name of a file is refused: where somebody else's board gives it, its code would be run."""
    token = _FILES_REFUSED.set(True)
    try:
        yield
    finally:
        _FILES_REFUSED.reset(token)


def in_file(name: str) -> bool:
    """Whether ``name`` is that of a file, ``path/to/file.py:Class`` or without the class."""
    return name.endswith(".py") or ".py:" in name


def put_on_boards(noun: str) -> str:
    """How a class of a file gets a name that boards take."""
    return f"Install it under a name (snibench plugin new {noun} NAME; pip install), then run and export again."


class Registry:
    """The entry points of one group, by name. ``contracts``: the abstract classes, one of which each derives from."""

    def __init__(self, noun: str, group: str, *contracts: str) -> None:
        self.noun = noun
        self.group = group
        self.contracts = contracts

    @cached_property
    def _entries(self) -> dict[str, list[Entry]]:
        by_name: dict[str, list[Entry]] = defaultdict(list)
        seen: set[tuple[str, str, str]] = set()
        for owner, version, point in installed_points(self.group)[0]:
            # The same distribution can be on sys.path twice (editable install beside its source).
            if (key := (point.name, owner, point.value)) not in seen:
                seen.add(key)
                entry = Entry(self.noun, point.name, owner, version, point, self.contracts)
                by_name[point.name].append(entry)
        return dict(sorted(by_name.items()))

    def names(self) -> list[str]:
        """Every installed name, sorted."""
        return list(self._entries)

    def entries(self) -> list[Entry]:
        """Every entry, duplicates included, sorted by name; imports nothing."""
        return [entry for entries in self._entries.values() for entry in entries]

    def entry(self, name: str) -> Entry:
        """The one entry called ``name``.

        Raises:
            UsageError: If there is none; suggests the closest name.
            PluginError: If two distributions claim it; names both.
        """
        if name not in self._entries:
            raise unknown(self.noun, name, self._entries)
        entries = self._entries[name]
        if len(entries) > 1:
            owners = " and ".join(f"{e.distribution} {e.version}" for e in entries)
            raise PluginError(f"The {self.noun} '{name}' is claimed by {owners}. Uninstall one of them.")
        return entries[0]

    def full_name(self, name: str) -> str:
        """``name``; of a file that defines a single class, ``path/to/file.py:Class``.

        Raises:
            UsageError: If the file is not there, or does not define a single one; names those that it defines.
        """
        if not name.endswith(".py") or name in self._entries:
            return name
        self._check_file(name)
        return class_of_file(self.noun, name)

    def _check_file(self, name: str) -> None:
        if _FILES_REFUSED.get():
            raise UsageError(
                f"The {self.noun} {quoted(name)} is a file; of a board only installed names are loaded. "
                f"{put_on_boards(self.noun)}"
            )

    def aliases(self, name: str) -> list[str]:
        """Every installed name of the object called ``name``, itself included, sorted."""
        if ".py:" in name:
            return [name]
        value = self.entry(name).point.value
        return [one.name for one in self.entries() if one.point.value == value]

    def name_of(self, owner: type) -> str:
        """The first name under which a class is installed; the class's own where it is not."""
        value = f"{owner.__module__}:{owner.__qualname__}"
        return next((entry.name for entry in self.entries() if entry.point.value == value), owner.__name__)

    def get(self, name: str) -> Any:
        """The object called ``name``, or ``Class`` of ``path/to/file.py:Class``; a single class need not be named."""
        name = self.full_name(name)
        if ".py:" in name:
            self._check_file(name)
            loaded = _load_from_file(self.noun, name, self.contracts)
            if fault := contract_fault(loaded, self.noun, self.contracts):
                raise UsageError(f"{name} is no {self.noun}: {fault}.")
            return loaded
        return self.entry(name).load()


def class_of_file(noun: str, name: str) -> str:
    """``path/to/file.py:Class`` for a file that defines a single class; any other ``name`` as it is.

    Raises:
        UsageError: If the file is not there, or does not define a single one; names those that it defines.
    """
    return f"{name}:{_single_class(noun, Path(name))}" if name.endswith(".py") else name


def _load_from_file(noun: str, reference: str, contracts: tuple[str, ...]) -> Any:
    path_text, _, attribute = reference.rpartition(":")
    path = Path(path_text)
    if not is_file(path):
        raise UsageError(f"There is no file '{path}' to load the {noun} '{attribute}' from.")
    module_name = f"snibench_file_{path.stem}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"'{path}' is not a Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # dataclasses look their module up there
    try:
        spec.loader.exec_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # sys.exit at import among them
        raise PluginError(f"{path} cannot be loaded: {_said(error)}.") from error
    try:
        return getattr(module, attribute)
    except AttributeError:
        own = {
            name: value
            for name, value in vars(module).items()
            if isinstance(value, type) and value.__module__ == module_name and not name.startswith("_")
        }
        fitting = [name for name, value in own.items() if not contract_fault(value, noun, contracts)]
        raise unknown(f"{noun} in {path}", attribute, fitting or list(own)) from None


def _single_class(noun: str, path: Path) -> str:
    """The class that a file defines, read and not run; settings, which are dataclasses, and ``_names`` aside.

    Raises:
        UsageError: If there is no such file, or it does not define a single one; names those that it defines.
    """
    try:
        body = ast.parse(read_bytes(path, _LARGEST_SOURCE)).body
    except Unreadable:
        raise UsageError(f"There is no file '{path}' to load the {noun} from.") from None
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UsageError(f"'{path}' is not a Python file: {first_line(error)}.") from None
    classes = [node for node in body if isinstance(node, ast.ClassDef)]
    likely = [
        node.name
        for node in classes
        if not node.name.startswith("_") and not any("dataclass" in ast.unparse(one) for one in node.decorator_list)
    ]
    if len(likely) == 1:
        return likely[0]
    if not classes:
        raise UsageError(f"'{path}' defines no class. Name a file with a {noun}, or write one: docs/plugins.md")
    named = " or ".join(f"{path}:{name}" for name in likely or [node.name for node in classes])
    raise UsageError(f"'{path}' defines {len(likely or classes)} classes. Name the {noun}: {named}")


METHODS = Registry("method", "snibench.methods", "Method", "Floor", "Recorded")
RULES = Registry("rule", "snibench.rules", "Rule")
SAMPLERS = Registry("sampler", "snibench.samplers", "Sampler")
FORMATS = Registry("format", "snibench.formats", "Format")
PROTOCOLS = Registry("protocol", "snibench.protocols", "Protocol")
SUITES = Registry("suite", "snibench.suites", "Suite")
METRICS = Registry("metric", "snibench.metrics", "Metric")
EXECUTORS = Registry("executor", "snibench.executors", "Executor")

_REGISTRIES = (METHODS, RULES, SAMPLERS, FORMATS, PROTOCOLS, SUITES, METRICS, EXECUTORS)


def load_class(reference: str) -> tuple[Registry, Any]:
    """The class ``path/to/file.py:Class``, and the registry whose contract it has.

    Raises:
        SnibenchError: If it cannot be loaded, or has no contract.
    """
    contracts = tuple(contract for registry in _REGISTRIES for contract in registry.contracts)
    loaded = _load_from_file("class", reference, contracts)
    if fault := contract_fault(loaded, "plugin", contracts):
        raise UsageError(f"{reference} is no plugin: {fault}.")
    return next((one, loaded) for one in _REGISTRIES if not contract_fault(loaded, one.noun, one.contracts))
