from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snibench.base.errors import UsageError
from snibench.stats.arrays import Floats
from snibench.stats.intervals import difference_interval, mean_interval
from snibench.stats.outcomes import equivalence_bound
from snibench.stats.paired import holm, rank_biserial, sign_flip_p
from snibench.stats.parts import category_deltas, family
from snibench.stats.power import minimum_detectable_effect
from snibench.stats.ranks import friedman, ranks
from snibench.stats.scopes import Sample, Side, Tuning
from snibench.stats.scores import Scores
from snibench.stats.summary import COLUMNS, Summary, summarise


def scored(fixed: tuple[str, ...] = (), sources: dict[str, str] | None = None, **methods: Floats) -> Scores:
    """Of ``[S, T]`` arrays; tasks are t00, t01, ...; those in ``fixed`` are deterministic."""
    tasks = tuple(f"t{task:02d}" for task in range(next(iter(methods.values())).shape[1]))
    return Scores(
        methods={name: Sample((Side(table),), Tuning(deterministic=name in fixed)) for name, table in methods.items()},
        tasks=tasks,
        clusters=(None if sources is None else [sources.get(task, task) for task in tasks],),
    )


def noisy(seed: int, shift: float, *, seeds: int = 3, tasks: int = 12) -> Floats:
    difficulty = np.random.default_rng(99).uniform(0.2, 0.8, tasks)
    return difficulty + shift + np.random.default_rng(seed).normal(0, 0.03, (seeds, tasks))


def row(summary: Summary, method: str) -> pd.Series:
    return summary.table.set_index("method").loc[method]


@pytest.fixture
def scores() -> Scores:
    return scored(
        ("untuned",), ours=noisy(1, 0.10), lora=noisy(2, 0.01), base=noisy(3, 0.0), untuned=noisy(4, -0.2, seeds=1)
    )


# ------------------------------------------------------------------------------------------ table


def test_the_table_has_its_columns_and_the_best_method_first(scores: Scores) -> None:
    table = summarise(scores, baseline="base").table
    assert tuple(table.columns) == COLUMNS
    assert table["method"].tolist() == ["ours", "lora", "base", "untuned"]
    assert table["n_seeds"].tolist() == [3, 3, 3, 1]


def test_every_number_of_a_row_is_that_of_its_function(scores: Scores) -> None:
    summary = summarise(scores, baseline="base")
    ours, base = noisy(1, 0.10), noisy(3, 0.0)
    line, mean, delta = row(summary, "ours"), mean_interval(ours), difference_interval(ours, base)
    differences = ours.mean(axis=0) - base.mean(axis=0)
    assert line[["mean", "ci_low", "ci_high"]].tolist() == pytest.approx([mean.value, mean.low, mean.high])
    assert line[["se_task", "se_seed", "se_cell"]].tolist() == pytest.approx(
        [delta.se_task, delta.se_seed, delta.se_cell]
    )
    assert line[["mde", "equivalence"]].tolist() == pytest.approx(
        [minimum_detectable_effect(delta), equivalence_bound(delta)]
    )
    assert line[["delta", "delta_low", "delta_high", "df", "p_seed"]].tolist() == pytest.approx(
        [delta.value, delta.low, delta.high, delta.df, delta.p]
    )
    assert line["p"] == sign_flip_p(differences, rng=np.random.default_rng(0))
    assert line["effect"] == rank_biserial(differences)
    assert (line["wins"], line["ties"], line["losses"]) == (12, 0, 0)
    assert line["seed_sd"] == pytest.approx(ours.mean(axis=1).std(ddof=1))


def test_p_values_are_adjusted_over_the_methods_against_the_baseline(scores: Scores) -> None:
    table = summarise(scores, baseline="base").table
    assert table["p_holm"].tolist() == pytest.approx(holm(table["p"]).tolist(), nan_ok=True)
    assert table["p_seed_holm"].tolist() == pytest.approx(holm(table["p_seed"]).tolist(), nan_ok=True)


