"""The Python door: the example of docs/python.md, and equality with what the command stores."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import snibench as door
from snibench.base.errors import StoreError, UsageError
from snibench.report.results import Results

DOCS = Path(__file__).parents[2] / "docs" / "python.md"
SMALL = {"tasks": 8, "steps": 3, "limit": 1, "max_output": 6, "conflict": "off", "overwrite": "never"}


def test_the_door_imports_nothing_heavy() -> None:
    probe = "import snibench, sys; print(sorted({'torch', 'pandas', 'numpy', 'msgspec', 'click'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
def test_the_example_of_the_manual_runs_and_the_command_finds_its_fits_done(
    tmp_path: Path, snibench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = "\n".join(re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), flags=re.S))
    call = 'seeds=[0, 1], protocols=["gap"]'
    assert call in code
    small = ", ".join(f"{key}={value!r}" for key, value in SMALL.items())
    monkeypatch.chdir(tmp_path)
    scope: dict[str, object] = {}
    exec(compile(code.replace(call, f"{call}, {small}"), str(DOCS), "exec"), scope)
    printed = capsys.readouterr().out
    results = scope["results"]
    assert isinstance(results, Results)
    assert "ours" in printed

    stored = {path: path.read_bytes() for path in (tmp_path / "runs").rglob("*.parquet")}
    options = [part for key, value in SMALL.items() for part in (f"--{key.replace('_', '-')}", str(value))]
    arguments = ["-m", "ours", "-m", "mtl-lora", "--seeds", "0,1", "--protocol", "gap", *options]
    done = snibench("run", *arguments, "-o", tmp_path / "runs", "--json", tmp_path / "all.json")
    assert done.code == 0
    assert {path: path.read_bytes() for path in (tmp_path / "runs").rglob("*.parquet")} == stored
    again = door.load(tmp_path / "runs")
    pd.testing.assert_frame_equal(again.answers, results.answers)
    assert list(again.fits["status"].unique()) == ["done"]
    exported = json.loads((tmp_path / "all.json").read_text(encoding="utf-8"))["tables"]
    assert list(exported) == list(again.tables)
    rows = exported["gap"]["rows"]
    assert [row["gap"] for row in rows] == pytest.approx(list(again.tables["gap"]["gap"]))
    view = again.compare("ours", "mtl-lora")
    assert "<table" in view._repr_html_()
    assert "ours" in repr(view)
    assert "<script" not in again._repr_html_()
    assert repr(again).startswith("Results of untuned, copy-input, majority, unified-prompt, ours, mtl-lora in")


def test_a_wrong_option_or_name_is_refused_as_on_the_command_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"'sedes'\. Did you mean 'seeds'"):
        door.run("ours", tmp_path, sedes=[0])  # type: ignore[call-arg]
    with pytest.raises(UsageError, match=r"'our'\. Did you mean 'ours'"):
        door.run("our", tmp_path)
    with pytest.raises(UsageError, match=r"ours: r cannot be 2\.5: expected int, got float"):
        door.run("ours", tmp_path, settings={"r": 2.5})
    with pytest.raises(StoreError, match="There is no run"):
        door.load(tmp_path)
