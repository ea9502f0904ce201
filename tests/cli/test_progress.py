"""What a run tells while it goes on: where, how fast, how long; on any kind of terminal."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("torch")

from rich.console import Console
from stored_specs import LORA

from snibench.base.types import Recipe
from snibench.cli.forecast import Work
from snibench.cli.progress import watching
from snibench.engine.tuning import Tuning


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def fit(label: str, steps: int = 4) -> Any:
    return SimpleNamespace(spec=replace(LORA, label=label, seed=1, recipe=Recipe(steps)))


def told(label: str = "ours", *, width: int = 120, **options: Any) -> str:
    """All that two fits of 4 steps and 6 prompts say, at 20 s a step and a prompt."""
    clock, out = Clock(), io.StringIO()
    console = Console(file=out, width=width, **options)
    with watching(console, [Work(4, 6), Work(4, 6)], clock) as watch:
        for index in range(2):
            progress = watch(index, fit(label))
            progress.on_stage("loading")
            progress.on_stage("tuning")
            for step in range(1, 5):
                clock.now += 20.0
                loss = [{"step": step, "loss": 1 / step}]
                progress.on_step(Tuning(step=step, seconds=2.0 * step, tokens=3000 * step, trace=loss), 4)
            progress.on_stage("answering")
            for done in (2, 4, 6):
                clock.now += 40.0
                progress.on_answers(done, 6)
            progress.on_end("")
    return out.getvalue()


def test_plain_lines_say_which_fit_how_far_how_fast_and_how_long() -> None:
    lines = told().splitlines()
    assert "[1/2] ours seed 1: step 2/4, loss 0.500, 1,500 tokens/s" in lines  # nobody knows yet how long answers take
    assert "[2/2] ours seed 1: step 1/4, loss 1.000, 1,500 tokens/s, 3 min left; run: 3 min left" in lines
    assert "[2/2] ours seed 1: answered 4/6 prompts, 0.1 a second, 40 s left; run: 40 s left" in lines


def test_plain_lines_have_no_control_codes_and_read_no_markup() -> None:
    text = told("[bold]ours[/bold]")
    assert "\x1b" not in text
    assert "[bold]ours[/bold] seed 1" in text


def test_a_dumb_terminal_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert "[1/2] ours seed 1: step 4/4" in told(force_terminal=True)


@pytest.mark.parametrize("width", [30, 60, 120])
def test_live_lines_fit_any_width(width: int) -> None:
    text = told("a-method-with-quite-a-long-name(alpha=0.5)", width=width, force_terminal=True)
    shown = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line) for line in text.replace("\r", "\n").splitlines()]
    assert max(map(len, shown)) <= width


def test_live_lines_show_the_run_and_the_fit() -> None:
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", told(force_terminal=True, width=140))
    assert "all fits" in text
    assert "1/2 fits done" in text
    assert "[2/2] ours seed 1: answering" in text


def test_fits_side_by_side_have_a_line_each_until_they_end() -> None:
    out = io.StringIO()
    console = Console(file=out, width=120, force_terminal=True)
    with watching(console, [Work(4, 0)] * 3, Clock(), jobs=2) as watch:
        first, second = watch(0, fit("first")), watch(1, fit("second"))
        first.on_stage("tuning")
        second.on_stage("tuning")
        first.on_end("its process was killed")
        watch(2, fit("third")).on_stage("tuning")
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out.getvalue())
    assert "1/3 fits done" in text
    assert "[1/3] first seed 1: its process was killed" in text
    last = text[text.rindex("all fits") :]
    assert [name in last for name in ("first", "second", "third")] == [False, True, True]


def test_no_colour_where_none_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", told(force_terminal=True))
