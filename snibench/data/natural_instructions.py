"""Task files in the official JSON layout, read and listed.

A folder holds ``tasks/<name>.json`` and ``splits/<track>/{train,test,excluded}_tasks.txt``, or the JSON files alone.

Source:
    allenai/natural-instructions: README.md (schema).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snibench.base import reading
from snibench.base.errors import DataError
from snibench.base.hashing import normalise_answer
from snibench.base.reading import quoted
from snibench.base.types import Example, Instance, Task, TaskCard
from snibench.data.task_faults import LANGUAGES, errors, optional_texts, text_list_faults, texts_of

GET_THE_DATA = "snibench data fetch sni, then pass --data natural-instructions"

# The categories of the official test split whose headline metric is exact match.
# Source: yizhongw/Tk-Instruct, src/compute_metrics.py, `category_metrics`.
EXACT_MATCH_CATEGORIES = frozenset(
    {
        "Answerability Classification",
        "Cause Effect Classification",
        "Coreference Resolution",
        "Dialogue Act Recognition",
        "Textual Entailment",
        "Word Analogy",
    }
)
MOST_LABELS = 20  # of a closed task

LARGEST_FILE = 256 * 2**20  # bytes


@dataclass(frozen=True, slots=True)
class Head:
    """Head of a task file, without its instances: enough to choose tasks by."""

    category: str
    sources: tuple[str, ...]
    languages: frozenset[str]


def load_task(path: Path) -> Task:
    """The task in ``path``, named after the file.

    Files of older releases load too: a text stands for a list of one, an instance without an id is called after the
    task and its place in the file, and an example may lack its explanation. Of several definitions or categories the
    first counts, as in the official code.

    Raises:
        DataError: If the file cannot be read as a task; names file, field, reason and remedy.
    """
    raw = read_json(path)
    for fault in errors(raw):
        raise DataError(f"{path}: {fault}")
    return task_from_json(path.stem, raw)


def task_files(folder: Path) -> dict[str, Path]:
    """Task name -> file, sorted by name, of a folder in the official layout or a flat one.

    Raises:
        DataError: If there is no folder, or no JSON file in it.
    """
    if not reading.is_folder(folder):
        raise DataError(f"There is no folder '{folder}'. Pass a folder with tasks/*.json, or get one: {GET_THE_DATA}.")
    home = folder / "tasks" if reading.is_folder(folder / "tasks") else folder
    try:
        files = {path.stem: path for path in sorted(home.glob("*.json")) if path.is_file()}
    except OSError as error:
        raise DataError(f"{home} cannot be read: {error.strerror}. Check its permissions.") from None
    for name in files:
        if not name.isprintable():  # a name goes into prompts, digests and tables
            raise DataError(f"{home} holds a file whose name cannot be printed, {quoted(name)}. Rename it.")
    if not files:
        raise DataError(
            f"{home} holds no task file (*.json). Pass a folder with tasks/*.json, or get one: {GET_THE_DATA}."
        )
    return files


def read_head(path: Path) -> Head:
    """The head of the task file ``path``, without parsing its instances where they stand last.

    Raises:
        DataError: As ``load_task``, where the head alone does not parse.
    """
    if (raw := _parse_head(path)) is None:
        load_task(path)  # says what is wrong, if anything is
        raw = read_json(path)
    languages = frozenset(language for field in LANGUAGES for language in optional_texts(raw, field))
    return Head(texts_of(raw["Categories"])[0], texts_of(raw["Source"]), languages)


def _parse_head(path: Path) -> dict[str, Any] | None:
    key, head, end = b'"Instances"', bytearray(), -1
    try:
        # The quotes inside a JSON text are escaped, so these bytes can only be the key.
        with path.open("rb") as file:
            while end < 0 and len(head) < LARGEST_FILE and (piece := file.read(1 << 16)):
                start = max(0, len(head) - len(key))  # each byte is looked at once, however long a definition is
                head += piece
                end = head.find(key, start)
        if end < 0:
            return None
        raw = reading.json_value(reading.decoded(bytes(head[:end])).rstrip().rstrip(",") + "}")
    except (ValueError, OSError, reading.Unreadable):
        return None
    usable = isinstance(raw, dict) and not any(
        next(text_list_faults(raw, field), None) for field in ("Categories", "Source")
    )
    return raw if usable else None


def read_json(path: Path) -> Any:
    """The JSON value in ``path``.

    Raises:
        DataError: If it cannot be read, is not UTF-8 (names the byte) or not JSON (names line and column).
    """
    try:
        return reading.read_json(path, LARGEST_FILE)
    except reading.Unreadable as error:
        raise DataError(f"{path} {error}. Correct it, or fetch it again.") from None


def task_from_json(name: str, raw: Mapping[str, Any]) -> Task:
    """The task that ``raw`` describes, which must be free of ``errors``."""
    instances = tuple(
        Instance(entry.get("id", f"{name}-{number}"), entry["input"], texts_of(entry["output"]))
        for number, entry in enumerate(raw["Instances"])
    )
    return make_task(
        name,
        definition=texts_of(raw["Definition"])[0],
        positive=_examples(raw["Positive Examples"]),
        negative=_examples(raw["Negative Examples"]),
        category=texts_of(raw["Categories"])[0],
        domains=texts_of(raw["Domains"]),
        sources=texts_of(raw["Source"]),
        instances=instances,
    )


def make_task(
    name: str,
    *,
    definition: str,
    positive: tuple[Example, ...],
    negative: tuple[Example, ...],
    category: str,
    domains: tuple[str, ...],
    sources: tuple[str, ...],
    instances: tuple[Instance, ...],
) -> Task:
    """The task of these parts, with the label space and the metric that follow from them."""
    labels = label_space(instances)
    metric = "exact_match" if labels is not None or category in EXACT_MATCH_CATEGORIES else "rouge_l"
    card = TaskCard(name, definition, positive, negative, category, domains, sources, labels, metric)
    return Task(card, instances)


def label_space(instances: Sequence[Instance]) -> tuple[str, ...] | None:
    """The closed set of first references, sorted by code point, or None if they are open.

    Closed: at most 20 distinct ones after normalisation, and at most a quarter of the instances. Each label is
    stripped and in its most frequent spelling, of equally frequent ones the first by code point.
    """
    spellings: dict[str, Counter[str]] = {}
    for instance in instances:
        output = instance.outputs[0]
        spellings.setdefault(normalise_answer(output), Counter())[output.strip()] += 1
        if len(spellings) > MOST_LABELS:
            return None
    if 4 * len(spellings) > len(instances):
        return None
    return tuple(sorted(min(forms, key=lambda form: (-forms[form], form)) for forms in spellings.values()))


def _examples(entries: Sequence[Mapping[str, str]]) -> tuple[Example, ...]:
    return tuple(Example(entry["input"], entry["output"], entry.get("explanation", "")) for entry in entries)
