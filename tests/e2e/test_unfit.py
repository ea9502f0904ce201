"""Methods without a place in a model: named in the plan, skipped with a record, and no other fit is held up."""

from __future__ import annotations

import json

import pytest

NOWHERE = """
from snibench.api import BaseMethod


class Nowhere(BaseMethod):
    def unfit(self, info):
        return f"a {info.architecture} of {info.parameters:,} parameters is not for it." if WHY else None

    def attach(self, model, cards, encode, seed):
        if WHY:
            raise AssertionError("attached all the same")
        return super().attach(model, cards, encode, seed)


WHY = True
"""


@pytest.mark.slow
def test_an_unfit_method_is_skipped_with_its_sentence_and_the_others_go_on(snibench, small, tmp_path) -> None:
    file, folder = tmp_path / "nowhere.py", tmp_path / "runs"
    file.write_text(NOWHERE, encoding="utf-8")
    command = ("run", "-m", f"{file}:Nowhere", "-m", "lora", "--no-baseline", "--seeds", "0", *small, "-o", folder)
    planned = snibench(*command, "--dry-run")
    assert "Nowhere is skipped: a LlamaForCausalLM of" in planned.out
    outcome = snibench(*command)
    assert "same layers for every method, 28 linear layers: q_proj, k_proj, v_proj," in outcome.out
    assert outcome.code == 1
    records = [json.loads(path.read_text()) for path in folder.glob("*/record.json")]
    found = {record["label"]: (record["status"], record["cause"]) for record in records}
    assert found["lora"] == ("done", "")
    assert found[f"{file}:Nowhere"][0] == "unfit"
    assert found[f"{file}:Nowhere"][1].startswith("a LlamaForCausalLM of")
    assert "unfit" in outcome.out