def test_a_star_needs_both_adjusted_values() -> None:
    # A shift of all tasks by a seed: sure over tasks, unsure over seeds.
    base = noisy(3, 0.0)
    lucky = base + np.array([[0.0], [0.0], [0.15]])
    line = row(summarise(scored(lucky=lucky, base=base), baseline="base"), "lucky")
    assert line["p_holm"] < 0.05 < line["p_seed_holm"]
    assert not line["significant"]
    assert row(summarise(scored(ours=noisy(1, 0.1), base=base), baseline="base"), "ours")["significant"]


def test_ranks_and_friedman_are_over_seed_means(scores: Scores) -> None:
    summary = summarise(scores, baseline="base")
    means = np.stack([noisy(1, 0.10), noisy(2, 0.01), noisy(3, 0.0)]).mean(axis=1)
    table = np.vstack([means, noisy(4, -0.2, seeds=1)]).T
    assert summary.table["rank"].tolist() == pytest.approx(ranks(table).mean(axis=0).tolist())
    assert summary.friedman == friedman(table)


def test_methods_that_share_a_letter_are_not_separated(scores: Scores) -> None:
    assert summarise(scores, baseline="base").table["group"].tolist() == ["a", "b", "b", "c"]


def test_the_baseline_has_no_difference_from_itself(scores: Scores) -> None:
    line = row(summarise(scores, baseline="base"), "base")
    assert line[["delta", "delta_low", "df", "p", "p_holm", "p_seed", "effect", "wins", "ties"]].isna().all()
    assert not line["significant"]


def test_without_a_baseline_there_are_means_ranks_and_groups_only(scores: Scores) -> None:
    summary = summarise(scores, baseline=None)
    assert summary.table[["delta", "p", "p_holm", "p_seed", "effect", "wins"]].isna().all(axis=None)
    assert summary.table["group"].tolist() == ["a", "b", "b", "c"]
    assert summary.table["mde"].isna().all()
    assert not summary.table["significant"].any()


def test_sources_widen_intervals_and_are_flipped_as_blocks() -> None:
    generator = np.random.default_rng(0)
    effects = np.repeat(generator.normal(0.05, 0.05, 6), 4)
    base = generator.uniform(0.3, 0.6, (3, 24))
    sources = {f"t{task:02d}": f"s{task // 4}" for task in range(24)}
    plain = summarise(scored(ours=base + effects, base=base), baseline="base")
    blocked = summarise(scored(sources=sources, ours=base + effects, base=base), baseline="base")
    assert row(blocked, "ours")["n_sources"] == 6
    assert row(blocked, "ours")["p"] >= 2 / 2**6
    assert row(blocked, "ours")["p"] > row(plain, "ours")["p"]
    assert row(blocked, "ours")["delta_high"] > row(plain, "ours")["delta_high"]
    assert any("6 sources (24 tasks)" in note for note in blocked.notes)


def test_a_task_without_a_named_source_is_its_own() -> None:
    sources = {"t00": "squad", "t01": "squad"}
    summary = summarise(scored(sources=sources, ours=noisy(1, 0.1), base=noisy(2, 0.0)), baseline="base")
    assert row(summary, "ours")["n_sources"] == 11


# ------------------------------------------------------------------------------------- properties


@settings(max_examples=25)
@given(st.permutations(range(12)), st.permutations(range(3)))
def test_the_order_of_tasks_and_seeds_does_not_matter(tasks: list[int], seeds: list[int]) -> None:
    tables = {"ours": noisy(1, 0.05), "lora": noisy(2, 0.01), "base": noisy(3, 0.0)}
    expected = summarise(scored(**tables), baseline="base")
    shuffled = {name: table[np.ix_(seeds, tasks)] for name, table in tables.items()}
    found = summarise(scored(**shuffled), baseline="base")
    pd.testing.assert_frame_equal(found.table, expected.table)


