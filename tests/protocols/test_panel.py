from __future__ import annotations

import numpy as np
import pandas as pd

from snibench.protocols.panel import above_chance, by_task, group_means, informative, panel, source_clusters


def rows(*cells: tuple[str, int, str, str, float]) -> pd.DataFrame:
    return pd.DataFrame(cells, columns=["method", "seed", "task", "instance", "score"])


def test_only_questions_that_every_fit_answered_are_kept() -> None:
    shared = panel(
        rows(
            ("a", 0, "t", "2", 0.0), ("a", 0, "t", "1", 1.0), ("a", 1, "t", "1", 0.5), ("a", 1, "t", "2", 0.25),
            ("b", 0, "t", "1", 0.0), ("b", 0, "t", "3", 1.0), ("b", 0, "t", "2", np.nan),
        ),
        questions=("task", "instance"),
    )  # fmt: skip
    assert shared.questions["instance"].tolist() == ["1"]
    np.testing.assert_array_equal(shared.values("score", method="a"), [[1.0], [0.5]])
    np.testing.assert_array_equal(shared.values("score", method="b"), [[0.0]])


def test_no_answers_give_an_empty_panel() -> None:
    shared = panel(rows(), questions=("task", "instance"))
    assert shared.methods == []
    assert len(shared.questions) == 0


def test_values_are_cut_and_averaged_by_task() -> None:
    tasks = pd.Series(["a", "a", "b"])
    values = np.array([[0.0, 1.0, 1.0], [1.0, 1.0, 0.0]])
    np.testing.assert_array_equal(group_means(values, tasks), [[0.5, 1.0], [1.0, 0.0]])
    assert [part.shape for part in by_task(values, tasks)] == [(2, 2), (2, 1)]


def test_tasks_that_share_a_source_even_indirectly_are_one_cluster() -> None:
    clusters = source_clusters(
        pd.DataFrame(
            {
                "task": ["one", "two", "three", "four", "five"],
                "sources": [["SQuAD 1.1"], np.array(["squad1.1", "other"]), ["Other"], [], ["missing"]],
            }
        )
    )
    assert clusters["one"] == clusters["two"] == clusters["three"]
    assert clusters.nunique() == 3


def test_chance_is_zero_and_perfection_one_after_normalising() -> None:
    np.testing.assert_allclose(above_chance(np.array([0.25, 1.0, 0.0]), np.array(0.25)), [0.0, 1.0, -1 / 3])


def test_tasks_whose_answer_is_nearly_given_are_not_informative() -> None:
    tasks = pd.DataFrame({"chance": [0.5, 0.5, 1.0, 0.0], "majority": [0.5, 0.9, 1.0, 0.1]})
    assert informative(tasks).tolist() == [True, False, False, True]
