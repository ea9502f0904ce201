"""``snibench plugin``: every package that it writes keeps its contract at once, in its own tests, too."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from snibench.cli import cli
from snibench.cli.scaffold import REGISTRIES, example, scaffold

ROOT = Path(__file__).parents[2]


def call(*arguments: object) -> tuple[int, str]:
    from snibench.base.errors import SnibenchError

    ended = CliRunner().invoke(cli, [str(one) for one in arguments], standalone_mode=False)
    if isinstance(ended.exception, SnibenchError):
        return 2, str(ended.exception)
    assert ended.exception is None, ended.exception
    return int(ended.return_value or 0), ended.stdout


@pytest.mark.parametrize("sort", list(REGISTRIES))
def test_a_new_package_keeps_its_contract(sort: str, tmp_path: Path) -> None:
    if sort in {"method", "rule", "sampler"}:
        pytest.importorskip("torch")
    name = f"my-{sort}-2"
    assert call("plugin", "new", sort, name, "-o", tmp_path)[0] == 0
    folder = tmp_path / f"snibench-{name}"
    assert call("plugin", "check", folder) == (0, f"{sort} {name}: keeps the contract\n")


def test_its_own_tests_pass(tmp_path: Path) -> None:
    assert call("plugin", "new", "suite", "mine", "-o", tmp_path)[0] == 0
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path / "snibench-mine",
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


@pytest.mark.parametrize("sort", list(REGISTRIES))
def test_a_new_package_begins_as_the_manuals_example(sort: str) -> None:
    assert f"```python\n{example(sort)}```" in (ROOT / "docs" / "plugins.md").read_text("utf-8")


def test_a_fault_is_named(tmp_path: Path) -> None:
    assert call("plugin", "new", "metric", "mine", "-o", tmp_path)[0] == 0
    code = tmp_path / "snibench-mine" / "src" / "snibench_mine" / "__init__.py"
    code.write_text(code.read_text("utf-8").replace("return max(", "return -1 + 0 * max("), "utf-8")
    sys.modules.pop("snibench_mine", None)
    status, said = call("plugin", "check", tmp_path / "snibench-mine")
    assert status == 1
    assert said.startswith("metric mine: fails: ")


@pytest.mark.parametrize("name", ["../up", "Mine", "a b", "-x", "x" * 99, ""])
def test_a_name_that_is_none_of_a_package_is_refused(name: str, tmp_path: Path) -> None:
    status, said = call("plugin", "new", "-o", tmp_path, "--", "rule", name)
    assert (status, "cannot name a plugin" in said) == (2, True)
    assert not list(tmp_path.iterdir())


def test_a_name_that_an_installed_plugin_has_is_refused(tmp_path: Path) -> None:
    status, said = call("plugin", "new", "rule", "pcgrad", "-o", tmp_path)
    assert (status, said.startswith("The rule 'pcgrad' is there already, of snibench ")) == (2, True)
    assert not list(tmp_path.iterdir())
    assert call("plugin", "new", "format", "pcgrad", "-o", tmp_path)[0] == 0  # names of another sort are free


def test_what_is_there_stays(tmp_path: Path) -> None:
    assert call("plugin", "new", "format", "mine", "-o", tmp_path)[0] == 0
    status, said = call("plugin", "new", "format", "mine", "-o", tmp_path)
    assert (status, "there already" in said) == (2, True)


def test_an_unknown_plugin_gets_a_suggestion() -> None:
    status, said = call("plugin", "check", "definitoin")
    assert status == 2
    assert "definition" in said
    assert scaffold("rule", "mine").folder == "snibench-mine"


def test_a_class_of_a_file_is_checked_as_what_it_is(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(example("metric") + "\n\nclass Nothing:\n    pass\n", "utf-8")
    assert call("plugin", "check", f"{file}:SharedWords") == (0, f"metric {file}:SharedWords: keeps the contract\n")
    status, said = call("plugin", "check", f"{file}:Nothing")
    assert (status, "does not derive from" in said) == (2, True)
