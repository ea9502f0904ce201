from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snibench.base.errors import DataError, UsageError
from snibench.stats.arrays import Floats
from snibench.stats.effects import rank_biserial
from snibench.stats.intervals import difference_interval, mean_interval
from snibench.stats.paired import holm, sign_flip_p
from snibench.stats.ranks import friedman, ranks
from snibench.stats.summary import COLUMNS, Summary, category_deltas, summarise


def tidy(**methods: Floats) -> pd.DataFrame:
    """Rows of ``[S, T]`` arrays; tasks are t00, t01, ..."""
    rows = [
        (method, seed, f"t{task:02d}", values[seed, task])
        for method, values in methods.items()
        for seed, task in np.ndindex(values.shape)
    ]
    return pd.DataFrame(rows, columns=["method", "seed", "task", "score"])


def noisy(seed: int, shift: float, *, seeds: int = 3, tasks: int = 12) -> Floats:
    difficulty = np.random.default_rng(99).uniform(0.2, 0.8, tasks)
    return difficulty + shift + np.random.default_rng(seed).normal(0, 0.03, (seeds, tasks))


def row(summary: Summary, method: str) -> pd.Series:
    return summary.table.set_index("method").loc[method]


@pytest.fixture
def scores() -> pd.DataFrame:
    return tidy(ours=noisy(1, 0.10), lora=noisy(2, 0.01), base=noisy(3, 0.0), untuned=noisy(4, -0.2, seeds=1))


# ------------------------------------------------------------------------------------------ table


def test_the_table_has_its_columns_and_the_best_method_first(scores: pd.DataFrame) -> None:
    table = summarise(scores, baseline="base").table
    assert tuple(table.columns) == COLUMNS
    assert table["method"].tolist() == ["ours", "lora", "base", "untuned"]
    assert table["n_seeds"].tolist() == [3, 3, 3, 1]


def test_every_number_of_a_row_is_that_of_its_function(scores: pd.DataFrame) -> None:
    summary = summarise(scores, baseline="base")
    ours, base = noisy(1, 0.10), noisy(3, 0.0)
    line, mean, delta = row(summary, "ours"), mean_interval(ours), difference_interval(ours, base)
    differences = ours.mean(axis=0) - base.mean(axis=0)
    assert line[["mean", "ci_low", "ci_high", "se_task", "se_seed"]].tolist() == pytest.approx(
        [mean.value, mean.low, mean.high, mean.se_task, mean.se_seed]
    )
    assert line[["delta", "delta_low", "delta_high", "df", "p_seed"]].tolist() == pytest.approx(
        [delta.value, delta.low, delta.high, delta.df, delta.p]
    )
    assert line["p"] == sign_flip_p(differences, rng=np.random.default_rng(0))
    assert line["effect"] == rank_biserial(differences)
    assert (line["wins"], line["ties"], line["losses"]) == (12, 0, 0)
    assert line["seed_sd"] == pytest.approx(ours.mean(axis=1).std(ddof=1))


def test_p_values_are_adjusted_over_the_methods_against_the_baseline(scores: pd.DataFrame) -> None:
    table = summarise(scores, baseline="base").table
    assert table["p_holm"].tolist() == pytest.approx(holm(table["p"]).tolist(), nan_ok=True)
    assert table["p_seed_holm"].tolist() == pytest.approx(holm(table["p_seed"]).tolist(), nan_ok=True)


def test_a_star_needs_both_adjusted_values() -> None:
    # A shift of all tasks by a seed: sure over tasks, unsure over seeds.
    base = noisy(3, 0.0)
    lucky = base + np.array([[0.0], [0.0], [0.15]])
    line = row(summarise(tidy(lucky=lucky, base=base), baseline="base"), "lucky")
    assert line["p_holm"] < 0.05 < line["p_seed_holm"]
    assert not line["significant"]
    assert row(summarise(tidy(ours=noisy(1, 0.1), base=base), baseline="base"), "ours")["significant"]


def test_ranks_and_friedman_are_over_seed_means(scores: pd.DataFrame) -> None:
    summary = summarise(scores, baseline="base")
    means = np.stack([noisy(1, 0.10), noisy(2, 0.01), noisy(3, 0.0)]).mean(axis=1)
    table = np.vstack([means, noisy(4, -0.2, seeds=1)]).T
    assert summary.table["rank"].tolist() == pytest.approx(ranks(table).mean(axis=0).tolist())
    assert summary.friedman == friedman(table)


def test_methods_that_share_a_letter_are_not_separated(scores: pd.DataFrame) -> None:
    assert summarise(scores, baseline="base").table["group"].tolist() == ["a", "b", "b", "c"]


def test_the_baseline_has_no_difference_from_itself(scores: pd.DataFrame) -> None:
    line = row(summarise(scores, baseline="base"), "base")
    assert line[["delta", "delta_low", "df", "p", "p_holm", "p_seed", "effect", "wins", "ties"]].isna().all()
    assert not line["significant"]


