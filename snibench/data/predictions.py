"""Predictions made elsewhere, in the two official formats, matched with their references.

The data set's own: lines of ``{"id", "prediction"}``, and references ``{"id", "references", "task_id",
"task_category", "track"}`` or a task folder. Tk-Instruct's: lines of ``{"Task", "Instance": {"id", "output"},
"Prediction"}``, which bring their references along.

Source:
    allenai/natural-instructions, eval/leaderboard/create_reference_file.py and eval/automatic/evaluation.py;
    yizhongw/Tk-Instruct, src/compute_metrics.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from snibench.base.errors import DataError, UsageError
from snibench.base.reading import quoted
from snibench.data.json_lines import Line, read_lines
from snibench.data.natural_instructions import load_task, read_head, task_files
from snibench.data.sni import HELD_OUT
from snibench.data.split_lists import read_list

Track = Literal["default", "xlingual"]  # the English one, and the one of other languages
# As Tk-Instruct's src/compute_metrics.py renames a task of earlier prediction files.
_RENAMED = {"task121_atomic_question_rewriting": "task121_zest_question_rewriting"}


@dataclass(frozen=True, slots=True)
class Answered:
    """One prediction beside its references; ``task`` and ``category`` are "" where no file says."""

    task: str
    category: str
    references: tuple[str, ...]
    prediction: str


def match_predictions(
    predictions: Path, references: Path | None = None, data: Path | None = None, *, track: Track = "default"
) -> tuple[list[Answered], list[str]]:
    """Every question with its prediction, and one sentence for each thing that is odd.

    With references, or with ``data`` for plain predictions, every question counts: one without a prediction is
    answered by "", and of several predictions for one the last counts, as in the official evaluation. Predictions in
    Tk-Instruct's format stand for themselves otherwise, and ``data`` only adds their categories.

    Args:
        predictions: JSON lines in either format.
        references: JSON lines in the data set's format; those of other tracks are left out.
        data: Folder in the official layout: the first 100 instances of each of the track's test tasks.
        track: Whose questions; a reference that names no track is of the English one.

    Raises:
        DataError: If a file or line is malformed; names file, line and field.
        UsageError: If plain predictions come without references.
    """
    lines = list(read_lines(predictions))
    if not lines:
        raise DataError(f"{predictions} holds no prediction. Write one JSON object a line.")
    self_contained = all("Instance" in line.values and "Task" in line.values for line in lines)
    if references is None and self_contained:
        return _own_references(lines, data)
    if references is not None:
        questions, notes = _read_references(references, track)
    elif data is not None:
        questions, notes = _questions_of(data, track)
    else:
        raise UsageError(f"{predictions} brings no references. Pass --references FILE or --data DIR.")
    answers: dict[str, str] = {}
    for line in lines:
        identity = _identity(line)
        answers[identity] = _prediction(line)
    if repeated := len(lines) - len(answers):
        notes.append(f"{repeated} predictions repeat an id; the last of each counts.")
    if strangers := [identity for identity in answers if identity not in questions]:
        if len(strangers) == len(answers):
            raise DataError(
                f"No id in {predictions} is among the references; the first is {quoted(strangers[0])}. "
                "Pass the references that belong to these predictions."
            )
        notes.append(f"{len(strangers)} predictions have no reference and do not count, {quoted(strangers[0])} first.")
    if missing := [identity for identity in questions if identity not in answers]:
        notes.append(f"{len(missing)} of {len(questions)} questions have no prediction and count as answered by ''.")
    return [
        Answered(task, category, expected, answers.get(identity, ""))
        for identity, (task, category, expected) in questions.items()
    ], notes


_Questions = dict[str, tuple[str, str, tuple[str, ...]]]  # id -> task, category, references


def _own_references(lines: list[Line], data: Path | None) -> tuple[list[Answered], list[str]]:
    files = {} if data is None else task_files(data)
    categories: dict[str, str] = {}
    rows = []
    for line in lines:
        task = line.text("Task")
        task = _RENAMED.get(task, task)
        if task not in categories:
            if "Categories" in line.values:
                categories[task] = line.texts("Categories")[0]
            else:
                categories[task] = read_head(files[task]).category if task in files else ""
        rows.append(Answered(task, categories[task], line.texts("Instance", "output"), _prediction(line)))
    unknown = [task for task, category in categories.items() if not category]
    if not unknown:
        return rows, []
    return rows, [
        f"{len(unknown)} tasks ({quoted(unknown[0])} first) have no category, so that no category counts them. "
        "Pass --data DIR with their files."
    ]


def _read_references(path: Path, track: Track) -> tuple[_Questions, list[str]]:
    questions: _Questions = {}
    elsewhere = 0
    for line in read_lines(path):
        if line.values.get("track", "default") != track:
            elsewhere += 1
            continue
        identity = line.text("id")
        if identity in questions:
            raise DataError(f"{line.where}: {quoted(identity)} has references already. Keep one line for each id.")
        category = line.text("task_category", optional=True)
        questions[identity] = (line.text("task_id", optional=True), category, line.texts("references"))
    if not questions:
        raise DataError(f"{path} holds no reference of the {track} track. Pass the file for its test tasks.")
    return questions, [f"{elsewhere} references of other tracks do not count."] if elsewhere else []


def _questions_of(folder: Path, track: Track) -> tuple[_Questions, list[str]]:
    files = task_files(folder)
    names = read_list(folder / "splits" / track / "test_tasks.txt")
    here = [name for name in names if name in files]
    if not here:
        raise DataError(f"{folder} has a file for none of its {len(names)} test tasks. Pass the complete data set.")
    questions: _Questions = {}
    for name in here:
        task = load_task(files[name])
        for instance in task.instances[:HELD_OUT]:
            questions[instance.id] = (name, task.card.category, instance.outputs)
    missing = len(names) - len(here)
    return questions, [f"{missing} of {len(names)} test tasks have no file and do not count."] if missing else []


def _identity(line: Line) -> str:
    if "id" not in line.values and not isinstance(line.values.get("Instance"), Mapping):
        keys = ", ".join(map(quoted, list(line.values)[:5])) or "nothing"
        raise DataError(
            f"{line.where} does not say which instance it answers: it has {keys}. Every line needs "
            'both: {"id": ..., "prediction": ...}.'
        )
    return line.text("id") if "id" in line.values else line.text("Instance", "id")


def _prediction(line: Line) -> str:
    return line.text("Prediction" if "Prediction" in line.values else "prediction")
