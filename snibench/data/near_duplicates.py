"""Inputs of train and test tasks that are nearly the same: a report, never an error.

Exact repetitions are dropped by the suites (``leakage.input_key``); what differs in a word or two stays, and is shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from snibench.base.errors import MissingExtra
from snibench.base.hashing import normalise_input
from snibench.base.types import Instance, Task

THRESHOLD = 0.8
_WORDS = 5  # of a shingle
_PERMUTATIONS = 128
_SEED = 1
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class NearDuplicates:
    """Number of training inputs of one task that nearly repeat an evaluated input of another, with the closest pair."""

    train: str
    test: str
    count: int
    similarity: float  # of the closest pair, Jaccard over 5-word shingles, exact
    train_input: str
    test_input: str


def near_duplicates(
    train: Mapping[str, Task], evaluated: Mapping[str, Sequence[Instance]], *, threshold: float = THRESHOLD
) -> list[NearDuplicates]:
    """Pairs of tasks with near duplicates, most first; inputs that are exactly the same for a reader do not count.

    Candidates come from MinHash with locality-sensitive hashing over 5-word shingles; each candidate's Jaccard
    similarity is then computed exactly, so that none below ``threshold`` is reported. Inputs of fewer than five words
    have no shingle and are left out.

    Args:
        train: Tasks whose instances may be trained on.
        evaluated: Instances that are asked, by task.
        threshold: Jaccard similarity in (0, 1].

    Raises:
        MissingExtra: If datasketch is not installed.

    Source:
        Broder, On the resemblance and containment of documents (1997); Lee et al., Deduplicating Training Data Makes
        Language Models Better (ACL 2022); datasketch.
    """
    try:
        from datasketch import MinHash, MinHashLSH
    except ImportError as error:
        raise MissingExtra("Looking for near duplicates", "data") from error

    def sketches(rows: Sequence[frozenset[bytes]]) -> Iterator[Any]:
        return MinHash.generator(rows, num_perm=_PERMUTATIONS, seed=_SEED)  # type: ignore[no-any-return]

    index = MinHashLSH(threshold=threshold, num_perm=_PERMUTATIONS)
    asked = [(task, one.input, shingles(one.input)) for task, rows in evaluated.items() for one in rows]
    asked = [row for row in asked if row[2]]
    for number, sketch in enumerate(sketches([row[2] for row in asked])):
        index.insert(number, sketch)
    found: dict[tuple[str, str], list[tuple[float, str, str]]] = {}
    for name, task in train.items():
        rows = [(one.input, parts) for one in task.instances if (parts := shingles(one.input))]
        for (text, parts), sketch in zip(rows, sketches([row[1] for row in rows]), strict=True):
            best: dict[str, tuple[float, str, str]] = {}
            for number in index.query(sketch):
                test, other, theirs = asked[number]
                similarity = len(parts & theirs) / len(parts | theirs)
                same = normalise_input(text) == normalise_input(other)
                if similarity >= threshold and not same and test != name:
                    best[test] = max(best.get(test, (0.0, "", "")), (similarity, text, other))
            for test, closest in best.items():
                found.setdefault((name, test), []).append(closest)
    report = []
    for (one, two), pairs in found.items():
        similarity, text, other = max(pairs)
        report.append(NearDuplicates(one, two, len(pairs), similarity, text, other))
    return sorted(report, key=lambda row: (-row.count, -row.similarity, row.train, row.test))


def shingles(text: str) -> frozenset[bytes]:
    """The runs of five lower-cased words in ``text``."""
    words = _WORD.findall(text.lower())
    return frozenset(" ".join(words[start : start + _WORDS]).encode() for start in range(len(words) - _WORDS + 1))
