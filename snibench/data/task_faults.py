"""Faults of a task file in the official JSON layout: errors keep it from being loaded, warnings break official rules.

Source:
    allenai/natural-instructions: README.md (schema), src/test_all.py (the rules that its CI enforces).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from snibench.base.reading import quoted

_TEXT_LISTS = ("Definition", "Categories", "Domains", "Source")  # what a task card is made of
LANGUAGES = ("Input_language", "Output_language", "Instruction_language")
_FURTHER = ("Contributors", "URL", "Reasoning", *LANGUAGES, "Instance License")
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


def errors(raw: Any) -> Iterator[Fault]:
    """Errors that keep the JSON value ``raw`` from being a task, field by field."""
    if not isinstance(raw, dict):
        yield Fault("", f"holds {_json_type(raw)}, not an object", "Write one task as in the official schema.")
        return
    for field in _TEXT_LISTS:
        yield from text_list_faults(raw, field)
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
            yield from _length_faults(f"{where}.output", *texts_of(output))
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
    definitions = texts_of(raw["Definition"])
    if isinstance(raw["Definition"], str):
        yield warning("Definition", "is a text, as in older releases", "It is read as a list of one.")
    if len(definitions) > 1:
        yield warning(
            "Definition", f"holds {len(definitions)} texts", "Only the first is used, as in the official code."
        )
    if len(texts_of(raw["Categories"])) > 1:
        yield warning("Categories", "holds more than one", "Only the first is used, as in the official code.")
    for language in optional_texts(raw, "Input_language"):
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
    references = [reference for instance in instances for reference in texts_of(instance["output"])]
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


def text_list_faults(raw: Mapping[str, Any], field: str) -> Iterator[Fault]:
    """Errors of a field that must be a list of texts, or a text as in older releases."""
    if field not in raw:
        yield Fault(field, "is missing", "Add it, as a list of texts.")
    elif not isinstance(raw[field], str) and not _is_text_list(raw[field]):
        yield _not_text(field, raw, field, "a list of texts")
    elif field in ("Definition", "Categories") and not "".join(texts_of(raw[field])[:1]).strip():
        yield Fault(field, "is empty", "Fill it in.")
    else:
        yield from _length_faults(field, *texts_of(raw[field]), most=LONGEST_DEFINITION)


def _length_faults(where: str, *texts: str, most: int = LONGEST_TEXT) -> Iterator[Fault]:
    if (length := max(map(len, texts), default=0)) > most:
        yield Fault(where, f"has {length:,} characters, and at most {most:,} are read", "Shorten it.")


def _objects(raw: Mapping[str, Any], field: str) -> Iterator[tuple[int, Fault | dict[str, Any]]]:
    """The entries of a list of objects with their places, or what stands there instead."""
    entries = raw.get(field)
    if not isinstance(entries, list):
        found = f"is {_json_type(entries)}, not a list" if field in raw else "is missing"
        yield 0, Fault(field, found, "Add it, as a list of objects with input and output.")
        return
    for place, entry in enumerate(entries):
        if isinstance(entry, dict):
            yield place, entry
        else:
            yield (
                place,
                Fault(f"{field}[{place}]", f"is {_json_type(entry)}, not an object", "Give it input and output."),
            )


def _not_text(where: str, owner: Mapping[str, Any], part: str, expected: str = "a text") -> Fault:
    if part not in owner:
        return Fault(where, "is missing", f"Add it, as {expected}.")
    found = (
        "a list of other things" if isinstance(owner[part], list) and expected != "a text" else _json_type(owner[part])
    )
    return Fault(where, f"is {found}, not {expected}", "Correct it.")


def _json_type(value: Any) -> str:
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


def texts_of(value: Any) -> tuple[str, ...]:
    """A list of texts, or the one text that older releases write for it."""
    return (value,) if isinstance(value, str) else tuple(value)


def optional_texts(raw: Mapping[str, Any], field: str) -> tuple[str, ...]:
    """The texts of a field that may be missing or anything."""
    return () if next(text_list_faults(raw, field), None) else texts_of(raw[field])
