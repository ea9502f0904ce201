"""A suite of one's own rows: what becomes of CSV, TSV and JSON-lines files, and what is said of bad ones."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from snibench.base.errors import DataError, UsageError
from snibench.base.types import SuiteData, SuiteRequest
from snibench.data.own import Own
from snibench.data.own.checks import check_rows
from snibench.testing import check_suite

Row = Sequence[str]


def rows(task: str, labels: str = "yes no", count: int = 40) -> list[tuple[str, str]]:
    words = labels.split()
    return [(f"{task}, number {n}", words[n % len(words)]) for n in range(count)]


def table(path: Path, header: Row, body: Iterable[Row], delimiter: str = ",", encoding: str = "utf-8") -> Path:
    with path.open("w", newline="", encoding=encoding) as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(header)
        writer.writerows(body)
    return path


def three_tasks(path: Path, **options: str) -> Path:
    body = [(*row, task) for task in ("spam", "mood", "topic") for row in rows(task)]
    return table(path, ("input", "output", "task"), body, **options)


def load(path: Path, **options: Any) -> SuiteData:
    return Own().load(SuiteRequest("own", data=str(path), **options))


# ------------------------------------------------------------------------------------ what is read


def test_a_table_with_a_task_column_is_a_suite_that_keeps_the_contract(tmp_path: Path) -> None:
    path = three_tasks(tmp_path / "own.csv")
    check_suite(Own, SuiteRequest("own", data=str(path)))
    suite = load(path)
    assert (len(suite.seen), len(suite.unseen)) == (2, 1)
    card = suite.tasks["mood"].card
    assert (card.labels, card.metric, card.definition) == (
        ("no", "yes"),
        "exact_match",
        "Mood: answer with one of no, yes.",
    )
    shown = {example.input for example in card.positive}
    assert len(shown) == 4
    assert shown.isdisjoint(instance.input for instance in suite.tasks["mood"].instances)


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        (".csv", {"delimiter": ";"}),
        (".csv", {"encoding": "utf-8-sig"}),
        (".tsv", {"delimiter": "\t"}),
    ],
)
def test_other_forms_of_a_table_give_the_same_suite(tmp_path: Path, suffix: str, options: dict[str, str]) -> None:
    plain = three_tasks(tmp_path / "plain.csv")
    assert load(three_tasks(tmp_path / f"other{suffix}", **options)).digest == load(plain).digest


def test_json_lines_and_columns_of_other_names_give_the_same_suite(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    for_each = [
        {"Instruction": "Say it.", "family": "Talk", "input": text, "output": [answer], "task": task, "note": 3}
        for task in ("spam", "mood", "topic")
        for text, answer in rows(task)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in for_each), encoding="utf-8")
    body = [
        (text, answer, task, "Talk", "Say it.") for task in ("spam", "mood", "topic") for text, answer in rows(task)
    ]
    same = table(tmp_path / "rows.csv", ("input", "output", "task", "category", "definition"), body)
    assert load(path).digest == load(same).digest
    assert {task.card.definition for task in load(path).tasks.values()} == {"Say it."}


def test_a_folder_of_two_column_files_is_a_task_for_each(tmp_path: Path) -> None:
    for name in ("spam", "mood"):
        table(tmp_path / f"{name}.csv", ("input", "output"), rows(name))
    (tmp_path / "topic.jsonl").write_text(
        "".join(json.dumps({"input": text, "output": n % 3}) + "\n" for n, (text, _) in enumerate(rows("topic"))),
        encoding="utf-8",
    )
    suite = load(tmp_path)
    assert set(suite.tasks) == {"spam", "mood", "topic"}
    assert suite.tasks["topic"].card.labels == ("0", "1", "2")


def test_several_outputs_are_references_of_one_instance(tmp_path: Path) -> None:
    body = [(text, answer, f"{answer}!" if n % 2 else "", "a" if n < 40 else "b")
            for n, (text, answer) in enumerate(rows("t", count=80))]  # fmt: skip
    suite = load(table(tmp_path / "own.csv", ("input", "output", "output_2", "task"), body))
    found = {one.input: one.outputs for task in suite.tasks.values() for one in task.instances}
    assert set(found.values()) == {("yes",), ("no", "no!")}


def test_equal_inputs_become_one_instance_and_are_counted(tmp_path: Path) -> None:
    body = [(*row, task) for task in ("a", "b") for row in rows(task)]
    body += [("a, number 5", "no", "a"), ("a, number 6", "no", "a")]
    suite = load(table(tmp_path / "own.csv", ("input", "output", "task"), body))
    assert len(suite.tasks["a"].instances) == 36
    assert any(note.startswith("1 row with the input and output of another row") for note in suite.notes)
    assert any("1 row with the input of another row of the task and another output" in note for note in suite.notes)


def test_a_quarter_of_the_tasks_is_unseen_in_proportion_to_the_categories(tmp_path: Path) -> None:
    names = [f"t{n}" for n in range(24)]
    body = [(*row, name, "big" if n < 16 else "small") for n, name in enumerate(names) for row in rows(name, count=12)]
    suite = load(table(tmp_path / "own.csv", ("input", "output", "task", "category"), body))
    assert len(suite.unseen) == 6
    assert [suite.tasks[name].card.category for name in suite.unseen].count("small") == 2
    (combo,) = suite.combos
    assert combo.name == "big + small"


def test_split_lists_say_what_is_unseen_and_a_near_miss_is_named(tmp_path: Path) -> None:
    path = three_tasks(tmp_path / "own.csv")
    lists = tmp_path / "mine"
    lists.mkdir()
    (lists / "train_tasks.txt").write_text("mood\n")
    (lists / "test_tasks.txt").write_text("spam\ntopic \n")
    assert load(path, split=str(lists)).unseen == ("spam", "topic")
    (lists / "test_tasks.txt").write_text("spam\ntopics\n")
    with pytest.raises(DataError, match=r"topics \(did you mean 'topic'\?\)"):
        load(path, split=str(lists))
    assert load(path, split=str(lists), partial=True).unseen == ("spam",)
    with pytest.raises(UsageError, match="drawn"):
        load(path, split="official")


# --------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("own.csv", b"", "holds no row"),
        ("own.csv", b"input,output\n", "holds no row"),
        (
            "own.csv",
            b"text,outputt\na,b\n",
            "no column 'input' and no column 'output', but 'text', 'outputt'. Is 'outputt' the output?",
        ),
        ("own.csv", b"input,outputt\na,b\n", "no column 'output', but 'input', 'outputt'. Is 'outputt' the output?"),
        ("own.csv", b"input,Input,output\na,b,c\n", "two columns for 'input'"),
        ("own.csv", b"input,output\na,b,c\n", "line 2: has 3 cells, but the header 2"),
        ("own.csv", b"input,output\na\n", "line 2: has 1 cell, but the header 2. Write the missing ones"),
        ("own.csv", b"input,output,task\na,b,t\nc,d, \n", "line 3: 'task' is empty"),
        ("own.jsonl", b'{"input": "a", "output": "b", "task": null}\n', "line 1: 'task' is empty"),
        ("own.csv", b'input,output\n"a,b\n', "line 2 is not a row of a table"),
        ("own.csv", b"input,output\na,\n", "line 2: 'output' is empty"),
        ("own.csv", b"input,output\n ,b\n", "line 2: 'input' is empty"),
        ("own.csv", b"input,output,task\na,b,c/d\n", "cannot be a task's name"),
        ("own.csv", "input,output\na,b\n".encode("utf-16"), "is UTF-16"),
        ("own.csv", "input,output\nä,b\n".encode("latin-1"), "is not UTF-8 (byte 13)"),
        ("own.jsonl", b'{"input": "a"}\n', "line 1: has no column 'output'"),
        ("own.jsonl", b'{"input": ["a"], "output": "b"}\n', "'input' must be a text"),
        ("own.jsonl", b'{"input": "a", "output": {}}\n', "'output' must be a text, or a list of texts"),
        ("own.jsonl", b"input,output\n", "is not JSON"),
        ("own.xlsx", b"PK", "Save a table as CSV UTF-8"),
        ("own.csv", b"input,output,task,category\na,b,t,x\nc,d,t,y\n", "another category here than in"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_in_a_sentence(
    tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError) as refused:
        load(path)
    assert words in str(refused.value)
    assert str(path) in str(refused.value)


def test_a_single_task_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = table(tmp_path / "own.csv", ("input", "output"), rows("own"))
    with pytest.raises(DataError, match=r"holds a single task, 'own'.*Add a column 'task', or pass a folder"):
        load(path)


def test_tasks_that_are_too_small_are_refused_with_how_many_inputs_they_need(tmp_path: Path) -> None:
    for large, said in ((0, "holds no task that is large enough"), (40, "a single task that is large enough, 'a'")):
        body = [(*row, task) for task, count in (("a", large or 3), ("b", 5)) for row in rows(task, count=count)]
        path = table(tmp_path / f"own{large}.csv", ("input", "output", "task"), body)
        (why,) = [one.message for one in check_rows(path)[0] if one.severity == "error"]
        assert said in why
        assert "each task needs at least 12 different inputs" in why
        assert "column 'task'" not in why
        with pytest.raises(DataError, match="at least 12 different inputs"):
            load(path)


def test_small_tasks_are_left_out_and_said(tmp_path: Path) -> None:
    body = [(*row, task) for task, count in (("a", 40), ("b", 40), ("c", 11)) for row in rows(task, count=count)]
    suite = load(table(tmp_path / "own.csv", ("input", "output", "task"), body))
    assert set(suite.tasks) == {"a", "b"}
    assert "Task 'c' has fewer than 12 different inputs and is left out." in suite.notes


def test_the_smallest_task_has_something_for_every_purpose(tmp_path: Path) -> None:
    body = [(*row, task) for task in ("a", "b") for row in rows(task, count=12)]
    suite = load(table(tmp_path / "own.csv", ("input", "output", "task"), body))
    (seen,) = suite.seen
    assert all(part[seen] for part in (suite.training, suite.probe, suite.evaluation, suite.context))


# --------------------------------------------------------------------------------------- the check


def test_a_check_lists_the_faults_of_all_files_at_once(tmp_path: Path) -> None:
    table(tmp_path / "a.csv", ("input", "output"), [*rows("a"), ("x", ""), ("", "y")])
    table(tmp_path / "b.csv", ("input", "answer"), rows("b"))
    body = [*rows("c"), ("c, number 1", "yes"), ("spaced", "yes "), ("c, number 2", "yes")]
    table(tmp_path / "c.csv", ("input", "output"), body)
    table(tmp_path / "d.csv", ("input", "output"), rows("d", "same"))
    findings, tasks = check_rows(tmp_path)
    assert tasks == 3
    assert [(one.severity, one.file, one.message.split(".")[0]) for one in findings] == [
        ("error", "b.csv", "has no column 'output', but 'input', 'answer'"),
        ("error", "a.csv, line 42", "'output' is empty"),
        ("error", "a.csv, line 43", "'input' is empty"),
        ("warning", "c.csv, line 43", "is the first of 1 row of task 'c': outputs with blanks around"),
        (
            "warning",
            "c.csv, line 42",
            "is the first of 1 row of task 'c': rows with another output for an input that was there before",
        ),
        ("warning", "c.csv", "repeats 1 row of task 'c'"),
        ("warning", "d.csv", "task 'd' knows one output only, 'same'"),
    ]


def test_a_check_lists_every_line_that_is_no_json_and_every_row_without_its_task(tmp_path: Path) -> None:
    lines = ['{"input": "a", "output": "b", "task": "t"}', "{", "[1]", '{"input": "c", "output": "d"}', '{"input": ']
    (tmp_path / "own.jsonl").write_text("\n".join(lines), "utf-8")
    findings, _ = check_rows(tmp_path / "own.jsonl")
    assert [(one.file.rpartition(" ")[2], one.message[:14]) for one in findings if one.severity == "error"] == [
        ("2", "is not JSON: c"),
        ("3", "is not a JSON "),
        ("4", "has no 'task',"),
        ("5", "is not JSON: c"),
    ]


def test_a_check_finds_that_nothing_could_be_unseen(tmp_path: Path) -> None:
    findings, _ = check_rows(table(tmp_path / "own.csv", ("input", "output"), rows("own")))
    assert [one.severity for one in findings] == ["error"]
    assert "single task" in findings[0].message
