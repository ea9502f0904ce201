"""Whether the answers of a run are still what its fits said when they were sealed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from snibench.base.errors import DataError
from snibench.base.registry import FORMATS
from snibench.contracts import Format
from snibench.metrics import exact_match, metric, rouge_l
from snibench.report.cells import printable
from snibench.store import Store

if TYPE_CHECKING:
    import pandas as pd

    from snibench.base.types import FitSpec
    from snibench.store import StoredRun

TOLERANCE = 1e-9  # sums may be taken in another order on another machine


def check_sealed(results: StoredRun) -> None:
    """Hold every answer of a run against its text, and against what the fit replied to the prompt.

    Raises:
        DataError: If a score is not that of its text, or an answer not the fit's reply; names the fit.
    """
    by_fit = dict(iter(results.answers.groupby("fit", sort=False)))
    for record, spec in zip(results.records, results.specs, strict=True):
        if (answers := by_fit.get(record.fit)) is None:
            continue
        fault = next(iter(wrong_scores(answers, results.tasks)), "") or _other_replies(
            results, spec, record.fit, answers
        )
        if fault:
            raise DataError(
                f"Fit {record.fit} ({printable(spec.label)}, seed {spec.seed}): {fault} Its answers were changed after "
                "they were sealed, so no board is made of them. Delete its folder and repeat the run."
            )


def wrong_scores(answers: pd.DataFrame, tasks: pd.DataFrame) -> list[str]:
    """One sentence for each kind of stored score that is not that of its text."""
    texts = list(zip(answers["prediction"], map(tuple, answers["targets"]), strict=True))
    again = {text: (exact_match(*text), rouge_l(*text)) for text in dict.fromkeys(texts)}
    by_task = tasks.set_index("task")["metric"]
    named = answers["task"].map(by_task)
    scores = {
        "exact_match": np.array([again[text][0] for text in texts]),
        "rouge_l": np.array([again[text][1] for text in texts]),
        "score": np.array([metric(name).score(*text) for name, text in zip(named, texts, strict=True)]),
    }
    sentences = []
    for name, values in scores.items():
        wrong = ~np.isclose(answers[name].to_numpy(np.float64), values, rtol=0.0, atol=TOLERANCE)
        if wrong.any():
            sentences.append(
                f"{_counted(wrong, answers)} have another {name} than their text, {first_of(wrong, answers)}."
            )
    return sentences


def _other_replies(results: StoredRun, spec: FitSpec, fit: str, answers: pd.DataFrame) -> str:
    """A sentence if an answer is not what the fit replied to its prompt; floors reply to none."""
    if spec.floor or not (replies := Store(results.folder).replies(fit)):
        return ""
    formats: dict[str, Format] = {name: FORMATS.get(name)() for name in answers["format"].unique()}
    wrong = np.zeros(len(answers), dtype=bool)
    columns = ("task", "prompt_sha", "format", "prediction")
    for place, (task, sha, name, said) in enumerate(zip(*(answers[one] for one in columns), strict=True)):
        reply = replies.get((task, sha))
        read = reply if reply is None or reply.too_long else formats[name].read(reply.prediction)
        wrong[place] = reply is None or said != (reply.prediction if reply.too_long else read)
    if not wrong.any():
        return ""
    return f"{_counted(wrong, answers)} are not what the model replied, {first_of(wrong, answers)}."


def _counted(wrong: np.ndarray, answers: pd.DataFrame) -> str:
    return f"{int(wrong.sum()):,} of {len(answers):,} answers"


def first_of(wrong: np.ndarray, answers: pd.DataFrame) -> str:
    """The first of the marked answers, in words."""
    first = answers.iloc[int(np.argmax(wrong))]
    return f"the first is {printable(first['instance'])} of {printable(first['task'])}"
