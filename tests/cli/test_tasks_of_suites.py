"""Tasks of every suite, listed, described and shown: the embedded one, a folder, rows of one's own, a plugin's."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from snibench.base.errors import UsageError
from snibench.cli import cli

PLUGIN = '''
from snibench.api import Instance, Suite, Task, TaskCard, build_suite


def task(name):
    rows = tuple(Instance(f"{name}-{n}", f"{name} {n}", ("yes" if n % 2 else "no",)) for n in range(40))
    return Task(TaskCard(name, f"Say {name}.", (), (), "Sums", (), (name,), ("no", "yes"), "exact_match"), rows)


class Sums(Suite):
    """Two tasks."""

    def load(self, request):
        tasks = {name: task(name) for name in ("even", "odd")}
        return build_suite("sums", tasks, ["even"], ["odd"], request, combos=(), held_out=10,
                           drop_seen_on_source_overlap=True)
'''


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(one) for one in arguments], catch_exceptions=False)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "own.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("input", "output", "task"))
        writer.writerows((f"{t}, number {n}", "no" if n % 2 else "yes", t) for t in ("a", "b", "c") for n in range(40))
    return path


@pytest.fixture
def plugin(install: Callable[..., Path]) -> str:
    install("sums", {"snibench.suites": {"sums": "sums_suite:Sums"}}, {"sums_suite.py": PLUGIN})
    return "sums"


def names(*arguments: object) -> set[str]:
    return {row["name"] for row in json.loads(run("ls", "tasks", "--json", *arguments).stdout)}


def test_the_tasks_of_every_suite_are_listed(own: Path, sample: Path, plugin: str) -> None:
    assert names("--data", own) == {"a", "b", "c"}
    assert names("--suite", plugin) == {"even", "odd"}
    assert "mini101_restaurant_verdict" in names() == names("--suite", "mini")
    assert names("--data", sample) == {path.stem for path in (sample / "tasks").glob("*.json")}
    shown = run("ls", "tasks", "--data", own).stdout
    assert all(f"{name} " in shown for name in "abc")


def test_a_task_of_every_suite_is_shown_and_rendered(own: Path, sample: Path, plugin: str) -> None:
    some = min(names("--data", sample))
    for place, name in ((("--data", own), "a"), (("--suite", plugin), "odd"), ((), "mini101_restaurant_verdict"),
                        (("--data", sample), some)):  # fmt: skip
        assert f"task {name}" in run("show", "--task", name, *place).stdout
        assert "Output:" in run("show", "definition", "--task", name, *place).stdout
    with pytest.raises(UsageError, match="Did you mean 'even'"):
        run("show", "--task", "eve", "--suite", plugin)


def test_info_describes_files_and_suites(own: Path, plugin: str) -> None:
    assert "3 tasks, 108 instances." in run("data", "info", own).stdout
    assert "2 tasks, 80 instances." in run("data", "info", plugin).stdout
    assert run("data", "info", "own", "--data", own).stdout == run("data", "info", own).stdout


def test_a_check_of_rows_ends_with_an_exit_code(own: Path) -> None:
    sound = run("data", "check", own)
    assert (sound.exit_code, sound.stdout) == (0, "3 tasks: 0 errors, 0 warnings.\n")
    own.write_text(own.read_text(encoding="utf-8") + "half,,a\n", encoding="utf-8")
    broken = run("data", "check", own)
    assert broken.exit_code == 1
    assert "error: own.csv, line 122: 'output' is empty." in broken.stdout


def test_rows_are_exported_in_the_official_layout(own: Path, tmp_path: Path) -> None:
    assert run("data", "export", "own", tmp_path / "new", "--data", own).exit_code == 0
    assert {path.stem for path in (tmp_path / "new/tasks").glob("*.json")} == {"a", "b", "c"}
    assert "0 errors" in run("data", "check", tmp_path / "new").stdout


def test_options_of_tasks_are_refused_elsewhere(own: Path) -> None:
    for arguments in (("ls", "rules", "--data", own), ("show", "ours", "--suite", "mini"), ("show",)):
        with pytest.raises(UsageError, match="task"):
            run(*arguments)


def test_rows_of_ones_own_are_planned_at_once_by_their_size(own: Path) -> None:
    pytest.importorskip("torch")  # the extra that brings a tokenizer's reader
    told = run("run", "--data", own, "-m", "ours", "--dry-run").stdout
    assert "Suite own/drawn: 2 seen tasks, 1 unseen." in told
    assert "Profile quick." in told
    assert "Each is tuned for 90 steps of 2 tasks x 4 instances" in told


def test_a_run_that_asks_nothing_says_why(plugin: str) -> None:
    pytest.importorskip("torch")
    with pytest.raises(UsageError, match=r"No question is asked by combos of sums.*--pair"):
        run("run", "--suite", plugin, "-m", "lora", "--protocol", "combos", "--dry-run")


def test_a_folder_in_the_official_layout_is_planned_by_its_size(sample: Path) -> None:
    pytest.importorskip("torch")
    small = ["--data", sample, "--partial", "--tasks", "20", "-m", "lora", "--protocol", "gap", "--dry-run"]
    told = run("run", *small).stdout
    assert "20 seen tasks" in told
    assert "Profile quick." in told
    assert "for 125 steps of 8 tasks x 4 instances" in told  # two passes over 20 x 100 instances
    paper = run("run", *small, "--profile", "paper").stdout
    assert "for 4,725 steps" in paper
