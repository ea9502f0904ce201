"""The table of all methods, and the table of default learning rates."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("torch")

import all_methods
import learning_rates

from snibench.base.registry import METHODS, RULES
from snibench.fits.lr_search import draw_rates
from snibench.plan.learning_rates import TABLE


def test_the_table_of_all_methods_names_every_method_and_rule_once() -> None:
    names = all_methods.methods(torchjd=True)
    assert len(names) == len(set(names))
    assert set(METHODS.names()) - set(names) <= all_methods.LEFT_OUT
    assert {f"lora+{rule}" for rule in RULES.names()} - set(names) == {"lora+mean"}
    assert not [name for name in all_methods.methods(torchjd=False) if "torchjd" in name]


@pytest.mark.slow
def test_searched_rates_are_written_into_the_row_of_the_model_s_size(tmp_path, capsys) -> None:
    table = tmp_path / "table.json"
    table.write_text(TABLE.read_text(encoding="utf-8"), encoding="utf-8")
    before = json.loads(table.read_text(encoding="utf-8"))
    given = ["-o", tmp_path / "runs", "-m", "lora", "--trials", "2", "--steps", "1", "--table", table]
    learning_rates.main([str(one) for one in given])
    small, *others = json.loads(table.read_text(encoding="utf-8"))
    assert others == before[1:]
    rates = before[0]["methods"]
    default = rates.get("adamw linear", rates["adamw constant"]).get("lora", before[0]["adapters"])
    assert small["methods"]["adamw linear"]["lora"] in draw_rates(default, 2)
    assert small["methods"]["adamw constant"] == rates["adamw constant"]  # another recipe's stay
    others = {name: rate for name, rate in rates.get("adamw linear", {}).items() if name != "lora"}
    assert others.items() <= small["methods"]["adamw linear"].items()
    assert small["made"].startswith(before[0]["made"])  # the other methods' rates are still those
    assert small["made"].endswith("2 trials of 1 steps, adamw, linear (lora)")
    assert "| `lora` |" in capsys.readouterr().out
