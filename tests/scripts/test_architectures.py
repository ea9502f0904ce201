"""A dozen architectures, each equal to transformers or refused; the whole table is `scripts/architectures.py`."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

import architectures

from snibench.base.types import Checked, Paths

DOZEN = (
    *("llama", "gpt2", "mixtral", "opt", "gpt_neox", "gemma2", "bloom", "mamba", "qwen3_next", "mistral", "t5"),
    "bert",
)


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SNIBENCH_HOME", str(tmp_path))


@pytest.mark.slow
def test_a_dozen_architectures_are_equal_to_transformers_or_refused() -> None:
    said: list[str] = []
    assert architectures.main(DOZEN, said.append) == 0
    verdicts = {line.split(": ")[0]: line.split(": ")[1] for line in said}
    assert verdicts == {**dict.fromkeys(DOZEN, "equal"), "bert": "refused"}


def test_a_path_that_leaks_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(architectures, "check_model", lambda source: Checked())  # packed rows, whatever the model
    said: list[str] = []
    assert architectures.main(["qwen3_next"], said.append) == 1
    assert said[0].startswith("qwen3_next: differs: Differs: untuned: loss")


def test_the_table_stands_between_its_marks_and_the_rest_stays(tmp_path: Path) -> None:
    file = tmp_path / "models.md"
    file.write_text(f"# A\n\n{architectures.START}\nold\n{architectures.END}\n\nB\n", encoding="utf-8")
    row = architectures.Row("llama", "equal", "", "LlamaForCausalLM", Paths(), 2e-8, ("untuned", "lora"))
    architectures.written(file, architectures.table([row, architectures.Row("bert", "refused", "It sees.")]))
    text = file.read_text(encoding="utf-8")
    assert text.startswith("# A\n")
    assert text.endswith("\n\nB\n")
    assert "old" not in text
    assert "| llama | packed | sdpa | fast | below 1e-6 | untuned, lora |" in text
    assert "- bert: It sees." in text
