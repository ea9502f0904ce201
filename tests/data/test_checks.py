from collections.abc import Callable
from pathlib import Path

import pytest

from snibench.base.errors import DataError
from snibench.data.checks import check_folder

Write = Callable[..., Path]


@pytest.fixture
def folder(write_task: Write, write_lists: Write, tmp_path: Path) -> Path:
    """A sound folder: two train tasks and a test task, with nothing in common."""
    for name in ("a", "b", "t"):
        instances = [{"id": f"{name}-{n}", "input": f"{name} {n}", "output": ["yn"[n % 2]]} for n in range(40)]
        write_task(name, Instances=instances)
    write_lists(["a", "b"], ["t"])
    return tmp_path


def test_a_sound_folder_has_no_findings(folder: Path) -> None:
    assert check_folder(folder) == []


def test_the_problems_of_all_files_are_listed_at_once(folder: Path, write_task: Write) -> None:
    (folder / "tasks/a.json").write_text("{")
    write_task("b", Instances=[], Definition=4)
    (folder / "tasks/t.json").write_bytes(b"\xff")
    found = [(finding.severity, finding.file, finding.message.split(". ")[0]) for finding in check_folder(folder)]
    assert [entry for entry in found if entry[0] == "error"] == [
        ("error", "tasks/a.json", "is not JSON: line 1, column 2: Expecting property name enclosed in double quotes"),
        ("error", "tasks/b.json", "field 'Definition' is a number, not a list of texts"),
        ("error", "tasks/b.json", "field 'Instances' is empty"),
        ("error", "tasks/t.json", "is not UTF-8 (byte 0)"),
    ]


def test_a_repeated_key_is_an_error(folder: Path) -> None:
    path = folder / "tasks/a.json"
    path.write_text(path.read_text().replace('"URL"', '"Domains": [], "URL"'))
    assert any("key 'Domains' twice" in finding.message for finding in check_folder(folder))


def test_lists_are_checked_against_files_and_each_other(folder: Path) -> None:
    lists = folder / "splits/default"
    (lists / "train_tasks.txt").write_text("a\n\nb\nt\ngone\n")
    (lists / "excluded_tasks.txt").write_text("never\n")
    found = {(finding.severity, finding.file, finding.message.split(".")[0]) for finding in check_folder(folder)}
    assert found >= {
        ("error", "splits/default/train_tasks.txt", "names 1 of 4 tasks that have no file: gone"),
        ("warning", "splits/default/train_tasks.txt", "holds a blank line"),
        ("warning", "splits/default/excluded_tasks.txt", "names 1 of 1 tasks that have no file: never"),
        ("error", "splits/default/test_tasks.txt", "names 't', which train_tasks"),
    }


def test_a_near_miss_in_a_list_is_named_with_what_it_was_meant_to_be(folder: Path, write_task: Write) -> None:
    for name in ("task12_foo", "task13_foo"):
        write_task(name)
    lists = folder / "splits/default"
    (lists / "train_tasks.txt").write_text("a\nb\ntask12_foo \ntask13_fo\nTask13_foo.json\ntask14_bar\n")
    found = [finding.message for finding in check_folder(folder) if finding.file.endswith("train_tasks.txt")]
    assert found[0].startswith(
        "names 3 of 6 tasks that have no file: task13_fo (did you mean 'task13_foo'?), "
        "Task13_foo.json (did you mean 'task13_foo'?), task14_bar."
    )
    assert found[1].startswith("holds 1 name with blanks around, 'task12_foo ' first.")


def test_labels_with_stray_blanks_are_found(folder: Path, write_task: Write) -> None:
    instances = [{"id": f"a-{n}", "input": f"a {n}", "output": [("yes ", "no")[n % 2]]} for n in range(40)]
    write_task("a", Instances=instances)
    (finding,) = check_folder(folder)
    assert finding.severity == "warning"
    assert "20 references with blanks around, 'yes ' first" in finding.message


def test_a_partial_folder_has_warnings_for_tasks_without_files(folder: Path) -> None:
    (folder / "tasks/b.json").unlink()
    assert [finding.severity for finding in check_folder(folder)] == ["error"]
    assert [finding.severity for finding in check_folder(folder, partial=True)] == ["warning"]


def test_leaks_between_train_and_test_are_warnings(folder: Path, write_task: Write) -> None:
    instances = [{"id": str(n), "input": f"T, {n}!", "output": ["yn"[n % 2]]} for n in range(40)]
    write_task("a", Source=["eqasc"], Instances=instances)
    write_task("t", Source=["QASC"], Instances=instances)
    messages = [(finding.severity, finding.message) for finding in check_folder(folder)]
    assert (
        "warning",
        "40 train instances have the input of a test instance. They are dropped from training.",
    ) in messages
    assert any("1 train tasks share a source with a test task, 1 of them under" in message for _, message in messages)


def test_a_list_that_cannot_be_read_is_an_error(folder: Path) -> None:
    (folder / "splits/default/test_tasks.txt").unlink()
    assert [(finding.severity, finding.file) for finding in check_folder(folder)] == [
        ("error", "splits/default/test_tasks.txt")
    ]


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no folder"):
        check_folder(tmp_path / "nowhere")
