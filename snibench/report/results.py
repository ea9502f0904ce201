"""A run as a value: its answers, tables, comparisons and verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from snibench.base.wording import counted
from snibench.report.comparison import compare
from snibench.report.tables import build
from snibench.store import load_results

if TYPE_CHECKING:
    import pandas as pd

    from snibench.report.values import Report, Verdict
    from snibench.store import StoredRun


@dataclass(frozen=True, repr=False)
class View:
    """Tables of a run: to read in a notebook or a terminal, and as frames."""

    report: Report

    @cached_property
    def tables(self) -> Mapping[str, pd.DataFrame]:
        """Every table as a tidy frame, by name: fractions in [0, 1], one row per value of its keys."""
        return {table.name: table.frame for table in self.report.tables}

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """Better or not, by how much, how sure: one for each method, question and scope."""
        return self.report.verdicts

    @property
    def notes(self) -> tuple[str, ...]:
        """Caveats of a comparison."""
        return self.report.notes

    def __repr__(self) -> str:
        from snibench.report.console import plain_text

        return plain_text(self.report)

    def _repr_html_(self) -> str:
        """The tables as markup, for a notebook."""
        from snibench.report.page import fragment_html

        return fragment_html(self.report)


@dataclass(frozen=True, repr=False)
class Results:
    """All that a run stored; every number is a pure function of its answers."""

    stored: StoredRun

    @property
    def folder(self) -> Path:
        """The folder that the run is stored in."""
        return self.stored.folder

    @property
    def answers(self) -> pd.DataFrame:
        """One row per answer: ``method``, ``seed``, the question, ``prediction``, ``targets``, ``score`` in [0, 1]."""
        return self.stored.answers

    @property
    def tasks(self) -> pd.DataFrame:
        """One row per task of the suite: category, domains, sources, labels, metric, chance."""
        return self.stored.tasks

    @cached_property
    def fits(self) -> pd.DataFrame:
        """One row per fit, failed ones included: ``fit, method, seed, status, cause, seconds, learning_rate``."""
        import pandas as pd

        columns = ["fit", "method", "seed", "status", "cause", "seconds", "learning_rate"]
        rows = [
            (one.fit, spec.label, spec.seed, one.status, one.cause, one.seconds, spec.recipe.learning_rate)
            for one, spec in zip(self.stored.records, self.stored.specs, strict=True)
        ]
        return pd.DataFrame(rows, columns=columns)

    @cached_property
    def report(self) -> View:
        """Everything that ``snibench report`` shows."""
        return View(build(self.stored))

    @property
    def tables(self) -> Mapping[str, pd.DataFrame]:
        """Every table of the report as a tidy frame, by name: ``summary``, ``comparison``, ``gap``, ..."""
        return self.report.tables

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """Each method against the baseline: better or not, by how much, how sure; ``verdict.sentence`` for people."""
        return self.report.verdicts

    def compare(self, first: str, second: str) -> View:
        """Method ``first`` minus method ``second``, task by task, with intervals and tests.

        Raises:
            UsageError: If one of them has no finished fit.
        """
        return View(compare(self.stored, first, second))

    def __repr__(self) -> str:
        methods = ", ".join(dict.fromkeys(spec.label for spec in self.stored.specs))
        sizes = f"{counted(len(self.answers), 'answer')} of {counted(len(self.fits), 'fit')}"
        return f"Results of {methods} in '{self.folder}': {sizes}"

    def _repr_html_(self) -> str:
        """The report as markup, for a notebook."""
        return self.report._repr_html_()


def load(folder: Path | str = "runs") -> Results:
    """Results stored in ``folder``: the last run, and fits of earlier ones with its suite, model and recipe.

    Raises:
        StoreError: If the folder holds no run, or something in it is unreadable; names the file.
    """
    return Results(load_results(Path(folder), earlier=True))