@settings(max_examples=25)
@given(st.integers(0, 1000), st.integers(3, 20))
def test_swapping_method_and_baseline_mirrors_the_comparison(seed: int, tasks: int) -> None:
    frame = scored(a=noisy(seed, 0.02, tasks=tasks), b=noisy(seed + 5000, 0.0, seeds=2, tasks=tasks))
    first = row(summarise(frame, baseline="b", draws=99), "a")
    second = row(summarise(frame, baseline="a", draws=99), "b")
    assert first["delta"] == pytest.approx(-second["delta"])
    assert (first["delta_low"], first["delta_high"]) == pytest.approx((-second["delta_high"], -second["delta_low"]))
    assert first["effect"] == pytest.approx(-second["effect"])
    assert (first["wins"], first["ties"], first["losses"]) == (second["losses"], second["ties"], second["wins"])
    assert (first["p"], first["p_seed"]) == pytest.approx((second["p"], second["p_seed"]))


def test_the_same_seed_gives_the_same_report_and_another_one_another(scores: Scores) -> None:
    frame = scored(ours=noisy(1, 0.01, tasks=30), base=noisy(3, 0.0, tasks=30))
    p = [row(summarise(frame, baseline="base", seed=seed), "ours")["p"] for seed in (0, 0, 1)]
    assert p[0] == p[1] != p[2]


# -------------------------------------------------------------------------------- degenerate input


def test_tasks_that_were_left_out_are_counted_and_five_of_them_named(scores: Scores) -> None:
    gone = tuple(f"x{task}" for task in range(8))
    note = summarise(replace(scores, excluded=gone), baseline="base").notes[-1]
    assert "8 of 20 tasks: x0; x1; x2; x3; x4; and 3 more" in note


def test_an_unknown_baseline_gets_a_suggestion(scores: Scores) -> None:
    with pytest.raises(UsageError, match=r"Unknown baseline 'bsae'. Did you mean 'base'\?"):
        summarise(scores, baseline="bsae")
    with pytest.raises(UsageError, match="Unknown baseline"):
        category_deltas(scores, baseline="bsae", categories={})


def test_equal_scores_are_no_difference_whatever_the_order_of_seeds() -> None:
    base = noisy(3, 0.0, seeds=5)
    summary = summarise(scored(copy=base[::-1].copy(), base=base), baseline="base")
    line = row(summary, "copy")
    assert (line["delta"], line["p"], line["p_seed"], line["effect"]) == (0.0, 1.0, 1.0, 0.0)
    assert (line["wins"], line["ties"], line["losses"]) == (0, 12, 0)
    assert summary.table["group"].tolist() == ["a", "a"]
    assert summary.table["rank"].tolist() == [1.5, 1.5]


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_scores_that_never_vary_are_no_evidence_of_equivalence(level: float) -> None:
    flat = Sample((Side(np.full((2, 3), level), tuple(np.full((2, 2), level) for _ in range(3))),))
    tasks = ("t0", "t1", "t2")
    line = row(summarise(Scores({"ours": flat, "base": flat}, tasks), baseline="base"), "ours")
    assert (line["outcome"], line["suite_outcome"], line["within_margin"]) == ("undecided", "undecided", False)
    assert (line["delta"], line["suite_delta"], line["p"], line["p_seed"]) == (0.0, 0.0, 1.0, 1.0)
    absent = ("delta_low", "delta_high", "mde", "equivalence", "suite_low", "suite_mde", "suite_equivalence")
    assert all(np.isnan(line[name]) for name in absent)


def test_seed_noise_of_other_methods_makes_no_equivalence_of_scores_that_never_vary() -> None:
    others = {f"other{i}": noisy(i, 0.0, seeds=3, tasks=12) for i in range(3)}
    summary = summarise(scored(ours=np.zeros((3, 12)), base=np.zeros((3, 12)), **others), baseline="base")
    assert row(summary, "ours")["pooling"] == "methods"
    assert row(summary, "ours")["outcome"] == "undecided"


def test_a_method_that_is_the_baseline_is_not_shown_to_be_equivalent_without_noise() -> None:
    base = np.tile(noisy(3, 0.0, seeds=1), (2, 1))
    line = row(summarise(scored(copy=base, base=base.copy()), baseline="base"), "copy")
    assert (line["outcome"], line["delta"], line["p_seed"]) == ("undecided", 0.0, 1.0)
    assert np.isnan(line["mde"])


