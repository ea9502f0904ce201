"""Progress of a run: live lines on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Column

from snibench.base.errors import StoreError
from snibench.cli.forecast import Forecast, Work, duration

if TYPE_CHECKING:
    from snibench.engine.tuning import Tuning
    from snibench.fits.context import FitProgress
    from snibench.plan.plan import FitPlan
    from snibench.store import Store

Watch = Callable[[int, "FitPlan"], "FitProgress"]

# Lines of a run that is not on a terminal come at most this often, in seconds.
_PATIENCE = 10.0
_NARROW = 90  # columns; below there is no room for bars


def work_left(fits: Sequence[FitPlan], store: Store) -> list[Work]:
    """Work left for each fit, by what the store has of it."""
    return [_work(fit, store) for fit in fits]


def search_work(fits: Sequence[FitPlan], trials: int, steps: int | None) -> list[Work]:
    """Work of a search for learning rates: ``trials`` trainings of each tuned method, of ``steps`` or its own."""
    lengths = {fit.spec.label: fit.spec.recipe.steps for fit in fits if fit.spec.trains and not fit.unfit}
    return [Work(steps or length, 0) for length in lengths.values() for _ in range(trials)]


def _work(fit: FitPlan, store: Store) -> Work:
    try:
        record, tuned_before = store.record(fit.spec.id), store.tuned(fit.spec.id) is not None
    except StoreError:  # damaged: what is left to do shows once the fit begins
        record, tuned_before = None, True
    if fit.unfit or (record is not None and record.status not in {"done", "unfit"}):
        return Work(0, 0)  # kept as it is; one that is repeated after all is counted once it begins
    missing = [part for part in fit.questions if not store.answered(record, part.protocol, part.digest)]
    prompts = {(one.question.task, one.prompt_sha) for part in missing for one in part.rendered}
    tuned = (record is not None and record.status == "done") or tuned_before
    return Work(0 if tuned else fit.spec.recipe.steps, len(prompts))


@contextmanager
def watching(
    console: Console, work: Sequence[Work], clock: Callable[[], float] = time.monotonic, jobs: int = 1
) -> Iterator[Watch]:
    """Inside, gives every fit callbacks that show it on ``console``; ``work``: of each fit, in their order.

    ``jobs``: fits that are under way at a time.
    """
    forecast = Forecast(work, clock, jobs)
    if console.is_terminal and not console.is_dumb_terminal:
        with _bars(console) as progress:
            lines = _Lines(progress, progress.add_task("all fits", total=len(work), detail=""))
            yield lambda index, fit: _live(lines, forecast, index, len(work), fit)
    else:
        yield lambda index, fit: _plain(console, forecast, index, len(work), fit)


def _title(index: int, fits: int, fit: FitPlan) -> str:
    seed = f" seed {fit.spec.seed}" if fit.spec.trains else ""
    return f"[{index + 1}/{fits}] {fit.spec.label}{seed}"


class _Speech:
    """The words of one fit: what was done, how fast, and how long it will take."""

    def __init__(self, forecast: Forecast, index: int) -> None:
        self._forecast = forecast
        self._clock = forecast.clock
        self._began = forecast.clock()
        self._turn = forecast.begin(index)

    def stage(self) -> None:
        self._turn.stage()
        self._began = self._clock()

    def step(self, state: Tuning, steps: int) -> str:
        self._turn.count("steps", state.step, steps)
        speed = state.tokens / max(state.seconds, 1e-9)
        return f"step {state.step}/{steps}, loss {state.trace[-1]['loss']:.3f}, {speed:,.0f} tokens/s{self._fit_left()}"

    def answers(self, done: int, total: int) -> str:
        self._turn.count("prompts", done, total)
        speed = done / max(self._clock() - self._began, 1e-9)
        return f"answered {done}/{total} prompts, {speed:,.1f} a second{self._fit_left()}"

    def end(self) -> None:
        self._turn.end()

    def run_left(self) -> str:
        left = self._forecast.seconds_left()
        return "" if left is None else f"{duration(left)} left"

    def _fit_left(self) -> str:
        left = self._turn.seconds_left()
        return "" if left is None else f", {duration(left)} left"


# ------------------------------------------------------------------------------------- terminal


@dataclass(frozen=True)
class _Lines:
    """The line of the run, and below it one for each fit under way."""

    progress: Progress
    run: TaskID

    @property
    def ended(self) -> int:
        """Fits that are over."""
        return next(int(task.completed) for task in self.progress.tasks if task.id == self.run)


def _bars(console: Console) -> Progress:
    """Lines that never wrap: what a narrow terminal has no room for is cut at the end."""
    wide = console.width >= _NARROW
    words = TextColumn("{task.description}", table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1))
    detail = TextColumn("{task.fields[detail]}", table_column=Column(no_wrap=True, overflow="ellipsis", ratio=2))
    bar = (BarColumn(bar_width=20),) if wide else ()
    return Progress(words, *bar, detail, console=console, transient=True, expand=True)


def _live(lines: _Lines, forecast: Forecast, index: int, fits: int, fit: FitPlan) -> FitProgress:
    from snibench.fits.context import FitProgress

    progress, speech = lines.progress, _Speech(forecast, index)
    title = escape(_title(index, fits, fit))
    task = progress.add_task(title, total=None, detail="")

    def run_line() -> None:
        said = [f"{lines.ended}/{fits} fits done", speech.run_left()]
        progress.update(lines.run, detail=", ".join(filter(None, said)))

    def on_stage(stage: str) -> None:
        speech.stage()
        progress.reset(task, total=None, description=f"{title}: {stage}", detail="")
        run_line()

    def on_step(state: Tuning, steps: int) -> None:
        progress.update(task, total=steps, completed=state.step, detail=speech.step(state, steps))
        run_line()

    def on_answers(done: int, total: int) -> None:
        progress.update(task, total=total, completed=done, detail=speech.answers(done, total))
        run_line()

    def on_end(cause: str) -> None:
        speech.end()
        if cause:
            progress.console.print(f"{title}: {escape(cause)}", highlight=False)
        progress.remove_task(task)
        progress.advance(lines.run)
        run_line()

    def on_note(sentence: str) -> None:
        progress.console.print(f"{title}: {escape(sentence)}", highlight=False, soft_wrap=True)

    run_line()
    return FitProgress(on_stage, on_step, on_answers, on_end, on_note)


# ---------------------------------------------------------------------------------- plain lines


def _plain(console: Console, forecast: Forecast, index: int, fits: int, fit: FitPlan) -> FitProgress:
    from snibench.fits.context import FitProgress

    title, speech = _title(index, fits, fit), _Speech(forecast, index)
    last = [-_PATIENCE]

    def say(text: str, *, now: bool = False) -> None:
        if now or forecast.clock() - last[0] >= _PATIENCE:
            last[0] = forecast.clock()
            left = speech.run_left()
            line = f"{title}: {text}{f'; run: {left}' if left else ''}"
            console.print(line, markup=False, highlight=False, soft_wrap=True)

    def on_stage(stage: str) -> None:
        speech.stage()
        say(stage, now=stage == "tuning")

    def on_step(state: Tuning, steps: int) -> None:
        say(speech.step(state, steps), now=state.step == steps)

    def on_answers(done: int, total: int) -> None:
        say(speech.answers(done, total), now=done == total)

    def on_end(cause: str) -> None:
        speech.end()
        if cause:
            say(cause, now=True)

    def on_note(sentence: str) -> None:
        console.print(f"{title}: {sentence}", markup=False, highlight=False, soft_wrap=True)

    return FitProgress(on_stage, on_step, on_answers, on_end, on_note)


# ------------------------------------------------------------------------- anything else that counts


@contextmanager
def counting() -> Iterator[Callable[[str, int, int], None]]:
    """Inside, gives a function that shows how many of something are done, of how many (0: not known).

    On standard error, so that the output stays clean: a live line on a terminal, now and then a plain one elsewhere.
    """
    console = Console(stderr=True)
    if console.is_terminal:
        columns = (TextColumn("{task.description}"), BarColumn(bar_width=20), TextColumn("{task.fields[detail]}"))
        with Progress(
            *columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console, transient=True
        ) as progress:
            task = progress.add_task("", total=None, detail="")
            yield lambda what, done, total: progress.update(
                task, description=escape(what), completed=done, total=total or None, detail=f"{done:,}"
            )
        return
    last = [time.monotonic()]

    def say(unit: str, done: int, total: int) -> None:
        if time.monotonic() - last[0] > _PATIENCE:
            last[0] = time.monotonic()
            of_total = f" of {total:,}" if total else ""
            console.print(f"{unit}: {done:,}{of_total}", markup=False, highlight=False, soft_wrap=True)

    yield say