def test_without_a_baseline_there_are_means_ranks_and_groups_only(scores: pd.DataFrame) -> None:
    summary = summarise(scores, baseline=None)
    assert summary.table[["delta", "p", "p_holm", "p_seed", "effect", "wins"]].isna().all(axis=None)
    assert summary.table["group"].tolist() == ["a", "b", "b", "c"]
    assert np.isnan(summary.minimum_detectable_effect)
    assert not summary.table["significant"].any()


def test_sources_widen_intervals_and_are_flipped_as_blocks() -> None:
    generator = np.random.default_rng(0)
    effects = np.repeat(generator.normal(0.05, 0.05, 6), 4)
    base = generator.uniform(0.3, 0.6, (3, 24))
    frame = tidy(ours=base + effects, base=base)
    sources = {f"t{task:02d}": f"s{task // 4}" for task in range(24)}
    plain, blocked = summarise(frame, baseline="base"), summarise(frame, baseline="base", clusters=sources)
    assert row(blocked, "ours")["n_sources"] == 6
    assert row(blocked, "ours")["p"] >= 2 / 2**6
    assert row(blocked, "ours")["p"] > row(plain, "ours")["p"]
    assert row(blocked, "ours")["delta_high"] > row(plain, "ours")["delta_high"]
    assert any("6 sources (24 tasks)" in note for note in blocked.notes)


def test_a_task_without_a_named_source_is_its_own() -> None:
    frame = tidy(ours=noisy(1, 0.1), base=noisy(2, 0.0))
    summary = summarise(frame, baseline="base", clusters={"t00": "squad", "t01": "squad"})
    assert row(summary, "ours")["n_sources"] == 11


# ------------------------------------------------------------------------------------- properties


