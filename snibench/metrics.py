"""The official metrics of one answer and of many. Pure; ROUGE-L loads its library on first use.

Source:
    yizhongw/Tk-Instruct, src/compute_metrics.py, and allenai/natural-instructions, eval/automatic/evaluation.py.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from types import SimpleNamespace
from typing import Any

from snibench.base.hashing import normalise_answer
from snibench.base.registry import METRICS
from snibench.base.types import Instance, TaskCard
from snibench.contracts import Metric

Tokenize = Callable[[str], list[str]]


def exact_match(prediction: str, references: Sequence[str]) -> float:
    """1.0 if the normalised ``prediction`` equals a normalised reference, else 0.0.

    Normalisation drops punctuation, so that "." equals "".
    """
    answer = normalise_answer(prediction)
    return float(any(answer == normalise_answer(reference) for reference in references))


def rouge_l(prediction: str, references: Sequence[str], tokenize: Tokenize | None = None) -> float:
    """The best ROUGE-L F1 of ``prediction`` over ``references``, in [0, 1].

    Without ``tokenize``, as the official default track: tokens are lower-cased runs of [a-z0-9], stemmed if longer than
    three characters; a reference without any scores 0, even against itself. For the cross-lingual track pass
    ``byte_pair_tokens``.

    Raises:
        ValueError: If there is no reference.
    """
    return max(_rouge_l(prediction, reference, tokenize or _tokens) for reference in references)


def byte_pair_tokens(tokenizer: Any) -> Tokenize:
    """Tokens of a text by the official cross-lingual track: those of a byte-level tokenizer (GPT-2's), without blanks.

    Args:
        tokenizer: With a method ``tokenize(text)``, as those of transformers.
    """

    def tokenize(text: str) -> list[str]:
        # A byte-level tokenizer writes the blank before a word as part of it, and the first word has none.
        return [token.lstrip("\N{LATIN CAPITAL LETTER G WITH DOT ABOVE}") for token in tokenizer.tokenize(text)]

    return tokenize


@lru_cache(maxsize=1 << 16)  # the same few answers come back for every method, seed and format
def _rouge_l(prediction: str, reference: str, tokenize: Tokenize) -> float:
    ours, theirs = tokenize(prediction), tokenize(reference)
    if not (common := _longest_common_subsequence(ours, theirs)):
        return 0.0
    precision, recall = common / len(ours), common / len(theirs)
    return 2 * precision * recall / (precision + recall)


def _tokens(text: str) -> list[str]:
    from rouge_score.tokenize import tokenize

    tokens: list[str] = tokenize(text, _stemmer())
    return tokens


@cache
def _stemmer() -> Any:
    """The library's stemmer with a memory: it takes nine tenths of the time without one."""
    from nltk.stem.porter import PorterStemmer  # type: ignore[import-untyped]  # rouge-score's own dependency

    return SimpleNamespace(stem=lru_cache(maxsize=1 << 16)(PorterStemmer().stem))


def _longest_common_subsequence(left: Sequence[str], right: Sequence[str]) -> int:
    """Its length, with one long integer for a row of the library's table: copied inputs have thousands of tokens.

    Source:
        Hyyrö, Bit-parallel LCS-length computation revisited (2004).
    """
    places: dict[str, int] = {}
    for place, token in enumerate(left):
        places[token] = places.get(token, 0) | 1 << place
    row = full = (1 << len(left)) - 1
    for token in right:
        match = row & places.get(token, 0)
        row = (row + match | row - match) & full
    return len(left) - row.bit_count()


class ExactMatch(Metric):
    """1 if the normalised answer equals a normalised reference, else 0."""

    def score(self, prediction: str, references: Sequence[str]) -> float:
        """See ``exact_match``."""
        return exact_match(prediction, references)


class RougeL(Metric):
    """The best ROUGE-L F1 over the references, as the official default track has it."""

    def score(self, prediction: str, references: Sequence[str]) -> float:
        """See ``rouge_l``."""
        return rouge_l(prediction, references)

    def chance(self, instances: Sequence[Instance]) -> float:
        """The mean score of copying the input; 0 without instances."""
        scores = [rouge_l(instance.input, instance.outputs) for instance in instances]
        return sum(scores) / len(scores) if scores else 0.0


@cache
def metric(name: str) -> Metric:
    """The metric that is registered as ``name``.

    Raises:
        UsageError: If there is none; suggests the closest name.
        PluginError: If it cannot be loaded.
    """
    named: Metric = METRICS.get(name)()
    return named


def chance(card: TaskCard, instances: Sequence[Instance] = ()) -> float:
    """The score in [0, 1] that an answer reaches without solving the task.

    Closed tasks: one over the number of labels. Open tasks: as their metric says.
    """
    return 1 / len(card.labels) if card.labels is not None else metric(card.metric).chance(instances)


def majority(instances: Sequence[Instance]) -> float:
    """The share of ``instances`` whose normalised first reference is the most frequent one.

    Raises:
        ValueError: If there are no instances.
    """
    counts = Counter(normalise_answer(instance.outputs[0]) for instance in instances)
    return max(counts.values()) / len(instances)


@dataclass(frozen=True, slots=True)
class Scored:
    """One answer as the official aggregation sees it; both metrics in [0, 1], names "" where unknown."""

    task: str
    category: str
    exact_match: float
    rouge_l: float


def official_scores(rows: Iterable[Scored]) -> dict[str, float]:
    """Exact match and ROUGE-L in the official keys and units: 0 to 100, four decimals.

    ``exact_match`` and ``rougeL`` are means over instances, as are those ``_for_<category>`` (lower case, "_" for
    blanks) and ``_for_<task>``. ``macro_exact_match`` and ``macro_rougeL``, which the official code has not, weigh
    tasks equally. Rows without a task or category count in the overall means alone, and leave no macro mean.

    Raises:
        ValueError: If there are no rows.
    """
    rows = list(rows)
    if not rows:
        raise ValueError("There is nothing to score: rows is empty.")
    groups: dict[str, list[Scored]] = defaultdict(list)
    tasks: dict[str, list[Scored]] = defaultdict(list)
    for row in rows:
        if row.category:
            groups[category_key(row.category)].append(row)
        if row.task:
            tasks[row.task].append(row)
    result = {metric: _percent(values) for metric, values in _metrics(rows).items()}
    means = [{metric: _mean(values) for metric, values in _metrics(members).items()} for members in tasks.values()]
    if all(row.task for row in rows):
        result |= {f"macro_{name}": _percent([mean[name] for mean in means]) for name in ("exact_match", "rougeL")}
    for key, members in (*sorted(groups.items()), *sorted(tasks.items())):
        result |= {f"{metric}_for_{key}": _percent(values) for metric, values in _metrics(members).items()}
    return result


def category_key(category: str) -> str:
    """``category`` as the official keys write it."""
    return "_".join(category.lower().split())


def _metrics(rows: Sequence[Scored]) -> dict[str, list[float]]:
    return {"exact_match": [row.exact_match for row in rows], "rougeL": [row.rouge_l for row in rows]}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _percent(values: Sequence[float]) -> float:
    # Scaled before it is divided, as in the official code: the fourth decimal can depend on it.
    return round(100.0 * sum(values) / len(values), 4)
