from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from stored_specs import LORA

from snibench.base.errors import StoreError, UsageError
from snibench.base.types import FitRecord
from snibench.cli import cli
from snibench.store import Store

Install = Callable[..., Path]
METHODS = "snibench.methods"
FORMATS = "snibench.formats"


def run(*arguments: str, color: bool = False) -> Result:
    width = {"COLUMNS": "200", "NO_COLOR": None if color else "1", "FORCE_COLOR": "1" if color else None}
    return CliRunner().invoke(cli, arguments, env={**width, "TERM": "xterm-256color"}, catch_exceptions=False)


def listed(kind: str, *arguments: str) -> dict[str, Any]:
    result = run("ls", kind, "--json", *arguments)
    assert result.exit_code == 0
    return {row.get("name") or row["fit"]: row for row in json.loads(result.output)}


# --------------------------------------------------------------------------------------- lists


@pytest.mark.parametrize(
    ("kind", "some"),
    [
        ("methods", {"untuned", "unified-prompt", "lora", "mtl-lora", "prompt-aligned", "ours"}),
        ("rules", {"mean", "pcgrad"}),
        ("formats", {"definition", "abstract", "tk_def_pos2"}),
        ("protocols", {"gap", "formats", "combos"}),
        ("suites", {"mini", "sni", "own"}),
    ],
)
def test_built_ins_are_listed_with_distribution_and_summary(kind: str, some: set[str]) -> None:
    rows = listed(kind)
    assert some <= set(rows)
    for name in some:
        assert rows[name]["distribution"] == "snibench"
        assert rows[name]["problem"] == ""
        assert rows[name]["summary"], name
    shown = run("ls", kind).output
    assert all(name in shown for name in some)


def test_a_plugin_is_listed_from_its_source_without_being_imported(install: Install) -> None:
    source = 'raise RuntimeError("imported")\n\n\nclass Loud:\n    """Says what it is.\n\n    And more."""\n'
    install(
        "loud-method",
        {METHODS: {"loud": "loud_method.inner:Loud"}},
        {"loud_method/__init__.py": "1 / 0\n", "loud_method/inner.py": source},
    )
    assert listed("methods")["loud"] == {
        "name": "loud",
        "distribution": "loud-method",
        "version": "1.0",
        "summary": "Says what it is.",
        "problem": "",
    }


@pytest.mark.parametrize(
    ("value", "modules", "problem"),
    [
        ("absent_module:Gone", {}, "there is no module 'absent_module'"),
        ("empty_module:Gone", {"empty_module.py": ""}, "'empty_module' has no 'Gone'"),
        ("torn_module:Torn", {"torn_module.py": "class Torn(:\n"}, "torn_module.py cannot be read: invalid syntax"),
    ],
)
def test_a_broken_plugin_is_a_row_and_the_rest_works(
    install: Install, value: str, modules: dict[str, str], problem: str
) -> None:
    install("broken-one", {METHODS: {"broken": value}}, modules)
    rows = listed("methods")
    assert problem in rows["broken"]["problem"]
    assert rows["broken"]["distribution"] == "broken-one"
    assert rows["lora"]["problem"] == ""
    assert "broken: " in run("ls", "methods").output
    assert "broken: " in run("show", "broken").output


def test_two_distributions_with_one_name_are_two_rows_that_name_both(install: Install) -> None:
    for name in ("one-plugin", "two-plugin"):
        module = name.replace("-", "_")
        install(name, {FORMATS: {"same": f"{module}:Same"}}, {f"{module}.py": "class Same: pass\n"})
    rows = [row for row in json.loads(run("ls", "formats", "--json").output) if row["name"] == "same"]
    assert {row["distribution"] for row in rows} == {"one-plugin", "two-plugin"}
    for row in rows:
        assert row["problem"] == "claimed by one-plugin 1.0 and two-plugin 1.0; uninstall one of them"


def test_a_class_made_at_run_time_is_listed_without_a_complaint(install: Install) -> None:
    source = (
        "from snibench.contracts import Floor\ndef __getattr__(name):\n"
        '    return type(name, (Floor,), {"__doc__": f"Made: {name}.", "answer": lambda *_: ""})\n'
    )
    install("factory", {METHODS: {"made": "factory_module:Made"}}, {"factory_module.py": source})
    assert listed("methods")["made"]["problem"] == ""
    assert "Made: Made." in run("show", "made").output


def test_an_unknown_kind_gets_a_suggestion() -> None:
    with pytest.raises(UsageError, match=r"Unknown group 'method'\. Did you mean 'methods'"):
        run("ls", "method")


def test_markup_and_control_characters_of_a_plugin_are_shown_not_obeyed(install: Install) -> None:
    source = '"""."""\n\n\nclass Sly:\n    """[red]not red[/red] \\x1b[31mnor this."""\n'
    install("sly", {METHODS: {"sly": "sly_module:Sly"}}, {"sly_module.py": source})
    for command in (("ls", "methods"), ("show", "sly")):
        output = run(*command).output
        assert "[red]not red[/red]" in output
        assert "\x1b" not in output


# ---------------------------------------------------------------------------------------- runs


def test_runs_are_listed_with_their_status_finished_or_not(tmp_path: Path) -> None:
    store = Store(tmp_path)
    fits = [replace(LORA, seed=seed) for seed in range(3)]
    for fit in fits:
        store.begin(fit)
    store.seal(FitRecord.of(fits[0], "done", seconds=12.5))
    (tmp_path / fits[2].id / "record.json").write_text("{", encoding="utf-8")
    (tmp_path / "notes").mkdir()
    rows = listed("runs", "-o", str(tmp_path))
    assert len(rows) == 3
    done, unfinished, unreadable = (rows[fit.id] for fit in fits)
    assert (done["status"], done["seconds"], done["label"]) == ("done", 12.5, "lora")
    assert (unfinished["status"], unfinished["seconds"], unfinished["seed"]) == ("unfinished", None, 1)
    assert unreadable["status"] == "unreadable"
    assert "record.json is not JSON" in unreadable["cause"]
    table = run("ls", "runs", "-o", str(tmp_path)).output
    assert "12.5" in table
    assert "unfinished" in table


def test_thousands_of_runs_are_listed_in_plain_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snibench.cli.ls._DRAWN", 2)
    store = Store(tmp_path)
    for seed in range(3):
        fit = replace(LORA, label="lora\x1b[2J", seed=seed)
        store.begin(fit)
        store.seal(FitRecord.of(fit, "failed", cause="out of\nmemory"))
    head, *lines = run("ls", "runs", "-o", str(tmp_path)).output.splitlines()
    assert head.split() == ["fit", "method", "seed", "status", "seconds"]
    assert sorted(line.split(maxsplit=4)[1:4] for line in lines) == [["lora�[2J", str(s), "failed"] for s in range(3)]
    assert all(line.endswith("out of memory") for line in lines)
    assert len({line.index("failed") for line in lines}) == 1


def test_a_folder_without_runs_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"There is no folder .* snibench run --method ours"):
        run("ls", "runs", "-o", str(tmp_path / "none"))
