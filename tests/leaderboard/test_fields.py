from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from snibench.leaderboard.fields import fields_markdown
from snibench.leaderboard.validate import schema

DOCUMENT = Path(__file__).parents[2] / "docs" / "leaderboard-fields.md"


def undescribed(of: Any, path: str) -> list[str]:
    found = []
    for name, child in of.get("properties", {}).items():
        found += [f"{path}/{name}"] if not child.get("description") else []
        found += undescribed(child, f"{path}/{name}")
    return found


def test_every_field_of_the_schema_says_what_it_is() -> None:
    parts = {"": schema(), **schema()["$defs"]}
    assert [one for name, part in parts.items() for one in undescribed(part, name)] == []


def test_the_document_of_the_fields_is_the_schemas() -> None:
    if not DOCUMENT.is_file():
        pytest.skip("the documents are not here")
    assert DOCUMENT.read_text("utf-8") == fields_markdown(), "snibench leaderboard schema -o docs/leaderboard-fields.md"


def test_the_document_has_every_level() -> None:
    text = fields_markdown()
    for field in (
        "/suite/digest",
        "/entries[]/metrics/*/overall/*/mean",
        "/comparisons/*[]/rank",
        "/entries[]/rows/digest",
    ):
        assert f"| `{field}` |" in text
