import bz2
import gzip
import json
import lzma
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from snibench.base.errors import DataError, UsageError
from snibench.data.predictions import Answered, match_predictions

Write = Callable[..., Path]


@pytest.fixture
def write_lines(tmp_path: Path) -> Callable[[str, Sequence[Any]], Path]:
    def write(name: str, lines: Sequence[Any]) -> Path:
        path = tmp_path / name
        path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines), "utf-8")
        return path

    return write


REFERENCES = [
    {"id": "1", "references": ["yes"], "task_id": "t", "task_category": "Textual Entailment", "track": "default"},
    {"id": "2", "references": ["no", "nope"], "task_id": "t", "task_category": "Textual Entailment"},
    {"id": "3", "references": ["oui"], "task_id": "x", "task_category": "Textual Entailment", "track": "xlingual"},
]


def test_every_reference_of_the_english_track_is_a_question(write_lines: Any) -> None:
    predictions = write_lines("p", [{"id": "2", "prediction": "maybe"}, "", {"id": "2", "prediction": "no"}])
    answers, notes = match_predictions(predictions, write_lines("r", REFERENCES))
    assert answers == [
        Answered("t", "Textual Entailment", ("yes",), ""),
        Answered("t", "Textual Entailment", ("no", "nope"), "no"),
    ]
    assert [note.split()[0] for note in notes] == ["1", "1", "1"]  # other track, repeated id, missing


def test_references_may_be_the_head_of_the_test_tasks(
    write_lines: Any, write_task: Write, write_lists: Write, tmp_path: Path
) -> None:
    write_task("t", Categories=["Word Analogy"])
    write_lists([], ["t", "gone"])
    answers, notes = match_predictions(
        write_lines("p", [{"id": "t-0", "prediction": "yes"}, {"id": "t-110", "prediction": "yes"}]), data=tmp_path
    )
    assert len(answers) == 100
    assert answers[0] == Answered("t", "Word Analogy", ("yes",), "yes")
    assert notes == [
        "1 of 2 test tasks have no file and do not count.",
        "1 predictions have no reference and do not count, 't-110' first.",
        "99 of 100 questions have no prediction and count as answered by ''.",
    ]


def test_predictions_of_tk_instruct_bring_their_references(write_lines: Any) -> None:
    row = {"id": "1", "Task": "t", "Categories": ["Data to Text"], "Instance": {"id": "1", "output": ["a", "b"]}}
    older = {"Task": "task121_atomic_question_rewriting", "Instance": {"id": "2", "output": ["c"]}}
    path = write_lines("p", [{**row, "prediction": "a"}, {**older, "Prediction": "d"}])
    answers, notes = match_predictions(path)
    assert answers == [
        Answered("t", "Data to Text", ("a", "b"), "a"),
        Answered("task121_zest_question_rewriting", "", ("c",), "d"),
    ]
    assert notes[0].startswith("1 tasks ('task121_zest_question_rewriting' first) have no category")


def test_a_task_folder_adds_the_categories_that_tk_instruct_leaves_out(
    write_lines: Any, write_task: Write, tmp_path: Path
) -> None:
    write_task("t", Categories=["Word Analogy"])
    path = write_lines("p", [{"Task": "t", "Instance": {"output": ["c"]}, "Prediction": "d"}])
    assert match_predictions(path, data=tmp_path) == ([Answered("t", "Word Analogy", ("c",), "d")], [])


def test_a_gzip_file_is_read(write_lines: Any, tmp_path: Path) -> None:
    plain = write_lines("p", [{"id": "1", "prediction": "yes"}])
    (tmp_path / "p.gz").write_bytes(gzip.compress(plain.read_bytes()))
    references = write_lines("r", REFERENCES[:1])
    assert match_predictions(tmp_path / "p.gz", references) == match_predictions(plain, references)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (gzip.compress(b"{}" * 1000)[:-9], "gzip file that is cut off or damaged"),
        (bz2.compress(b"{}"), "compressed .bzip2.. Unpack it first"),
        (lzma.compress(b"{}"), "compressed .xz.. Unpack it first"),
        (b"PK\x03\x04 and so on", "compressed .zip.. Unpack it first"),
    ],
    ids=["gzip", "bz2", "xz", "zip"],
)
def test_a_file_that_cannot_be_unpacked_is_told_as_such(content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "p").write_bytes(content)
    with pytest.raises(DataError, match=words):
        match_predictions(tmp_path / "p")


def test_a_line_without_an_id_is_told_what_it_lacks(write_lines: Any) -> None:
    lines = [{"id": "1", "prediction": "yes"}, {"instance": "2", "prediction": "no"}]
    with pytest.raises(DataError, match=r"line 2 does not say which instance .*'instance', 'prediction'"):
        match_predictions(write_lines("p", lines), write_lines("r", REFERENCES))


def test_line_separators_inside_a_prediction_do_not_cut_it(write_lines: Any, tmp_path: Path) -> None:
    path = tmp_path / "p"
    path.write_text('{"id": "1", "prediction": "a\u2028b"}\n{"id": "2", "prediction": ""}\r\n', "utf-8")
    answers, _ = match_predictions(path, write_lines("r", REFERENCES))
    assert answers[0].prediction == "a\u2028b"


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "holds no prediction"),
        (['{"id": "1", "prediction": "a"}', "{oops"], "p, line 2 is not JSON: column 2"),
        (["[1]"], "p, line 1 is not a JSON object"),
        ([{"id": "1"}], "line 1: 'prediction' must be a text, but is missing"),
        ([{"id": "1", "prediction": 3}], "line 1: 'prediction' must be a text, but is something else"),
        ([{"prediction": "a"}], "line 1 does not say which instance it answers: it has 'prediction'"),
        ([{"id": 7, "prediction": "a"}], "line 1: 'id' must be a text"),
        ([{"id": "9", "prediction": "a"}], "No id in"),
        (["[" * 100_000], "nested too deeply"),
    ],
)
def test_a_malformed_prediction_is_named_with_its_line(write_lines: Any, lines: list[Any], said: str) -> None:
    with pytest.raises(DataError) as caught:
        match_predictions(write_lines("p", lines), write_lines("r", REFERENCES))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([{"references": ["a"]}], "r, line 1: 'id' must be a text, but is missing"),
        ([{"id": "1"}], "'references' must be a list of at least one text, but is missing"),
        ([{"id": "1", "references": []}], "'references' must be a list of at least one text"),
        ([{"id": "1", "references": "a"}], "'references' must be a list of at least one text"),
        ([{"id": "1", "references": ["a"]}] * 2, "r, line 2: '1' has references already"),
        ([REFERENCES[2]], "no reference of the default track"),
    ],
)
def test_a_malformed_reference_is_named_with_its_line(write_lines: Any, lines: list[Any], said: str) -> None:
    with pytest.raises(DataError) as caught:
        match_predictions(write_lines("p", [{"id": "1", "prediction": "a"}]), write_lines("r", lines))
    assert said in str(caught.value)


def test_plain_predictions_need_references(write_lines: Any) -> None:
    with pytest.raises(UsageError, match="--references FILE or --data DIR"):
        match_predictions(write_lines("p", [{"id": "1", "prediction": "a"}]))


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        match_predictions(tmp_path / "nowhere")
    (tmp_path / "p").write_bytes(b"\xff")
    with pytest.raises(DataError, match="not UTF-8"):
        match_predictions(tmp_path / "p")
