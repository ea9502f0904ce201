"""docs/rules.md says what is there."""

import json
import re
from dataclasses import fields
from pathlib import Path

import pytest

from snibench.base.registry import RULES
from snibench.contracts import Needs

MANUAL = Path(__file__).parents[2] / "docs" / "rules.md"
ROWS = {
    cells[0].strip("` "): cells[1:]
    for line in MANUAL.read_text().splitlines()
    if line.startswith("| `") and len(cells := line.strip("|").split("|")) == 5  # the catalogue
}


def test_every_built_in_rule_has_its_row():
    assert sorted(ROWS) == sorted(entry.name for entry in RULES.entries() if entry.distribution == "snibench")


@pytest.mark.parametrize("name", ROWS)
def test_a_row_names_needs_and_defaults(name):
    _, reads, settings, _ = ROWS[name]
    letters = {
        **{Needs.GRAM: "G", Needs.TENSORS: "T", Needs.ROWS: "C"},
        **{Needs.LOSSES: "L", Needs.LOSSES_AFTER: "L'", Needs.GENERATOR: "R"},
    }
    kind = RULES.get(name)
    assert set(reads.split()) == {letters[need] for need in kind.needs}
    written = dict(re.findall(r"`(\w+)=([^`]+)`", settings))
    assert {key: json.loads(value) for key, value in written.items()} == {
        field.name: field.default for field in fields(kind.Settings)
    }


def test_the_example_of_a_rule_of_one_s_own_works(step):
    (code,) = re.findall(r"```python\n(.*?)```", MANUAL.read_text(), re.DOTALL)
    scope = {"__name__": "mine"}
    exec(code, scope)
    rule = scope["InverseNorm"]()
    weights = rule.weights(step([[1.0, 0], [0, 2], [0, 0], [5, 5]], tasks="abc"))
    assert weights.tolist() == pytest.approx([2 / 3, 1 / 3, 0, 0])
