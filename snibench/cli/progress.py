"""What a run tells while it goes on: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from snibench.pipeline import Watcher
    from snibench.planning import FitPlan
    from snibench.tuning import Tuning

# Lines of a run that is not on a terminal come at most this often, in seconds.
_PATIENCE = 10.0


@contextmanager
def watching(console: Console, fits: int) -> Iterator[Callable[[int, FitPlan], Watcher]]:
    """Inside, gives every fit a watcher that shows it on ``console``."""
    if console.is_terminal:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[detail]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console, transient=True) as progress:
            yield lambda index, fit: _live(progress, index, fits, fit)
    else:
        yield lambda index, fit: _plain(console, index, fits, fit)


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

    def say(what: str, done: int, total: int) -> None:
        if time.monotonic() - last[0] > _PATIENCE:
            last[0] = time.monotonic()
            of = f" of {total:,}" if total else ""
            console.print(f"{what}: {done:,}{of}", markup=False, highlight=False, soft_wrap=True)

    yield say


def _title(index: int, fits: int, fit: FitPlan) -> str:
    seed = f" seed {fit.spec.seed}" if fit.spec.recipe.steps else ""
    return f"[{index + 1}/{fits}] {fit.spec.label}{seed}"


def _step_text(progress: Tuning, steps: int) -> str:
    speed = progress.tokens / max(progress.seconds, 1e-9)
    return f"step {progress.step}/{steps}, loss {progress.trace[-1]['loss']:.3f}, {speed:,.0f} tokens/s"


def _live(progress: Progress, index: int, fits: int, fit: FitPlan) -> Watcher:
    from snibench.pipeline import Watcher

    title = escape(_title(index, fits, fit))
    for task in progress.task_ids:
        progress.remove_task(task)
    task = progress.add_task(title, total=None, detail="")

    def on_stage(stage: str) -> None:
        progress.reset(task, total=None, description=f"{title}: {stage}", detail="")

    def on_step(state: Tuning, steps: int) -> None:
        progress.update(task, total=steps, completed=state.step, detail=_step_text(state, steps))

    def on_answers(done: int, total: int) -> None:
        progress.update(task, total=total, completed=done, detail=f"{done}/{total} prompts")

    return Watcher(on_stage, on_step, on_answers)


def _plain(console: Console, index: int, fits: int, fit: FitPlan) -> Watcher:
    from snibench.pipeline import Watcher

    title = _title(index, fits, fit)
    last = [0.0]

    def say(text: str, *, now: bool = False) -> None:
        if now or time.monotonic() - last[0] > _PATIENCE:
            last[0] = time.monotonic()
            console.print(f"{title}: {text}", markup=False, highlight=False, soft_wrap=True)

    return Watcher(
        on_stage=lambda stage: say(stage, now=stage == "tuning"),
        on_step=lambda state, steps: say(_step_text(state, steps), now=state.step == steps),
        on_answers=lambda done, total: say(f"answered {done}/{total} prompts", now=done == total),
    )
