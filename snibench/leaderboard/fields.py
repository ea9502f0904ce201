"""The fields of a leaderboard file as a document, made of its schema."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from snibench.leaderboard.validate import schema

_HEAD = """# Fields of a leaderboard file

Made of the JSON Schema (`snibench/leaderboard/schema.json`, draft 2020-12) by `snibench leaderboard schema`; a test
keeps the two equal. `*` stands for any name, `[]` for every member of a list. Every field must be there unless it is
marked as optional.

| field | type | |
| --- | --- | --- |
"""


def fields_markdown() -> str:
    """Every field with its JSON pointer, its type and its meaning, as a table in Markdown."""
    whole = schema()
    lines = [
        f"| `{path}` | {_type(of)} | {_meaning(of, optional)} |" for path, of, optional in _fields(whole, whole, "")
    ]
    return _HEAD + "\n".join(lines) + "\n"


def _fields(whole: Any, of: Any, path: str) -> Iterator[tuple[str, Any, bool]]:
    required = of.get("required", ())
    for name, child in of.get("properties", {}).items():
        yield from _field(whole, child, f"{path}/{name}", name not in required)
    if isinstance(more := of.get("additionalProperties"), dict):
        yield from _field(whole, more, f"{path}/*", False)
    if isinstance(items := of.get("items"), dict):
        yield from _field(whole, items, f"{path}[]", False)


def _field(whole: Any, of: Any, path: str, optional: bool) -> Iterator[tuple[str, Any, bool]]:
    found = _resolved(whole, of)
    if found.get("description"):
        yield path, found, optional
    yield from _fields(whole, found, path)


def _resolved(whole: Any, of: Any) -> Any:
    """``of`` with what it refers to; its own description wins."""
    name = of.get("$ref", "").rpartition("/")[2]
    return {**whole["$defs"][name], **of} if name else of


def _type(of: Any) -> str:
    if "const" in of:
        return repr(of["const"])
    if "enum" in of:
        return "one of " + ", ".join("null" if one is None else f"`{one}`" for one in of["enum"])
    if "oneOf" in of:
        return "64 hexadecimal digits or null"
    found = of.get("type", "any")
    return " or ".join([found] if isinstance(found, str) else found)


def _meaning(of: Any, optional: bool) -> str:
    text = of["description"].replace("|", "\\|")
    return f"Optional. {text}" if optional else text
