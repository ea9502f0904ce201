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
from snibench.base.types import FitRecord, SuiteRequest
from snibench.cli import cli, main
from snibench.cli.outline import Unreadable, outline
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


# ---------------------------------------------------------------------------------------- show


def test_show_gives_docstring_settings_with_defaults_and_source() -> None:
    output = run("show", "ours").output
    assert "method ours (snibench" in output
    assert "plain LoRA" in output
    assert any(line.split()[:3] == ["modulation", "0.5", "float,"] for line in output.splitlines())
    assert "ours.py:" in output


def test_show_lists_the_tables_of_a_protocol_with_what_their_columns_mean() -> None:
    output = run("show", "gap").output
    assert "Table gap (Generalization gap" in output
    assert "Table gap_crossfit_tasks" in output
    rows = [" ".join(line.split()) for line in output.splitlines()]
    assert "relative_gap Gap / seen gap as a share of the score on seen tasks" in rows


def test_settings_are_inherited_and_extended_as_dataclasses_do(install: Install) -> None:
    base = (
        "from dataclasses import dataclass\n\n@dataclass\nclass S:\n    rank: int = 8\n    kept: bool = True\n\n"
        "class Base:\n    Settings = S\n"
    )
    own = (
        "from dataclasses import dataclass\nfrom typing import ClassVar\nfrom .base import Base as Parent, S\n\n"
        "@dataclass\nclass Mine(S):\n    rank: int = 4\n    extra: float = 1e-3\n    fixed: ClassVar[int] = 1\n\n"
        "class Plain(Parent):\n    pass\n\nclass Extended(Parent):\n    Settings = Mine\n"
    )
    install(
        "family", {}, {"family/__init__.py": "from .own import Plain\n", "family/base.py": base, "family/own.py": own}
    )
    assert [(s.name, s.type, s.default) for s in outline("family:Plain").settings] == [
        ("rank", "int", "8"),
        ("kept", "bool", "True"),
    ]
    assert [(s.name, s.default) for s in outline("family.own:Extended").settings] == [
        ("rank", "4"),
        ("kept", "True"),
        ("extra", "0.001"),
    ]


def test_modules_that_import_each_other_in_a_circle_are_no_trap(install: Install) -> None:
    install("circle", {}, {"circle_a.py": "from circle_b import X\n", "circle_b.py": "from circle_a import X\n"})
    with pytest.raises(Unreadable):
        outline("circle_a:X")


def test_an_unknown_name_gets_a_suggestion_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["show", "lorra"])
    assert ended.value.code == 2
    assert "Unknown name 'lorra'. Did you mean 'lora'?" in capsys.readouterr().err


# -------------------------------------------------------------------------------- rendered prompts


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    task = {
        "Contributors": ["a"],
        "Source": ["made"],
        "URL": ["none"],
        "Categories": ["Sentiment Analysis"],
        "Reasoning": [],
        "Definition": ["Say [bold]yes[/bold] or no."],
        "Input_language": ["English"],
        "Output_language": ["English"],
        "Instruction_language": ["English"],
        "Domains": ["Books"],
        "Positive Examples": [{"input": "good", "output": "yes", "explanation": "it is"}],
        "Negative Examples": [],
        "Instances": [
            {"id": f"task-{i}", "input": f"\x1b[2Jfine {i}", "output": [["yes", "no"][i % 2]]} for i in range(4)
        ],
        "Instance License": ["CC0"],
    }
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "task001_made.json").write_text(json.dumps(task), encoding="utf-8")
    return tmp_path


def test_a_rendered_prompt_is_shown_as_it_is(folder: Path) -> None:
    output = run("show", "definition", "--task", "task001_made", "--data", str(folder)).output
    assert output == "Definition: Say [bold]yes[/bold] or no.\n\nInput: �[2Jfine 0\nOutput:\n"


def test_segments_are_coloured_where_the_terminal_has_colours(folder: Path) -> None:
    output = run("show", "definition", "--task", "task001_made", "--data", str(folder), color=True).output
    assert "\x1b[36mSay [bold]yes[/bold] or no.\x1b[0m" in output
    assert "instruction" in output.splitlines()[0]


def test_a_task_of_the_embedded_suite_is_rendered_by_default() -> None:
    from snibench.base.registry import SUITES

    name = next(iter(SUITES.get("mini")().load(SuiteRequest("mini")).tasks))
    assert "Output:" in run("show", "definition", "--task", name).output


def test_an_unknown_task_gets_a_suggestion(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"Unknown task 'task001_mad'\. Did you mean 'task001_made'"):
        run("show", "definition", "--task", "task001_mad", "--data", str(folder))


def test_data_without_a_task_is_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match="--data says where --task is found"):
        run("show", "definition", "--data", str(folder))
