"""Tasks of one's own data: rows gathered by task, with the parts that a table leaves out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from snibench.base import reading
from snibench.base.errors import DataError
from snibench.base.types import Example, Instance, Task
from snibench.base.wording import counted
from snibench.data.natural_instructions import GET_THE_DATA, label_space, make_task
from snibench.data.own.rows import COLUMNS, SUFFIXES, Row, RowFault, read_rows
from snibench.data.splits import balanced

FEWEST_ROWS = 12  # of a task: four are shown, four evaluated, one is probed
EXAMPLES = 4  # of a task, solved: formats show two, and combos take them where all others are evaluated


@dataclass(slots=True)
class Gathered:
    """The rows of one task by their input, in the order of the files."""

    name: str
    rows: dict[str, Row] = field(default_factory=dict)  # the first of each input
    outputs: dict[str, list[str]] = field(default_factory=dict)
    padded: list[str] = field(default_factory=list)  # places of rows with blanks around an output
    repeated: int = 0  # rows that say what another has said
    disputed: list[str] = field(default_factory=list)  # places of rows with another output for a known input
    category: Row | None = None  # the first that names one
    definition: Row | None = None

    def add(self, row: Row) -> RowFault | None:
        """Take in ``row``, or say why it cannot be of this task."""
        for column in ("category", "definition"):
            if not (given := getattr(row, column)):
                continue
            if (first := getattr(self, column)) is None:
                setattr(self, column, row)
            elif getattr(first, column) != given:
                return RowFault(
                    row.where,
                    f"task {reading.quoted(self.name)} has another {column} here than in {first.where}. Give all its "
                    "rows the same, or another name in the column 'task'.",
                )
        if row.padded:
            self.padded.append(row.where)
        if row.input not in self.rows:
            self.rows[row.input], self.outputs[row.input] = row, list(row.outputs)
        elif fresh := [one for one in row.outputs if one not in self.outputs[row.input]]:
            self.outputs[row.input] += fresh
            self.disputed.append(row.where)
        else:
            self.repeated += 1
        return None

    def task(self) -> Task:
        """The task: four rows are its solved examples, all others its instances."""
        instances = [
            Instance(f"{self.name}-{number}", text, tuple(self.outputs[text]))
            for number, text in enumerate(self.rows, start=1)
        ]
        shown = balanced(instances, EXAMPLES)
        kept = tuple(one for one in instances if one not in shown)
        words = _words(self.name)
        return make_task(
            self.name,
            definition=self.definition.definition if self.definition else _definition(words, kept),
            positive=tuple(Example(one.input, one.outputs[0]) for one in shown),
            negative=(),
            category=self.category.category if self.category else words,
            domains=(),
            sources=(),
            instances=kept,
        )


def own_files(path: Path) -> list[Path]:
    """``path`` itself, or the CSV, TSV and JSONL files of the folder ``path``, sorted.

    Raises:
        DataError: If there is none.
    """
    if reading.is_folder(path):
        try:
            files = sorted(one for one in path.iterdir() if is_own(one))
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror}. Check its permissions.") from None
        if not files:
            raise DataError(
                f"{path} holds no {', '.join(SUFFIXES)} file. Pass one, or a folder of them with {COLUMNS}; or tasks "
                f"in the official layout: {GET_THE_DATA}."
            )
        for file in files:
            if not file.name.isprintable():
                raise DataError(f"{path} holds a file whose name cannot be printed, {reading.quoted(file.name)}.")
        return files
    if not reading.is_file(path):
        raise DataError(f"There is no file or folder '{path}'. Check the path.")
    if path.suffix.lower() not in SUFFIXES:
        raise DataError(
            f"{path} is no {', '.join(SUFFIXES)} file. Save a table as CSV UTF-8, or write a JSON object a line, "
            f"with {COLUMNS}."
        )
    return [path]


def is_own(path: Path) -> bool:
    """Whether ``path`` is a file that is read as rows."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and reading.is_file(path)


def gather(files: Iterable[Path]) -> Iterator[Gathered | RowFault]:
    """Faults of single rows of ``files`` as they are met, then every task in the order of its first row.

    Raises:
        DataError: If a file cannot be used as a whole.
    """
    found: dict[str, Gathered] = {}
    for file in files:
        for row in read_rows(file):
            if isinstance(row, RowFault):
                yield row
                continue
            name = row.task or file.stem
            if fault := found.setdefault(name, Gathered(name)).add(row):
                yield fault
    yield from found.values()


def large_enough(gathered: Sequence[Gathered]) -> tuple[list[Gathered], list[str]]:
    """The tasks with enough different inputs, and a sentence about the others."""
    large = [one for one in gathered if len(one.rows) >= FEWEST_ROWS]
    small = [one for one in gathered if len(one.rows) < FEWEST_ROWS]
    if not small:
        return large, []
    least = f"fewer than {FEWEST_ROWS} different inputs"
    name = reading.quoted(small[0].name)
    if len(small) == 1:
        return large, [f"Task {name} has {least} and is left out."]
    return large, [f"{len(small)} tasks ({name}, ...) have {least} and are left out."]


def remarks(gathered: Iterable[Gathered]) -> Iterator[str]:
    """One sentence for each thing that was made up, joined or dropped."""
    gathered = list(gathered)
    if undefined := sum(one.definition is None for one in gathered):
        yield (
            f"{counted(undefined, 'task')} without a definition (column 'definition'): it is made of the name and the "
            "labels."
        )
    if repeated := sum(one.repeated for one in gathered):
        yield f"{counted(repeated, 'row')} with the input and output of another row of the task: dropped."
    if disputed := [place for one in gathered for place in one.disputed]:
        yield (
            f"{counted(len(disputed), 'row')} with the input of another row of the task and another output, the first "
            f"in {disputed[0]}: its output is a further reference."
        )


def _words(name: str) -> str:
    """``Sentiment of reviews`` from ``sentiment_of_reviews``."""
    words = " ".join(re.sub(r"[_\-.]+", " ", name).split()) or name
    return words[:1].upper() + words[1:]


def _definition(words: str, instances: Sequence[Instance]) -> str:
    labels = label_space(instances)
    if labels is None:
        return f"{words}: give the output for the input."
    return f"{words}: answer with one of {', '.join(labels)}."
