"""``snibench doctor``: what is broken is found, named, and makes the exit code 1."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from snibench.base.registry import FORMATS
from snibench.cli import doctor as module
from snibench.cli import main


def findings(
    capsys: pytest.CaptureFixture[str], *arguments: object
) -> tuple[int, dict[tuple[str, str], dict[str, Any]]]:
    with pytest.raises(SystemExit) as ended:
        main(["doctor", "--json", *map(str, arguments)])
    listed = json.loads(capsys.readouterr().out)
    return int(ended.value.code or 0), {(one["part"], one["name"]): one for one in listed}


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the processes that ask torch and load plugins: they take seconds."""
    about = {"version": "2", "cuda": [], "mps": False, "threads": 1, "right": True, "cpu": "float32", "gpu": ""}
    monkeypatch.setattr(module, "ask", lambda *_: ([json.dumps(about)], ""))


def test_a_sound_installation_has_nothing_broken(capsys, quiet, tmp_path) -> None:
    code, found = findings(capsys, "-o", tmp_path)
    assert code == 0
    assert not [one for one in found.values() if one["status"] == "broken"]
    assert {part for part, _ in found} >= {"Software", "Devices", "Machine", "Folders", "Caches", "Plugins"}
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_takes_no_files_is_broken(capsys, quiet, tmp_path) -> None:
    (tmp_path / "file").touch()
    code, found = findings(capsys, "-o", "/proc/runs")
    assert code == 1
    assert found["Folders", "results"]["status"] == "broken"
    assert "cannot be written" in found["Folders", "results"]["text"]


def test_without_torch_it_says_what_is_missing_and_nothing_is_broken(capsys, monkeypatch, tmp_path) -> None:
    real, whole = importlib.util.find_spec, module.version
    monkeypatch.setattr(module, "find_spec", lambda name: None if name == "torch" else real(name))
    monkeypatch.setattr(module, "ask", lambda *_: (["[]"], ""))

    def installed(name: str) -> str:
        if name == "torch":
            raise module.PackageNotFoundError(name)
        return whole(name)

    monkeypatch.setattr(module, "version", installed)
    monkeypatch.setattr(module, "plugin_findings", lambda: iter(()))
    code, found = findings(capsys, "-o", tmp_path)
    assert code == 0
    assert "torch" in found["Software", "extra 'train'"]["text"]
    assert ("Devices", "torch") not in found


def test_a_torch_that_crashes_or_computes_wrongly_is_broken() -> None:
    pytest.importorskip("torch")
    (crashed,) = (one for one in module.device_findings("import os; os.abort()") if one.status == "broken")
    assert "killed by signal 6" in crashed.text
    wrong = module.device_findings(module.ASK_TORCH.replace("64.0 ** 3", "1.0"))
    assert [one.text for one in wrong if one.status == "broken"] == ["multiplies matrices wrongly. Install it again."]


def test_an_option_in_the_environment_that_nothing_reads_is_noted(capsys, quiet, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("SNIBENCH_RUN_SEDS", "3")
    monkeypatch.setenv("SNIBENCH_RUN_SEEDS", "3")
    code, found = findings(capsys, "-o", tmp_path)
    assert code == 0
    assert found["Environment", "SNIBENCH_RUN_SEDS"]["status"] == "note"
    assert found["Environment", "SNIBENCH_RUN_SEEDS"]["status"] == "ok"


def test_plugins_that_cannot_be_loaded_are_named_with_the_cause(install, monkeypatch) -> None:
    site = install("bad-plugin", {"snibench.formats": {"bad": "bad_plugin:Bad", "fatal": "fatal_plugin:Bad"}}, {
        "bad_plugin.py": "Bad = 3\n", "fatal_plugin.py": "import os\nos._exit(7)\n",
    })  # fmt: skip
    (site / "worse-1.0.dist-info").mkdir()
    (site / "worse-1.0.dist-info" / "METADATA").write_text("Name: worse\nVersion: 1.0\n", encoding="utf-8")
    (site / "worse-1.0.dist-info" / "entry_points.txt").write_bytes(b"\xff\xfe")
    monkeypatch.setenv("PYTHONPATH", str(site))
    found = {one.name: one for one in module.plugin_findings({"formats": FORMATS})}
    assert {one.name for one in found.values() if one.status == "broken"} >= {"format bad", "format fatal", "worse"}
    assert "a value of type int" in found["format bad"].text
    assert found["format fatal"].text == "loading it ends the process: exit code 7"
    assert "cannot be read" in found["worse"].text


def test_the_table_marks_what_is_broken(capsys, quiet, tmp_path) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["doctor", "-o", "/proc/runs"])
    said = capsys.readouterr().out
    assert ended.value.code == 1
    assert " X results: /proc/runs, to be made: cannot be written" in said
    assert Path("/proc/runs").exists() is False