@settings(max_examples=25)
@given(st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(random: object) -> None:
    frame = tidy(ours=noisy(1, 0.05, tasks=20), lora=noisy(2, 0.01, tasks=20), base=noisy(3, 0.0, tasks=20))
    order = list(range(len(frame)))
    random.shuffle(order)  # type: ignore[attr-defined]
    expected = summarise(frame, baseline="base", draws=99)
    shuffled = summarise(frame.iloc[order], baseline="base", draws=99)
    pd.testing.assert_frame_equal(shuffled.table, expected.table)
    assert shuffled.notes == expected.notes


@settings(max_examples=25)
@given(st.integers(0, 1000), st.integers(2, 20))
def test_swapping_method_and_baseline_mirrors_the_comparison(seed: int, tasks: int) -> None:
    frame = tidy(a=noisy(seed, 0.02, tasks=tasks), b=noisy(seed + 5000, 0.0, seeds=2, tasks=tasks))
    first = row(summarise(frame, baseline="b", draws=99), "a")
    second = row(summarise(frame, baseline="a", draws=99), "b")
    assert first["delta"] == pytest.approx(-second["delta"])
    assert (first["delta_low"], first["delta_high"]) == pytest.approx((-second["delta_high"], -second["delta_low"]))
    assert first["effect"] == pytest.approx(-second["effect"])
    assert (first["wins"], first["ties"], first["losses"]) == (second["losses"], second["ties"], second["wins"])
    assert (first["p"], first["p_seed"]) == pytest.approx((second["p"], second["p_seed"]))


def test_the_same_seed_gives_the_same_report_and_another_one_another(scores: pd.DataFrame) -> None:
    frame = tidy(ours=noisy(1, 0.01, tasks=30), base=noisy(3, 0.0, tasks=30))
    p = [row(summarise(frame, baseline="base", seed=seed), "ours")["p"] for seed in (0, 0, 1)]
    assert p[0] == p[1] != p[2]


# -------------------------------------------------------------------------------- degenerate input


def test_a_missing_cell_drops_its_task_for_all_methods_and_is_named(scores: pd.DataFrame) -> None:
    absent = (scores["method"] == "lora") & (scores["seed"] == 2) & (scores["task"] == "t05")
    by_row = summarise(scores[~absent], baseline="base")
    by_nan = summarise(scores.assign(score=scores["score"].mask(absent)), baseline="base")
    for summary in (by_row, by_nan):
        assert summary.table["n_tasks"].tolist() == [11] * 4
        assert any("1 of 12 tasks: t05 (lora, seed 2)" in note for note in summary.notes)
    pd.testing.assert_frame_equal(by_row.table, summarise(scores[scores["task"] != "t05"], baseline="base").table)


def test_many_excluded_tasks_are_counted_beyond_the_first_five(scores: pd.DataFrame) -> None:
    gone = (scores["method"] == "untuned") & (scores["task"] >= "t04")
    assert summarise(scores[~gone], baseline="base").notes[-1].endswith("; and 3 more.")


def test_no_common_task_is_an_error_that_says_so() -> None:
    frame = pd.DataFrame({"method": ["a", "b"], "seed": [0, 0], "task": ["x", "y"], "score": [0.1, 0.2]})
    with pytest.raises(DataError, match="No task has a score from every method"):
        summarise(frame, baseline="a")


def test_an_unknown_baseline_gets_a_suggestion(scores: pd.DataFrame) -> None:
    with pytest.raises(UsageError, match=r"Unknown baseline 'bsae'. Did you mean 'base'\?"):
        summarise(scores, baseline="bsae")
    with pytest.raises(UsageError, match="Unknown baseline"):
        category_deltas(scores, baseline="bsae", categories={})


def test_a_score_that_is_there_twice_is_refused(scores: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="more than once; average the instances first"):
        summarise(pd.concat([scores, scores.head(1)]), baseline="base")


def test_equal_scores_are_no_difference_whatever_the_order_of_seeds() -> None:
    base = noisy(3, 0.0, seeds=5)
    summary = summarise(tidy(copy=base[::-1].copy(), base=base), baseline="base")
    line = row(summary, "copy")
    assert (line["delta"], line["p"], line["p_seed"], line["effect"]) == (0.0, 1.0, 1.0, 0.0)
    assert (line["wins"], line["ties"], line["losses"]) == (0, 12, 0)
    assert summary.table["group"].tolist() == ["a", "a"]
    assert summary.table["rank"].tolist() == [1.5, 1.5]


def test_one_task_has_means_but_no_interval_and_no_verdict() -> None:
    frame = tidy(a=np.array([[0.9], [0.8]]), b=np.array([[0.2], [0.1]]), c=np.array([[0.5], [0.4]]))
    summary = summarise(frame, baseline="b")
    assert summary.friedman is None
    assert summary.table["mean"].tolist() == pytest.approx([0.85, 0.45, 0.15])
    assert summary.table[["ci_low", "delta_low", "p_seed"]].isna().all(axis=None)
    assert not summary.table["significant"].any()
    assert np.isnan(summary.minimum_detectable_effect)


def test_two_methods_have_no_friedman_test() -> None:
    assert summarise(tidy(a=noisy(0, 0.1), b=noisy(1, 0.0)), baseline="b").friedman is None


def test_one_method_alone_is_a_table_of_one_row() -> None:
    table = summarise(tidy(a=noisy(0, 0.1)), baseline="a").table
    assert table[["rank", "group"]].iloc[0].tolist() == [1.0, "a"]


def test_task_names_as_a_categorical_column_are_plain_names(scores: pd.DataFrame) -> None:
    categorical = scores.astype({"method": "category", "task": "category"})
    few = categorical[categorical["method"] != "lora"]
    assert summarise(few, baseline="base").table["method"].tolist() == ["ours", "base", "untuned"]


# ------------------------------------------------------------------------------------------ notes


def test_the_footer_says_tasks_and_seeds_or_tasks_only(scores: pd.DataFrame) -> None:
    assert (
        "tasks+seeds; tasks only for untuned (one seed); unit: 12 tasks" in summarise(scores, baseline="base").notes[0]
    )
    assert "tasks only (one seed each" in summarise(scores[scores["seed"] == 0], baseline="base").notes[0]


def test_the_footer_names_tests_draws_and_family(scores: pd.DataFrame) -> None:
    exact, many = summarise(scores, baseline="base"), tidy(a=noisy(1, 0.1, tasks=40), b=noisy(2, 0.0, tasks=40))
    assert "all 4,096 sign patterns" in exact.notes[1]
    assert "Holm-adjusted over 3 comparisons" in exact.notes[1]
    monte_carlo = summarise(many, baseline="b", draws=999)
    assert "B = 999 sign patterns" in monte_carlo.notes[1]
    assert "over 1 comparison;" in monte_carlo.notes[1]


def test_the_footer_says_when_nothing_can_be_significant() -> None:
    frame = tidy(a=noisy(1, 0.3, tasks=5), b=noisy(2, 0.0, tasks=5))
    summary = summarise(frame, baseline="b")
    assert row(summary, "a")["p"] == 2 / 2**5
    assert any("the smallest adjusted p is 0.062: no difference can be significant" in note for note in summary.notes)


# ------------------------------------------------------------------------------------- categories


def test_categories_show_where_a_method_is_better() -> None:
    base = np.random.default_rng(0).uniform(0.3, 0.6, (2, 12))
    effects = np.where(np.arange(12) < 8, 0.2, -0.1)
    categories = {f"t{task:02d}": "easy" if task < 8 else "hard" for task in range(11)}
    table = category_deltas(tidy(ours=base + effects, base=base), baseline="base", categories=categories)
    assert table["category"].tolist() == ["easy", "hard"]
    assert table["delta"].tolist() == pytest.approx([0.2, -0.1])
    assert table["n_tasks"].tolist() == [8, 3]
    assert table["delta_low"].notna().tolist() == [True, False]  # three sources are too few for an interval


def test_categories_count_sources_not_tasks() -> None:
    frame = tidy(ours=noisy(1, 0.1), base=noisy(2, 0.0))
    one_source = {f"t{task:02d}": "atomic" for task in range(12)}
    table = category_deltas(frame, baseline="base", categories=dict.fromkeys(one_source, "csc"), clusters=one_source)
    assert table[["n_tasks", "n_sources"]].iloc[0].tolist() == [12, 1]
    assert np.isnan(table["delta_low"].iloc[0])


def test_no_category_is_an_empty_table() -> None:
    table = category_deltas(tidy(ours=noisy(1, 0.1), base=noisy(2, 0.0)), baseline="base", categories={})
    assert len(table) == 0
    assert "delta" in table
