"""Docstring, settings and contract of a class, read from its source: a list must not import torch, nor plugin code."""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Annotated, get_args, get_origin

from snibench.base import bounds
from snibench.base.reading import Unreadable as Unread
from snibench.base.reading import is_file, read_bytes

_LARGEST = 16 * 2**20  # bytes of a source file


@dataclass(frozen=True, slots=True)
class Setting:
    """A field of a settings class: name, type with its bounds, and default as written ("" if it has none)."""

    name: str
    type: str
    default: str


@dataclass(frozen=True, slots=True)
class Outline:
    """A class: its docstring, its settings with their class's docstring, and where it stands.

    ``contracts``: the classes of ``snibench.contracts`` that it derives from, as far as its source says.
    """

    doc: str
    settings: tuple[Setting, ...]
    settings_doc: str
    path: Path
    line: int
    contracts: frozenset[str]

    @property
    def summary(self) -> str:
        """The docstring's first paragraph on one line."""
        return " ".join(self.doc.partition("\n\n")[0].replace("``", "`").split())


class Unreadable(Exception):
    """No class can be read behind a reference. ``certain``: importing it would fail too."""

    def __init__(self, reason: str, *, certain: bool = True) -> None:
        super().__init__(reason)
        self.certain = certain


@dataclass(frozen=True, slots=True)
class _Module:
    name: str
    path: Path
    tree: ast.Module

    @property
    def package(self) -> str:
        return self.name if self.path.name == "__init__.py" else self.name.rpartition(".")[0]


@dataclass(frozen=True, slots=True)
class _Class:
    module: _Module
    node: ast.ClassDef

    def bases(self) -> Iterator[_Class]:
        for base in self.node.bases:
            if isinstance(base, ast.Name) and (parent := _class(self.module, base.id)):
                yield parent


def outline(reference: str) -> Outline:
    """The class that ``package.module:Class`` or ``path/to/file.py:Class`` names, followed through imports of its name.

    Raises:
        Unreadable: If there is no such module or name, or the name is made while the module runs.
    """
    module_name, _, attribute = reference.rpartition(":")
    module = _file(Path(module_name)) if module_name.endswith(".py") else _module(module_name)
    if module is None:
        raise Unreadable(f"there is no module '{module_name}'")
    owner = _class(module, attribute)
    if owner is None:
        absent = not re.search(rf"\b{re.escape(attribute)}\b|\bglobals\b|\b__getattr__\b|import \*", _text(module.path))
        raise Unreadable(f"'{module_name}' has no '{attribute}'" if absent else "made at run time", certain=absent)
    try:
        settings, contracts = _settings_class(owner), frozenset(_contracts(owner))
    except RecursionError:
        raise Unreadable(f"'{reference}' derives from itself") from None
    return Outline(
        doc=ast.get_docstring(owner.node) or "",
        settings=tuple(_fields(settings).values()) if settings else (),
        settings_doc=(ast.get_docstring(settings.node) or "") if settings else "",
        path=owner.module.path,
        line=owner.node.lineno,
        contracts=contracts,
    )


def _file(path: Path) -> _Module | None:
    """The parsed source of a file that belongs to no package; None where it is not there.

    Raises:
        Unreadable: If it is not Python.
    """
    return _parsed(path.stem, path) if is_file(path) else None


@cache
def _module(name: str) -> _Module | None:
    """The parsed source of a module; none of its parent packages is imported.

    Raises:
        Unreadable: If it is not Python.
    """
    parts = name.split(".")
    try:
        spec = importlib.util.find_spec(parts[0])
        for depth in range(2, len(parts) + 1):
            if spec is None or spec.submodule_search_locations is None:
                return None
            spec = PathFinder.find_spec(".".join(parts[:depth]), spec.submodule_search_locations)
    except (ImportError, ValueError, KeyError):  # KeyError: below a folder without __init__.py
        return None
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    return _parsed(name, Path(spec.origin))


def _parsed(name: str, path: Path) -> _Module:
    """A module with what a stub beside it says of names that it imports on demand."""
    stub = path.with_suffix(".pyi")
    try:
        tree = ast.parse(_text(path))
        if is_file(stub):
            tree.body += ast.parse(_text(stub)).body
    except Unread as error:
        raise Unreadable(f"{path} {error}") from error
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise Unreadable(f"{path} cannot be read: {error}") from error
    return _Module(name, path, tree)


def _text(path: Path) -> str:
    return read_bytes(path, _LARGEST).decode("utf-8")


def _class(module: _Module, name: str, depth: int = 8) -> _Class | None:
    """The class called ``name`` at the top level of ``module``, or imported there; ``depth`` ends import circles."""
    for node in module.tree.body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return _Class(module, node)
        if isinstance(node, ast.ImportFrom) and depth:
            for alias in node.names:
                if name == (alias.asname or alias.name) and (source := _module(_imported(module, node))):
                    return _class(source, alias.name, depth - 1)
    return None


def _contracts(owner: _Class) -> Iterator[str]:
    if owner.module.name.startswith("snibench.contracts."):
        yield owner.node.name
    for base in owner.bases():
        yield from _contracts(base)


def _imported(module: _Module, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    parents = module.package.split(".")
    return ".".join([*parents[: len(parents) - node.level + 1], *filter(None, [node.module])])


def _settings_class(owner: _Class) -> _Class | None:
    for node in owner.node.body:
        if isinstance(node, ast.ClassDef) and node.name == "Settings":
            return _Class(owner.module, node)
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        value = getattr(node, "value", None)
        if any(isinstance(one, ast.Name) and one.id == "Settings" for one in targets) and isinstance(value, ast.Name):
            return _class(owner.module, value.id)
    return next(filter(None, map(_settings_class, owner.bases())), None)


def _fields(owner: _Class) -> dict[str, Setting]:
    fields: dict[str, Setting] = {}
    for base in reversed(list(owner.bases())):
        fields |= _fields(base)
    for node in owner.node.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            field_type = _type(node.annotation)
            if not field_type.startswith("ClassVar"):
                default = ast.unparse(node.value) if node.value else ""
                fields[node.target.id] = Setting(node.target.id, field_type, default)
    return fields


def _type(annotation: ast.expr) -> str:
    """An annotation in words: ``Count | None`` as "int, at least 1, or None"."""
    match annotation:
        case ast.BinOp(left=left, op=ast.BitOr(), right=ast.Constant(None)):
            return f"{_type(left)}, or None"
        case ast.Name(id=name) if name in _ALIASES:
            return _ALIASES[name]
        case ast.Subscript(
            value=ast.Name("Annotated"), slice=ast.Tuple([plain, ast.Call(func=ast.Name("Bounds"), keywords=ends)])
        ):
            with suppress(ValueError, TypeError):  # not written as constants
                numbers = {end.arg or "": ast.literal_eval(end.value) for end in ends}
                return f"{ast.unparse(plain)}, {bounds.Bounds(**numbers)}"
    return ast.unparse(annotation)


_ALIASES = {
    name: f"{get_args(alias)[0].__name__}, {get_args(alias)[1]}"
    for name, alias in vars(bounds).items()
    if get_origin(alias) is Annotated
}
