"""Parts of a report: tidy frames of fractions, and how their columns are shown."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from snibench.base.types import METHOD, Column, Frame, Unit

if TYPE_CHECKING:
    import pandas as pd

    from snibench.stats.outcomes import Outcome

__all__ = [
    "METHOD",
    "QUESTIONS",
    "SCOPES",
    "Asked",
    "Column",
    "Frame",
    "Report",
    "Scope",
    "Table",
    "Unit",
    "Verdict",
    "points",
    "rows_digest",
]


@dataclass(frozen=True)
class Table:
    """A tidy frame with one row per value of ``keys``, and the columns to show.

    ``across`` names a key whose values become columns where the table is drawn, of the first of ``columns`` alone;
    exports stay tidy and complete. ``protocol`` is empty for what belongs to no single protocol,
    ``section`` the heading above all tables of a protocol, ``figure`` what its frame says is drawn of it. A table with
    ``detail`` is too long to read and stands in CSV and JSON alone. ``headlines``: the fields of a summary that stand
    on one screen, one of each protocol.
    """

    name: str
    title: str
    frame: pd.DataFrame
    keys: tuple[Column, ...]
    columns: tuple[Column, ...]
    notes: tuple[str, ...] = ()
    protocol: str = ""
    section: str = ""
    across: str = ""
    detail: bool = False
    figure: str = ""
    headlines: tuple[str, ...] = ()

    @property
    def drawn_as(self) -> str:
        """Key of the table for figures: its frame's ``figure`` if it is a protocol's, else its name."""
        return self.figure if self.section else self.name


Asked = str  # a question that a report answers: one of ``QUESTIONS``, or a protocol with a verdict of its own
Scope = Literal["tasks like these", "this suite"]
SCOPES: tuple[Scope, Scope] = ("tasks like these", "this suite")

# What the questions of the built-in protocols are on, in the order in which they are answered.
QUESTIONS: Mapping[Asked, str] = {
    "unseen": "unseen tasks",
    "seen": "held-out instances of seen tasks",
    "gap": "generalization gap",
    "formats": "mean over formats",
    "combos": "combos, above chance",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """One method against the baseline, on one question, in one scope; numbers are fractions.

    ``estimate`` with ``low`` and ``high`` is the difference; ends are NaN where there is no interval, and ``why`` says
    why. ``outcome`` "better" for the gap means a smaller one. ``minimum_detectable_effect`` is this pair's own, at 80%
    power; ``equivalence_bound`` the smallest margin within which this run could claim equivalence. ``starred``: both
    tests of *tasks like these* hold; *this suite* has no star.
    """

    method: str
    baseline: str
    question: Asked
    scope: Scope
    estimate: float
    low: float
    high: float
    outcome: Outcome
    within_margin: bool
    starred: bool
    margin: float
    minimum_detectable_effect: float
    equivalence_bound: float
    why: str = ""
    few_seeds: bool = False
    on: str = ""  # what the question is on, where it is none of ``QUESTIONS``

    @property
    def sentence(self) -> str:
        """The verdict for people, in points."""
        on = (self.on or QUESTIONS[self.question]) + (", this suite alone" if self.scope == "this suite" else "")
        head = f"{self.method} against {self.baseline}, {on}: {points(self.estimate)} points"
        if self.low != self.low:
            return f"{head}: {self.outcome}; no interval, {self.why}."
        return f"{head} [{points(self.low)}, {points(self.high)}]: {self._found()}."

    def _found(self) -> str:
        size = f"{100 * self.margin:g} points"
        if self.outcome == "equivalent":
            return f"equivalent within {size}"
        if self.outcome == "undecided":
            about = "at least " if self.few_seeds else ""
            return f"undecided; this run finds {about}{100 * self.minimum_detectable_effect:.1f} points with 80 % power"
        better = {"better": "smaller (better)", "worse": "larger (worse)"} if self.question == "gap" else {}
        return better.get(self.outcome, self.outcome) + (f", within {size}" if self.within_margin else "")


def points(value: float) -> str:
    """A difference of fractions in points with its sign; never -0.0."""
    return f"{round(100 * value, 1) + 0.0:+.1f}"


@dataclass(frozen=True)
class Report:
    """Everything that tables, exports and leaderboards show, made of stored rows alone.

    ``rows_digest`` is over the answers that were read. ``baseline`` is empty where there is none. ``verdicts``
    answer the questions in sentences.
    """

    title: str
    tables: tuple[Table, ...]
    notes: tuple[str, ...]
    failed: pd.DataFrame
    baseline: str
    rows_digest: str
    verdicts: tuple[Verdict, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def shown(self) -> tuple[Table, ...]:
        """The tables to read."""
        return tuple(table for table in self.tables if not table.detail)

    def table(self, name: str) -> Table:
        """The table called ``name``.

        Raises:
            KeyError: If there is none.
        """
        return {table.name: table for table in self.tables}[name]


def rows_digest(answers: pd.DataFrame) -> str:
    """A digest over what was asked and how it was scored, whatever the order of the rows; 64 hexadecimal digits.

    SHA-256 over the sorted 64-bit hashes of the rows: distinguishes runs, and is no proof against forgery.
    """
    from pandas.util import hash_pandas_object

    columns = ["fit", "protocol", "variant", "format", "task", "split", "instance", "stream", "position", "score"]
    hashes = hash_pandas_object(answers[columns], index=False).sort_values().to_numpy(dtype="<u8")
    return hashlib.sha256(hashes.tobytes()).hexdigest()