def test_a_difference_of_one_size_everywhere_is_better_by_its_tests_and_has_no_interval() -> None:
    line = row(summarise(scored(ours=np.ones((2, 12)), base=np.zeros((2, 12))), baseline="base"), "ours")
    assert line["outcome"] == "better"
    assert np.isnan(line["delta_low"])


def test_one_task_has_means_but_no_interval_and_no_verdict() -> None:
    frame = scored(a=np.array([[0.9], [0.8]]), b=np.array([[0.2], [0.1]]), c=np.array([[0.5], [0.4]]))
    summary = summarise(frame, baseline="b")
    assert summary.friedman is None
    assert summary.table["mean"].tolist() == pytest.approx([0.85, 0.45, 0.15])
    assert summary.table[["ci_low", "delta_low", "p_seed"]].isna().all(axis=None)
    assert not summary.table["significant"].any()
    assert summary.table["mde"].isna().all()


def test_two_methods_have_no_friedman_test() -> None:
    assert summarise(scored(a=noisy(0, 0.1), b=noisy(1, 0.0)), baseline="b").friedman is None


def test_one_method_alone_is_a_table_of_one_row() -> None:
    table = summarise(scored(a=noisy(0, 0.1)), baseline="a").table
    assert table[["rank", "group"]].iloc[0].tolist() == [1.0, "a"]


# ------------------------------------------------------------------------------------------ notes


def test_the_footer_says_whose_seeds_the_noise_is_from(scores: Scores) -> None:
    notes = " ".join(summarise(scores, baseline="base").notes)
    assert "Seed noise pooled over the pair: ours, lora (ratio of variances up to" in notes
    assert "Seed noise of the method alone, the other is deterministic: untuned." in notes


def test_four_methods_of_one_recipe_are_named_as_a_pool() -> None:
    tables = {name: noisy(seed, 0.0) for seed, name in enumerate(("base", "a", "b", "c"))}
    summary = summarise(scored(**tables), baseline="base")
    assert set(summary.table["pooling"].dropna()) == {"methods"}
    assert any("pooled over a, b, base, c, which share recipe" in note for note in summary.notes)


def test_the_footer_names_tests_draws_and_family(scores: Scores) -> None:
    exact, many = summarise(scores, baseline="base"), scored(a=noisy(1, 0.1, tasks=40), b=noisy(2, 0.0, tasks=40))
    assert "all 4,096 sign patterns" in exact.notes[1]
    assert "Holm-adjusted over 3 comparisons" in exact.notes[1]
    monte_carlo = summarise(many, baseline="b", draws=999)
    assert "B = 999 sign patterns" in monte_carlo.notes[1]
    assert "over 1 comparison;" in monte_carlo.notes[1]


def test_the_footer_says_when_nothing_can_be_significant() -> None:
    frame = scored(a=noisy(1, 0.3, tasks=5), b=noisy(2, 0.0, tasks=5))
    summary = summarise(frame, baseline="b")
    assert row(summary, "a")["p"] == 2 / 2**5
    assert any("the smallest adjusted p is 0.062: no difference can be significant" in note for note in summary.notes)


# ------------------------------------------------------------------------------------- categories


def test_categories_show_where_a_method_is_better() -> None:
    base = np.random.default_rng(0).uniform(0.3, 0.6, (2, 12))
    effects = np.where(np.arange(12) < 8, 0.2, -0.1)
    categories = {f"t{task:02d}": "easy" if task < 8 else "hard" for task in range(11)}
    table = category_deltas(scored(ours=base + effects, base=base), baseline="base", categories=categories)
    assert table["category"].tolist() == ["easy", "hard"]
    assert table["delta"].tolist() == pytest.approx([0.2, -0.1])
    assert table["n_tasks"].tolist() == [8, 3]
    assert table["delta_low"].notna().tolist() == [True, False]  # three sources are too few for an interval


