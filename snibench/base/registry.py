"""One registry over one entry-point group. Names are read at list time, code is imported when used.

Built-ins come through snibench's own entry points; nothing here knows one by name.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from snibench.base.errors import PluginError, UsageError, first_line, unknown


@dataclass(frozen=True, slots=True)
class Entry:
    """An installed name, not imported yet."""

    name: str
    distribution: str
    version: str
    point: EntryPoint

    def load(self) -> Any:
        """The object behind the name.

        Raises:
            PluginError: If its import fails; names distribution, version and cause.
        """
        try:
            return self.point.load()
        except Exception as error:
            raise PluginError(
                f"'{self.name}' of {self.distribution} {self.version} cannot be loaded: "
                f"{type(error).__name__}: {error}. Reinstall or remove {self.distribution}."
            ) from error


class Registry:
    """The entry points of one group, by name."""

    def __init__(self, noun: str, group: str) -> None:
        self.noun = noun
        self.group = group

    @cached_property
    def _entries(self) -> dict[str, list[Entry]]:
        found: dict[str, list[Entry]] = defaultdict(list)
        seen: set[tuple[str, str, str]] = set()
        for point in entry_points(group=self.group):
            distribution = point.dist.name if point.dist else "unknown"
            version = point.dist.version if point.dist else "?"
            # The same distribution can be on sys.path twice (editable install beside its source).
            if (key := (point.name, distribution, point.value)) not in seen:
                seen.add(key)
                found[point.name].append(Entry(point.name, distribution, version, point))
        return dict(sorted(found.items()))

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
            if name.endswith(".py"):
                raise _class_missing(self.noun, Path(name))
            raise unknown(self.noun, name, self._entries)
        entries = self._entries[name]
        if len(entries) > 1:
            owners = " and ".join(f"{e.distribution} {e.version}" for e in entries)
            raise PluginError(f"The {self.noun} '{name}' is claimed by {owners}. Uninstall one of them.")
        return entries[0]

    def aliases(self, name: str) -> list[str]:
        """Every installed name of the object called ``name``, itself included, sorted."""
        if ".py:" in name:
            return [name]
        value = self.entry(name).point.value
        return [one.name for one in self.entries() if one.point.value == value]

    def get(self, name: str) -> Any:
        """The object called ``name``, or ``Class`` of ``path/to/file.py:Class``."""
        if ".py:" in name:
            return _load_from_file(self.noun, name)
        return self.entry(name).load()


def _load_from_file(noun: str, reference: str) -> Any:
    path_text, _, attribute = reference.rpartition(":")
    path = Path(path_text)
    if not path.is_file():
        raise UsageError(f"There is no file '{path}' to load the {noun} '{attribute}' from.")
    module_name = f"snibench_file_{path.stem}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"'{path}' is not a Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # dataclasses look their module up there
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise PluginError(f"{path} cannot be loaded: {type(error).__name__}: {error}.") from error
    try:
        return getattr(module, attribute)
    except AttributeError:
        raise unknown(f"{noun} in {path}", attribute, [n for n in vars(module) if not n.startswith("_")]) from None


def _class_missing(noun: str, path: Path) -> UsageError:
    """The error for a file where ``file.py:Class`` is meant; names the classes in it."""
    try:
        body = ast.parse(path.read_bytes()).body
    except OSError:
        return UsageError(f"There is no file '{path}' to load the {noun} from.")
    except (SyntaxError, ValueError) as error:
        return UsageError(f"'{path}' is not a Python file: {first_line(error)}.")
    named = [f"{path}:{node.name}" for node in body if isinstance(node, ast.ClassDef)]
    return UsageError(f"'{path}' is a file. Name the class: {' or '.join(named) or f'{path}:Class'}")


METHODS = Registry("method", "snibench.methods")
RULES = Registry("rule", "snibench.rules")
SAMPLERS = Registry("sampler", "snibench.samplers")
FORMATS = Registry("format", "snibench.formats")
PROTOCOLS = Registry("protocol", "snibench.protocols")
SUITES = Registry("suite", "snibench.suites")
METRICS = Registry("metric", "snibench.metrics")
