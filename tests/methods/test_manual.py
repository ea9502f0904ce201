"""docs/methods.md says what is there."""

from __future__ import annotations

import re
from importlib.metadata import entry_points
from pathlib import Path

MANUAL = Path(__file__).parents[2] / "docs" / "methods.md"


def test_every_built_in_method_has_a_row_and_no_other_name_does() -> None:
    blocks = MANUAL.read_text(encoding="utf-8").split("\n\n")
    table = next(block for block in blocks if block.startswith("|"))
    rows = [line.split("|")[1] for line in table.splitlines()[2:]]
    named = {name for row in rows for name in re.findall(r"`([a-z0-9-]+)`", row)}
    ours = {one.name for one in entry_points(group="snibench.methods") if one.dist and one.dist.name == "snibench"}
    assert named == ours
