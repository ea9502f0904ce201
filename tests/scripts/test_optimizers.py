"""The table of rules and optimizers."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

import optimizers


@pytest.mark.slow
def test_each_rule_has_a_row_under_its_optimizer_with_the_rate_of_the_method(tmp_path, capsys) -> None:
    given = ["-o", tmp_path, "-r", "pcgrad", "--optimizer", "sgd", "--seeds", "2", "--trials", "2"]
    optimizers.main([str(one) for one in [*given, "--steps", "1", "--limit", "1"]])
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("| sgd")]
    assert {row[2] for row in rows} == {"`lora`", "`lora+pcgrad`"}
    assert len(rows) == 2
    assert len({row[1] for row in rows}) == 1  # one rate
    (rule,) = [row for row in rows if "pcgrad" in row[2]]
    assert "[" in rule[4]  # a difference with its interval
