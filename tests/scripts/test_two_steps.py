"""The table of what runs on a model: a row each, whatever its end, and a place in a document."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

import all_methods
import two_steps

from snibench.base.registry import METHODS, RULES, SAMPLERS

MINE = '''
from snibench.api import BaseMethod

class Refused(BaseMethod):
    """LoRA that wants another model."""

    def unfit(self, info):
        return "it is of no use in | this model."

class Fails(BaseMethod):
    """LoRA without a loss."""

    def losses(self, model, batch):
        raise ValueError("no loss")
'''


def test_every_installed_method_rule_and_sampler_has_a_row() -> None:
    rows = set(two_steps.names())
    assert set(METHODS.names()) - rows <= all_methods.LEFT_OUT
    assert {f"lora+{rule}" for rule in RULES.names()} - rows == {"lora+mean"}
    assert {f"lora@{sampler}" for sampler in SAMPLERS.names()} - rows == {"lora@deck"}


@pytest.mark.slow
def test_each_row_says_how_it_ended_and_the_same_command_runs_nothing_again(tmp_path, capsys) -> None:
    mine, document = tmp_path / "mine.py", tmp_path / "methods.md"
    mine.write_text(MINE, encoding="utf-8")
    document.write_text(f"Before.\n{two_steps.START}\nold\n{two_steps.END}\nAfter.\n", encoding="utf-8")
    names = [f"{mine}:Refused", f"{mine}:Fails", "lora+mgda", "lora@pike"]
    asked = [part for name in names for part in ("-m", name)]
    given = ["-o", str(tmp_path / "runs"), "--tasks", "2", "--protocol", "gap", "--write", str(document), *asked]
    assert two_steps.main(given) == 1
    text = capsys.readouterr().out
    rows = {line.split("|")[1].strip(" `"): line for line in text.splitlines()[2:]}
    assert list(rows) == names
    refused, fails, *run = names
    assert "refused |" in rows[refused]
    assert "it is of no use in \\| this model." in rows[refused]
    assert "failed |" in rows[fails]
    assert "cannot be read (no loss)" in rows[fails]
    for name in run:
        _, _, verdict, trains, seconds, *numbers, why, _ = (cell.strip() for cell in rows[name].split("|"))
        assert (verdict, trains, why) == ("runs", "76,800", "")
        assert float(seconds) > 0
        first, last, before, after = map(float, numbers)
        assert min(first, last) > 0
        assert before != after  # the parameters moved
    written = document.read_text(encoding="utf-8")
    assert written.startswith("Before.\n")
    assert written.endswith("After.\n")
    assert "old" not in written
    assert text.strip() in written

    stored = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("trace.parquet")}
    two_steps.main(given)
    assert capsys.readouterr().out == text
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("trace.parquet")} == stored


def test_a_document_without_the_marks_is_refused(tmp_path) -> None:
    document = tmp_path / "methods.md"
    document.write_text("No place.\n", encoding="utf-8")
    with pytest.raises(SystemExit, match="no place for the table"):
        two_steps.written(document, "| a |")
    assert document.read_text(encoding="utf-8") == "No place.\n"
