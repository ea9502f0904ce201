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
        f"| `{path}` | {_type(node)} | {_meaning(node, optional)} |"
        for path, node, optional in _fields(whole, whole, "")
    ]
    return _HEAD + "\n".join(lines) + "\n"


def _fields(whole: Any, node: Any, path: str) -> Iterator[tuple[str, Any, bool]]:
    required = node.get("required", ())
    for name, child in node.get("properties", {}).items():
        yield from _field(whole, child, f"{path}/{name}", name not in required)
    if isinstance(more := node.get("additionalProperties"), dict):
        yield from _field(whole, more, f"{path}/*", False)
    if isinstance(items := node.get("items"), dict):
        yield from _field(whole, items, f"{path}[]", False)


def _field(whole: Any, node: Any, path: str, optional: bool) -> Iterator[tuple[str, Any, bool]]:
    resolved = _resolved(whole, node)
    if resolved.get("description"):
        yield path, resolved, optional
    yield from _fields(whole, resolved, path)


def _resolved(whole: Any, node: Any) -> Any:
    """``node`` with the definition that it refers to; its own description wins."""
    name = node.get("$ref", "").rpartition("/")[2]
    return {**whole["$defs"][name], **node} if name else node


def _type(node: Any) -> str:
    if "const" in node:
        return repr(node["const"])
    if "enum" in node:
        return "one of " + ", ".join("null" if one is None else f"`{one}`" for one in node["enum"])
    if "oneOf" in node:
        return "64 hexadecimal digits or null"
    type_name = node.get("type", "any")
    return " or ".join([type_name] if isinstance(type_name, str) else type_name)


def _meaning(node: Any, optional: bool) -> str:
    text = node["description"].replace("|", "\\|")
    return f"Optional. {text}" if optional else text
