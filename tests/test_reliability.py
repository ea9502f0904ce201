"""docs/reliability.md: every promise has its test."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "reliability.md"


def test_every_promise_names_a_test_that_is_there() -> None:
    if not PAGE.exists():
        pytest.skip("the documents are not part of this checkout")
    text = PAGE.read_text("utf-8")
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text)
    assert len(named) > 20
    for file, name in named:
        tree = ast.parse((ROOT / file).read_text("utf-8"))
        assert name in {one.name for one in ast.walk(tree) if isinstance(one, ast.FunctionDef)}, f"{file}::{name}"
    for line in re.findall(r"^\| (?!promise|---|what was|command)(.+) \|$", text.split("## Kills")[1], re.M):
        assert "tests/" in line, line
