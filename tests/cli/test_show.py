"""What ``snibench show`` prints, without torch."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from snibench.base.errors import SnibenchError, UsageError
from snibench.base.types import SuiteRequest
from snibench.cli import cli, main
from snibench.cli.outline import Unreadable, outline

Install = Callable[..., Path]
FORMATS = "snibench.formats"


def run(*arguments: str, color: bool = False) -> Result:
    width = {"COLUMNS": "200", "NO_COLOR": None if color else "1", "FORCE_COLOR": "1" if color else None}
    return CliRunner().invoke(cli, arguments, env={**width, "TERM": "xterm-256color"}, catch_exceptions=False)


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
    with pytest.raises(UsageError, match="--data says whose tasks --task and --model take"):
        run("show", "definition", "--data", str(folder))


# ------------------------------------------------------------------------------ classes of files

MINE = '''from dataclasses import dataclass

import no_such_package
from snibench.api import BaseMethod, LoraSettings


@dataclass(frozen=True)
class MineSettings(LoraSettings):
    """What is mine."""

    strength: float = 0.5


class Mine(BaseMethod):
    """Focal loss."""

    Settings = MineSettings
'''


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["./mine.py:Mine", "./mine.py", "mine.py"])
def test_a_class_of_a_file_is_shown_with_what_it_inherits_and_without_being_run(in_folder: Path, name: str) -> None:
    (in_folder / "mine.py").write_text(MINE, encoding="utf-8")  # to run it would fail
    lines = [line.split() for line in run("show", name).output.splitlines()]
    assert lines[0] == ["method", f"{name.removesuffix(':Mine')}:Mine", "(file)"]
    assert ["Focal", "loss."] in lines
    assert ["r", "8", "int,", "at", "least", "1"] in lines  # LoRA's, through snibench.api
    assert ["strength", "0.5", "float"] in lines
    assert lines[-1] == ["Code:", "mine.py:14"]


def test_a_class_that_only_running_its_file_makes_is_shown_with_its_settings(in_folder: Path) -> None:
    source = """
from dataclasses import dataclass
import snibench.api as api

@dataclass(frozen=True)
class Half:
    share: api.Share = 0.5

class Rule(api.GramRule):
    "Half of it."
    Settings = Half
    def weigh(self, step): ...
"""
    (in_folder / "rules.py").write_text(source, encoding="utf-8")
    lines = run("show", "rules.py").output.splitlines()
    assert lines[:2] == ["rule rules.py:Rule (file)", "Half of it."]
    assert any(line.split()[:2] == ["share", "0.5"] for line in lines)


def test_a_protocol_of_a_file_is_shown_with_its_tables(in_folder: Path) -> None:
    from snibench.cli.scaffold import scaffold

    files = scaffold("protocol", "thirds").files
    (source,) = (text for name, text in files.items() if "class" in text and "test" not in name)
    (in_folder / "thirds.py").write_text(source, encoding="utf-8")
    output = run("show", "thirds.py").output
    assert output.startswith("protocol thirds.py:Thirds (file)")
    assert "\nTable " in output


@pytest.mark.parametrize(
    ("source", "name", "error"),
    [
        ("", "mine.py", "'mine.py' defines no class"),
        ("class A: ...\nclass B: ...", "mine.py", "Name the class: mine.py:A or mine.py:B"),
        ("class A: ...", "mine.py:A", "mine.py:A is no plugin: the class A does not derive from Method or"),
        ("class Alpha: ...", "mine.py:Alpa", r"Did you mean 'Alpha'\? Known: Alpha\."),
        ("class A(A): ...", "mine.py:A", "mine.py cannot be loaded: NameError"),
        ("1 / 0\nclass A: ...", "mine.py:A", "mine.py cannot be loaded: ZeroDivisionError"),
        ("class A(:", "mine.py", "'mine.py' is not a Python file"),
        (None, "mine.py:A", "There is no file 'mine.py'"),
    ],
)
def test_a_file_without_a_plugin_is_refused_in_a_sentence(
    in_folder: Path, source: str | None, name: str, error: str
) -> None:
    if source is not None:
        (in_folder / "mine.py").write_text(source, encoding="utf-8")
    with pytest.raises(SnibenchError, match=error):
        run("show", name)


# ------------------------------------------------------------------------------- on a model


def on_model(name: str, *options: str) -> dict[str, str]:
    """The lines of what a method is on a model, by their titles."""
    output = run("show", name, "--model", "tiny", *options).output
    lines = output.partition(" on tiny\n")[2].splitlines()
    return {title: text.strip() for title, text in (line.strip().split("  ", 1) for line in lines)}


@pytest.fixture
def without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snibench.cli.on_model.has_train", lambda: False)


@pytest.mark.parametrize(
    ("name", "rate"),
    [
        ("lora", "0.009, searched for"),
        ("mtlora", "0.0792, searched for"),
        ("soft-prompt", "0.234, by a search under another schedule"),
        ("sam", "0.009, the method's own, moved as the search moved the baseline's; --tune-budget searches"),
    ],
)
def test_a_methods_rate_on_a_model_is_said_without_torch(without_torch: None, name: str, rate: str) -> None:
    shown = on_model(name)
    assert shown["Rate"] == rate
    assert shown["Model"] == "LlamaForCausalLM, 1,117,312 stored numbers"
    assert shown["Trainable"] == "known where the extra 'train' is installed"
    assert shown["Sampler"] == "deck"


def test_a_method_on_a_model_is_named_as_a_run_names_it(without_torch: None) -> None:
    output = run("show", "lora(r=4)+pcgrad@temperature", "--model", "tiny").output
    assert "lora(r=4)+pcgrad@temperature on tiny\n" in output
    assert output.startswith("method lora (snibench")
    shown = on_model("lora+pcgrad@temperature")
    assert (shown["Rule"], shown["Sampler"]) == ("pcgrad", "temperature")


def test_what_loads_no_model_says_so() -> None:
    assert on_model("majority") == {"Model": "none is loaded: its answers come from a heuristic or a file"}


def test_a_method_that_has_no_place_says_why(install: Install, without_torch: None) -> None:
    source = (
        "from snibench.api import BaseMethod\n\n\nclass Choosy(BaseMethod):\n    def unfit(self, info):\n"
        '        return f"It has no place in a {info.model_type}."\n'
    )
    install("choosy", {"snibench.methods": {"choosy": "choosy_module:Choosy"}}, {"choosy_module.py": source})
    assert on_model("choosy")["Unfit"] == "It has no place in a llama. A run skips its fits."
    assert "Rate" not in on_model("choosy")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["mean", "--model", "tiny"], "Unknown method 'mean'"),
        (["lora", "--model", "tinny"], "Unknown model 'tinny'. Did you mean 'tiny'"),
        (["lora", "--revision", "main"], "--revision and --trust-remote-code are for a model"),
        (["--model", "tiny"], "Name what to show"),
        (["--model", "tiny", "--task", "mini902_farm_place"], "Name the format"),
        (["lora(q=1)", "--model", "tiny"], "Unknown setting of lora 'q'"),
    ],
)
def test_options_that_do_not_go_together_are_refused(arguments: list[str], error: str) -> None:
    with pytest.raises(SnibenchError, match=error):
        run("show", *arguments)