def test_categories_count_sources_not_tasks() -> None:
    one_source = {f"t{task:02d}": "atomic" for task in range(12)}
    frame = scored(sources=one_source, ours=noisy(1, 0.1), base=noisy(2, 0.0))
    table = category_deltas(frame, baseline="base", categories=dict.fromkeys(one_source, "csc"))
    assert table[["n_tasks", "n_sources"]].iloc[0].tolist() == [12, 1]
    assert np.isnan(table["delta_low"].iloc[0])


def test_no_category_is_an_empty_table() -> None:
    table = category_deltas(scored(ours=noisy(1, 0.1), base=noisy(2, 0.0)), baseline="base", categories={})
    assert len(table) == 0
    assert "delta" in table


# ----------------------------------------------------------------------------- stars and groups


def test_a_tuned_method_with_one_seed_never_earns_a_star() -> None:
    far = noisy(1, 0.3, seeds=1)
    for tables in ({"ours": far, "base": noisy(3, 0.0)}, {"ours": noisy(1, 0.3), "base": noisy(3, 0.0, seeds=1)}):
        summary = summarise(scored(**tables), baseline="base")
        line = row(summary, "ours")
        assert (line["significant"], line["outcome"]) == (False, "undecided")
        assert np.isnan(line["delta_low"])
        assert any("One seed, so no interval of differences and no star" in note for note in summary.notes)
    assert row(summarise(scored(("base",), ours=noisy(1, 0.3), base=noisy(3, 0.0, seeds=1)), baseline="base"), "ours")[
        "significant"
    ]


@settings(max_examples=30)
@given(st.integers(0, 10_000))
def test_groups_never_contradict_the_star(seed: int) -> None:
    tables = {name: noisy(seed + k, 0.012 * k, tasks=10) for k, name in enumerate(("base", "a", "b", "c", "d"))}
    table = summarise(scored(**tables), baseline="base").table.set_index("method")
    of_base = set(table.loc["base", "group"])
    for name in "abcd":
        assert bool(set(table.loc[name, "group"]) & of_base) != table.loc[name, "significant"]


def test_a_source_with_over_a_third_of_the_tasks_is_said_and_stars_nothing() -> None:
    sources = {f"t{task:02d}": "squad" for task in range(5)}
    tables = {"ours": noisy(1, 0.3), "base": noisy(3, 0.0)}
    assert row(summarise(scored(**tables), baseline="base"), "ours")["significant"]
    summary = summarise(scored(sources=sources, **tables), baseline="base")
    assert not row(summary, "ours")["significant"]
    assert any("42% of the tasks are of one source (squad)" in note for note in summary.notes)


def test_a_smaller_gap_is_better_and_is_decided_by_the_t_test_alone() -> None:
    seen, unseen = noisy(1, 0.2, tasks=10), noisy(2, 0.0, tasks=8)
    sides = {"ours": Side(unseen + 0.15 + np.random.default_rng(5).normal(0, 0.01, unseen.shape)), "base": Side(unseen)}
    scores = Scores({name: Sample((Side(seen), side)) for name, side in sides.items()}, (), (None, None))
    line = row(summarise(scores, baseline="base", higher_is_better=False, bounds=(-2.0, 2.0)), "ours")
    assert line["delta"] == pytest.approx(-0.15, abs=0.01)
    assert (line["outcome"], line["significant"]) == ("better", True)
    assert np.isnan(line["p"])


def test_parts_of_a_question_are_one_family_of_tests() -> None:
    parts = [scored(ours=noisy(seed, 0.03), lora=noisy(seed + 50, 0.0), base=noisy(seed + 90, 0.0)) for seed in (1, 2)]
    table = family(parts, baseline="base")
    assert table[["part", "method"]].values.tolist() == [[0, "ours"], [0, "lora"], [1, "ours"], [1, "lora"]]
    assert table["p_holm"].tolist() == pytest.approx(holm(table["p"]).tolist())
    assert table["p_seed_holm"].tolist() == pytest.approx(holm(table["p_seed"]).tolist())
    alone = summarise(parts[1], baseline="base")
    assert table.loc[2, "delta_low"] == row(alone, "ours")["delta_low"]
