import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from official import OFFICIAL, load_tasks, needs_official

from snibench.base.errors import UsageError
from snibench.base.types import Instance, TaskCard
from snibench.metrics import Scored, byte_pair_tokens, chance, exact_match, majority, metric, official_scores, rouge_l

WORDS = st.lists(st.sampled_from(["the", "cats", "cat", "running", "run", "Über", "a1", ".", "x-y"]), max_size=12)


def card(**fields: Any) -> TaskCard:
    values = {"labels": None, "metric": "rouge_l", **fields}
    return TaskCard("t", "Do.", (), (), "C", (), (), **values)


@pytest.mark.parametrize(
    ("prediction", "references", "expected"),
    [
        (" The CAT!", ["the cat"], 1.0),
        ("cat", ["the cat"], 0.0),  # articles stay, unlike SQuAD
        (".", [""], 1.0),
        ("no", ["yes", "No."], 1.0),
        ("not entailment", ["entailment"], 0.0),
    ],
)
def test_exact_match_follows_the_official_normalisation(
    prediction: str, references: list[str], expected: float
) -> None:
    assert exact_match(prediction, references) == expected


@pytest.mark.parametrize(
    ("prediction", "references", "expected"),
    [
        ("[]", ["[]"], 0.0),
        ("", ["a"], 0.0),
        ("the cats were running", ["the cat was run"], 0.75),
        ("b", ["a b c", "b"], 1.0),
    ],
)
def test_rouge_l_has_the_official_quirks(prediction: str, references: list[str], expected: float) -> None:
    assert rouge_l(prediction, references) == pytest.approx(expected)


@given(WORDS, WORDS)
def test_rouge_l_equals_the_library(prediction: list[str], reference: list[str]) -> None:
    from rouge_score.rouge_scorer import RougeScorer

    ours, theirs = " ".join(prediction), " ".join(reference)
    oracle = RougeScorer(["rougeL"], use_stemmer=True).score(target=theirs, prediction=ours)["rougeL"].fmeasure
    assert rouge_l(ours, [theirs]) == oracle


def test_an_answer_without_references_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        rouge_l("a", [])


def test_the_score_is_the_metric_of_the_task() -> None:
    assert metric("exact_match").score("the cat", ["the cat sat"]) == 0.0
    assert metric("rouge_l").score("the cat", ["the cat sat"]) == pytest.approx(0.8)
    with pytest.raises(UsageError, match=r"Unknown metric 'rogue_l'\. Did you mean 'rouge_l'"):
        metric("rogue_l")


def test_chance_depends_on_labels_then_metric() -> None:
    copied = [Instance("1", "a b", ("a b",)), Instance("2", "a b", ("c d",))]
    assert chance(card(labels=("a", "b", "c", "d"), metric="exact_match"), copied) == 0.25
    assert chance(card(metric="exact_match"), copied) == 0.0
    assert chance(card(), copied) == pytest.approx(0.5)
    assert chance(card()) == 0.0


def test_majority_is_the_share_of_the_most_frequent_first_reference() -> None:
    assert majority([Instance(str(i), "", (label,)) for i, label in enumerate(["Yes", "yes.", "no", "?"])]) == 0.5


def test_official_scores_weigh_instances_and_macro_scores_weigh_tasks() -> None:
    rows = [Scored("a", "Textual Entailment", 1.0, 1.0)] * 3 + [Scored("b", "Textual Entailment", 0.0, 0.5)]
    scores = official_scores(rows)
    assert scores["exact_match"] == scores["exact_match_for_textual_entailment"] == 75.0
    assert scores["macro_exact_match"] == 50.0
    assert scores["rougeL"] == 87.5
    assert scores["macro_rougeL"] == 75.0
    assert scores["rougeL_for_b"] == 50.0


def test_scoring_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing to score"):
        official_scores([])


@pytest.mark.slow
@needs_official
@pytest.mark.parametrize("heuristic", ["copy_demo", "copy_input"])
def test_the_official_evaluation_of_both_heuristics_is_reproduced_to_four_decimals(heuristic: str) -> None:
    expected = json.loads((OFFICIAL / "reference_scores.json").read_text())[heuristic]
    tasks = load_tasks(OFFICIAL, (OFFICIAL / "splits/available/test_tasks.txt").read_text().split())
    rows = [
        Scored(name, task.card.category, exact_match(answer, instance.outputs), rouge_l(answer, instance.outputs))
        for name, task in tasks.items()
        for instance in task.instances[:100]
        for answer in [task.card.positive[0].output if heuristic == "copy_demo" else instance.input]
    ]
    assert len(rows) == expected.pop("n_instances")
    assert len(tasks) == expected.pop("n_tasks")
    scores = official_scores(rows)
    assert {key: scores[key] for key in expected} == expected


def test_the_cross_lingual_track_counts_byte_level_tokens_without_their_blanks() -> None:
    """The words of other scripts are invisible to the default tokenizer, and not to this one."""

    class ByWord:
        def tokenize(self, text: str) -> list[str]:
            first, *rest = text.split(" ")
            return [first, *(f"\N{LATIN CAPITAL LETTER G WITH DOT ABOVE}{word}" for word in rest)]

    tokens = byte_pair_tokens(ByWord())
    assert rouge_l("да нет", ["да нет"]) == 0.0
    assert rouge_l("да нет", ["да нет"], tokens) == 1.0
    # "нет" stands first in one and second in the other: the blank in front must not make it another token.
    assert rouge_l("нет", ["да нет"], tokens) == pytest.approx(2 / 3)
    # No stemming, no lower case.
    assert rouge_l("Running", ["running"], tokens) == 0.0
