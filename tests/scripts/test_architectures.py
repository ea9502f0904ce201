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


def test_a_run_goes_on_where_it_was_ended_and_runs_anew_what_is_named(monkeypatch, tmp_path) -> None:
    rows, asked = tmp_path / "rows.jsonl", []

    def row_of(name: str) -> architectures.Row:
        asked.append(name)
        if name == "opt" and len(asked) == 2:
            raise KeyboardInterrupt
        return architectures.Row(name, "equal", "", "M", Paths("eager"), 1e-7, ("lora",), ("ours: no.",))

    monkeypatch.setattr(architectures, "row_of", row_of)
    monkeypatch.setattr(architectures, "architectures", lambda: ["llama", "opt"])
    with pytest.raises(KeyboardInterrupt):
        architectures.main(["--rows", str(rows)])
    assert architectures.main(["--rows", str(rows)]) == 0
    assert asked == ["llama", "opt", "opt"]
    assert architectures.main(["llama", "--rows", str(rows)]) == 0
    assert asked[-1] == "llama"
    assert list(architectures.kept(rows)) == ["llama", "opt"]
    assert architectures.kept(rows)["opt"] == row_of("opt")


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
