"""A protocol, a suite and a metric of another package, from planning to a board."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from snibench.base.types import SuiteRequest
from snibench.leaderboard.validate import read_board
from snibench.leaderboard.verify import verify
from snibench.store import load_results
from snibench.testing import check_metric, check_protocol, check_suite

TEMPLATE = Path(__file__).parents[2] / "plugins" / "snibench-template"
KINDS = ("snibench.protocols", "snibench.suites", "snibench.metrics")
RUN = [
    *("run", "-m", "lora", "--no-baseline", "--suite", "template-suite", "--protocol", "template-protocol"),
    *("--set", "template-protocol.turns=1", "--set", "template-protocol.instances=3", "--seeds", "0,1"),
    *("--steps", "3", "--per-step", "2,2", "--max-output", "6", "--conflict", "off"),
]


@pytest.fixture
def template(install: Callable[..., Path]) -> None:
    points = tomllib.loads((TEMPLATE / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"]
    sources = {
        f"snibench_template/{file.name}": file.read_text(encoding="utf-8")
        for file in (TEMPLATE / "src" / "snibench_template").glob("*.py")
    }
    install("snibench-template", {kind: points[kind] for kind in KINDS}, sources)


@pytest.mark.usefixtures("template")
def test_the_protocol_the_suite_and_the_metric_keep_their_contracts() -> None:
    from snibench_template.metric import TokenF1
    from snibench_template.protocol import Solved
    from snibench_template.suite import Words

    check_metric(TokenF1())
    assert TokenF1().score("a red coat", ["the red coat"]) == pytest.approx(2 / 3)
    check_suite(Words, SuiteRequest("template-suite"))
    check_protocol(Solved, suite=Words().load(SuiteRequest("template-suite")))


@pytest.mark.slow
@pytest.mark.usefixtures("template")
def test_they_go_from_the_plan_to_a_verified_board(snibench: Callable[..., Any], tmp_path: Path) -> None:
    runs, page, board = tmp_path / "runs", tmp_path / "page.html", tmp_path / "board.json"
    done = snibench(*RUN, "-o", runs)
    assert done.code == 0, done.err + done.out

    results = load_results(runs)
    settings = json.loads((runs / "manifest.json").read_text(encoding="utf-8"))["protocol_settings"]
    assert settings == {
        "template-protocol": {"turns": 1, "tasks": 8, "instances": 3, "format": "definition", "seed": 0}
    }
    metrics = dict(zip(results.tasks["task"], results.tasks["metric"], strict=True))
    assert metrics["words3_turned"] == "template-f1"
    assert len(results.answers) == 2 * 4 * 3 * 2  # seeds, tasks, instances, without and with a turn

    assert snibench("report", runs, "--as", "html", "-o", page).code == 0
    text = page.read_text(encoding="utf-8")
    title = "Score without and with solved instances before the question"
    for words in (
        title,
        "Solved instances in front",
        "Gain by solved",
        "Means over tasks; intervals over tasks and seeds",
    ):
        assert words in text

    assert snibench("leaderboard", "export", runs, "-o", board).code == 0
    assert snibench("leaderboard", "validate", board).code == 0
    (entry,) = read_board(board)["entries"]
    assert set(entry["metrics"]["template-protocol"]["overall"]) == {"plain", "shown", "gain"}
    assert entry["metrics"]["template-protocol"]["overall"]["gain"]["n"] == 4
    found = verify(board)
    assert found.faults == ()
    assert found.against_suite
    assert "Gain by solved" in snibench("leaderboard", "show", board).out
