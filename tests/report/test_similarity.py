"""Similarity against results: a run whose scores follow the similarity is told from one whose scores do not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from snibench.base.errors import StoreError
from snibench.base.registry import PROTOCOLS
from snibench.protocols.combos import Combos
from snibench.report.similarity import COST, GAIN, SCORE, nearest_seen, similarities, similarity_report
from snibench.store import StoredRun


@pytest.fixture(scope="module")
def run(make_results: Callable[..., StoredRun]) -> StoredRun:
    return make_results({"untuned": 0.2, "unified-prompt": 0.5, "ours": 0.6}, seeds=(0, 1))


def following(run: StoredRun, method: str) -> StoredRun:
    """``run`` in which the scores of one method on unseen tasks are the similarity of the task."""
    near = nearest_seen(run).set_index("task")["similarity"]
    told = (run.answers["method"] == method) & (run.answers["protocol"] == "gap") & ~run.answers["seen"].astype(bool)
    scores = run.answers["score"].where(~told, run.answers["task"].map(near))
    return replace(run, answers=run.answers.assign(score=scores))


def test_the_nearest_seen_task_is_the_most_similar_one(run: StoredRun) -> None:
    alike, seen = similarities(run), [f"task{i}" for i in range(12)]
    near = nearest_seen(run)
    assert set(near["task"]) == {f"task{i}" for i in range(12, 24)}
    for row in near.itertuples():
        assert row.similarity == pytest.approx(alike.loc[row.task, seen].max())
        assert alike.loc[row.task, row.nearest] == row.similarity


def test_scores_that_follow_the_similarity_correlate_fully_and_others_do_not(run: StoredRun) -> None:
    table = similarity_report(following(run, "ours")).table("similarity").frame.set_index(["outcome", "method"])
    ours = table.loc[(SCORE, "ours")]
    assert (ours["spearman"], ours["kendall"], ours["spearman_low"]) == pytest.approx((1.0, 1.0, 1.0))
    assert ours["n"] == ours["n_units"] == 12
    other = table.loc[(SCORE, "unified-prompt")]
    assert other["spearman_low"] < 0.9
    assert (GAIN, "untuned") not in table.index


def test_combos_are_measured_with_the_settings_that_planned_them(
    run: StoredRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = []

    class Watched(Combos):
        def measure(self, answers, tasks):
            used.append(self.settings.length)
            return super().measure(answers, tasks)

    monkeypatch.setattr(type(PROTOCOLS), "get", lambda self, name: Watched)
    manifest = replace(run.manifest, protocol_settings={"combos": {"length": 12}})
    similarity_report(replace(run, manifest=manifest))
    assert used == [12]


def test_the_gain_is_over_the_untuned_model_task_by_task(run: StoredRun) -> None:
    frame = similarity_report(run).table("similarity_outcomes").frame
    wide = frame.pivot(index="task", columns="method", values=SCORE)
    gains = frame[frame["method"] == "ours"].set_index("task")[GAIN]
    assert np.allclose(gains, (wide["ours"] - wide["untuned"]).loc[gains.index])


def test_the_switch_cost_of_a_task_is_that_of_its_own_questions(run: StoredRun) -> None:
    frame = similarity_report(run).table("similarity_switches").frame
    rows = run.answers[run.answers["protocol"] == "combos"]
    one = frame[frame["method"] == "ours"].iloc[0]
    mine = rows[(rows["method"] == "ours") & (rows["task"] == one["task"]) & (rows["side"] == one["side"])]
    mine = mine[mine["variant"].str.contains(one["combo"], regex=False)]
    same, other = (mine[mine["variant"].str.contains(f'"{name}"')]["score"].mean() for name in ("same", "other"))
    assert one[COST] == pytest.approx(same - other)


def test_combos_are_shown_and_two_of_them_make_no_interval(run: StoredRun) -> None:
    report = similarity_report(run)
    assert set(report.table("similarity_combos").frame["combo"]) == {"Sentiment + Topic", "Sentiment + Analogy"}
    table = report.table("similarity").frame
    assert not table[table["outcome"].str.startswith("excess")]["spearman_low"].notna().any()


def test_a_run_without_definitions_says_what_to_do(run: StoredRun) -> None:
    with pytest.raises(StoreError, match="--overwrite always"):
        similarity_report(replace(run, tasks=run.tasks.drop(columns="definition")))


def test_the_figures_show_the_points_and_the_correlation(run: StoredRun) -> None:
    pytest.importorskip("matplotlib")
    from snibench.report.figures.similarity_panels import similarity_figures

    followed = following(run, "ours")
    unseen, combos = similarity_figures(followed, similarity_report(followed))
    assert (unseen.name, combos.name) == ("similarity-unseen", "similarity-combos")
    titles = [axes.get_title(loc="left") for axes in unseen.canvas.axes]
    assert [title.splitlines()[0] for title in titles] == ["unified-prompt", "ours"]
    assert len(unseen.canvas.axes[0].collections[0].get_offsets()) == 12
