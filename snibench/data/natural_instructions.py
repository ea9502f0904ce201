"""Task files in the official JSON layout: read, judged, and listed.

A folder holds ``tasks/<name>.json`` and ``splits/<track>/{train,test,excluded}_tasks.txt``, or the JSON files alone.

Source:
    allenai/natural-instructions: README.md (schema), src/test_all.py (the rules that its CI enforces).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from snibench.base import reading
from snibench.base.errors import DataError
from snibench.base.hashing import normalise_answer
from snibench.base.reading import quoted
from snibench.base.types import Example, Instance, Task, TaskCard

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

_TEXT_LISTS = ("Definition", "Categories", "Domains", "Source")  # what a task card is made of
_LANGUAGES = ("Input_language", "Output_language", "Instruction_language")
_FURTHER = ("Contributors", "URL", "Reasoning", *_LANGUAGES, "Instance License")
LARGEST_FILE = 256 * 2**20  # bytes
# Characters: far more than any official text has, and few enough that a tokenizer does not stall.
LONGEST_DEFINITION = 100_000
LONGEST_TEXT = 1_000_000  # of an instance or an example


@dataclass(frozen=True, slots=True)
class Fault:
    """Fault in one field of a task file; an error keeps it from being loaded, a warning does not."""

    field: str  # "" = the file as a whole
    reason: str  # completes "field X ..."
    remedy: str  # a sentence
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        return f"{f'field {self.field!r} ' if self.field else ''}{self.reason}. {self.remedy}"


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
    languages = frozenset(language for field in _LANGUAGES for language in _optional_texts(raw, field))
    return Head(_texts(raw["Categories"])[0], _texts(raw["Source"]), languages)


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
        next(_text_list_faults(raw, field), None) for field in ("Categories", "Source")
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
        Instance(entry.get("id", f"{name}-{number}"), entry["input"], _texts(entry["output"]))
        for number, entry in enumerate(raw["Instances"])
    )
    return make_task(
        name,
        definition=_texts(raw["Definition"])[0],
        positive=_examples(raw["Positive Examples"]),
        negative=_examples(raw["Negative Examples"]),
        category=_texts(raw["Categories"])[0],
        domains=_texts(raw["Domains"]),
        sources=_texts(raw["Source"]),
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


def errors(raw: Any) -> Iterator[Fault]:
    """Errors that keep the JSON value ``raw`` from being a task, field by field."""
    if not isinstance(raw, dict):
        yield Fault("", f"holds {_kind(raw)}, not an object", "Write one task as in the official schema.")
        return
    for field in _TEXT_LISTS:
        yield from _text_list_faults(raw, field)
    for field in ("Positive Examples", "Negative Examples"):
        for place, example in _objects(raw, field):
            if isinstance(example, Fault):
                yield example
                continue
            for part in ("input", "output"):
                if not isinstance(example.get(part), str):
                    yield _not_text(f"{field}[{place}].{part}", example, part)
                else:
                    yield from _length_faults(f"{field}[{place}].{part}", example[part])
            if not isinstance(example.get("explanation", ""), str):
                yield _not_text(f"{field}[{place}].explanation", example, "explanation")
    ids: set[str] = set()
    for place, instance in _objects(raw, "Instances"):
        if isinstance(instance, Fault):
            yield instance
            continue
        where = f"Instances[{place}]"
        if not isinstance(instance.get("input"), str):
            yield _not_text(f"{where}.input", instance, "input")
        else:
            yield from _length_faults(f"{where}.input", instance["input"])
        output = instance.get("output")
        if not isinstance(output, str) and not _is_text_list(output):
            yield _not_text(f"{where}.output", instance, "output", "a list of texts")
        elif output == []:
            yield Fault(f"{where}.output", "is empty", "Give at least one reference; it may be an empty text.")
        else:
            yield from _length_faults(f"{where}.output", *_texts(output))
        identity = instance.get("id")
        if identity is None and "id" not in instance:
            continue
        if not isinstance(identity, str):
            yield _not_text(f"{where}.id", instance, "id")
        elif identity in ids:
            yield Fault(f"{where}.id", f"is a second {quoted(identity)}", "Give every instance an id of its own.")
        else:
            ids.add(identity)
    if raw.get("Instances") == []:
        yield Fault("Instances", "is empty", "A task needs at least one instance; fetch the file again.")


def warnings(raw: Mapping[str, Any]) -> Iterator[Fault]:
    """Warnings about ``raw``, which must be free of ``errors``: older forms, and breaches of the official CI's rules.

    Source:
        allenai/natural-instructions, src/test_all.py.
    """

    def warning(field: str, reason: str, remedy: str) -> Fault:
        return Fault(field, reason, remedy, "warning")

    instances = raw["Instances"]
    inputs = Counter(instance["input"] for instance in instances)
    for field in _FURTHER:
        if field not in raw:
            yield warning(field, "is missing", "Add it, as a list of texts.")
        elif not isinstance(raw[field], str | list):  # official files hold [null] where a URL is not known
            yield replace(_not_text(field, raw, field, "a list of texts"), severity="warning")
    definitions = _texts(raw["Definition"])
    if isinstance(raw["Definition"], str):
        yield warning("Definition", "is a text, as in older releases", "It is read as a list of one.")
    if len(definitions) > 1:
        yield warning(
            "Definition", f"holds {len(definitions)} texts", "Only the first is used, as in the official code."
        )
    if len(_texts(raw["Categories"])) > 1:
        yield warning("Categories", "holds more than one", "Only the first is used, as in the official code.")
    for language in _optional_texts(raw, "Input_language"):
        if language != "English" and language not in definitions[0]:
            yield warning("Definition", f"does not name the input language {language}", "Name it.")
    for field, fewest in (("Positive Examples", 2), ("Negative Examples", 1)):
        if len(raw[field]) < fewest:
            yield warning(field, f"holds {len(raw[field])}", f"The official rule is at least {fewest}.")
        if lacking := sum("explanation" not in example for example in raw[field]):
            yield warning(field, f"holds {lacking} without an explanation", "It is read as an empty one.")
    if not 25 < len(instances) <= 6500:
        yield warning("Instances", f"holds {len(instances)}", "The official rule is more than 25 and at most 6,500.")
    if unnamed := sum("id" not in instance for instance in instances):
        yield warning("Instances", f"holds {unnamed} without an id", "They are called after the task and their place.")
    if repeated := sum(count - 1 for count in inputs.values()):
        yield warning("Instances", f"repeats {repeated} inputs", "Merge the references of equal inputs.")
    if blank := sum(not instance["input"].strip() for instance in instances):
        yield warning("Instances", f"holds {blank} blank inputs", "Drop them, unless the definition wants them.")
    if shown := sum(example["input"] in inputs for example in raw["Positive Examples"]):
        yield warning("Positive Examples", f"holds {shown} that are instances too", "Drop them from the instances.")
    references = [reference for instance in instances for reference in _texts(instance["output"])]
    if mute := sum(not re.search("[a-z0-9]", reference.lower()) for reference in references):
        yield warning(
            "Instances",
            f"holds {mute} references without a Latin letter or digit",
            "ROUGE-L gives them 0 even for a perfect answer.",
        )
    if padded := [reference for reference in references if reference != reference.strip()]:
        yield warning(
            "Instances",
            f"holds {len(padded)} references with blanks around, {quoted(padded[0])} first",
            "Strip them: they are trained on, and 'yes ' is drawn as another label than 'yes'.",
        )
    counts = Counter(references)
    if len(counts) == 1:
        yield warning("Instances", "knows one output only", "Nothing can be learnt or measured with it.")
    elif len(counts) < 15 and (evenness := _entropy(counts)) <= 0.8:
        yield warning("Instances", f"has skewed labels (entropy {evenness:.2f})", "The official rule is more than 0.8.")


def _entropy(counts: Counter[str]) -> float:
    """The entropy of ``counts`` as a share of the largest for that number of classes."""
    shares = [count / counts.total() for count in counts.values()]
    return -sum(share * math.log(share) for share in shares) / math.log(len(shares))


def _text_list_faults(raw: Mapping[str, Any], field: str) -> Iterator[Fault]:
    if field not in raw:
        yield Fault(field, "is missing", "Add it, as a list of texts.")
    elif not isinstance(raw[field], str) and not _is_text_list(raw[field]):
        yield _not_text(field, raw, field, "a list of texts")
    elif field in ("Definition", "Categories") and not "".join(_texts(raw[field])[:1]).strip():
        yield Fault(field, "is empty", "Fill it in.")
    else:
        yield from _length_faults(field, *_texts(raw[field]), most=LONGEST_DEFINITION)


def _length_faults(where: str, *texts: str, most: int = LONGEST_TEXT) -> Iterator[Fault]:
    if (length := max(map(len, texts), default=0)) > most:
        yield Fault(where, f"has {length:,} characters, and at most {most:,} are read", "Shorten it.")


def _objects(raw: Mapping[str, Any], field: str) -> Iterator[tuple[int, Fault | dict[str, Any]]]:
    """The entries of a list of objects with their places, or what stands there instead."""
    entries = raw.get(field)
    if not isinstance(entries, list):
        found = f"is {_kind(entries)}, not a list" if field in raw else "is missing"
        yield 0, Fault(field, found, "Add it, as a list of objects with input and output.")
        return
    for place, entry in enumerate(entries):
        if isinstance(entry, dict):
            yield place, entry
        else:
            yield place, Fault(f"{field}[{place}]", f"is {_kind(entry)}, not an object", "Give it input and output.")


def _not_text(where: str, owner: Mapping[str, Any], part: str, expected: str = "a text") -> Fault:
    if part not in owner:
        return Fault(where, "is missing", f"Add it, as {expected}.")
    found = "a list of other things" if isinstance(owner[part], list) and expected != "a text" else _kind(owner[part])
    return Fault(where, f"is {found}, not {expected}", "Correct it.")


def _kind(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a truth value"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case list():
            return "a list"
        case _:
            return "an object"


def _is_text_list(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(entry, str) for entry in value)


def _texts(value: Any) -> tuple[str, ...]:
    """A list of texts, or the one text that older releases write for it."""
    return (value,) if isinstance(value, str) else tuple(value)


def _optional_texts(raw: Mapping[str, Any], field: str) -> tuple[str, ...]:
    """The texts of a field that may be missing or anything."""
    return () if next(_text_list_faults(raw, field), None) else _texts(raw[field])


def _examples(entries: Sequence[Mapping[str, str]]) -> tuple[Example, ...]:
    return tuple(Example(entry["input"], entry["output"], entry.get("explanation", "")) for entry in entries)
