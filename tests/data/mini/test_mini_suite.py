"""Suite mini keeps what its data card promises."""

import json
import os
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path
from random import Random

import pytest
from official import load_tasks

from snibench.base.errors import UsageError
from snibench.base.hashing import normalise_answer, normalise_input
from snibench.base.registry import SUITES
from snibench.base.types import SuiteData, SuiteRequest, Task
from snibench.data.mini import Mini, tasks
from snibench.data.mini.grammar import FAMILIES
from snibench.data.mini.tasks import VIEWS, View, build
from snibench.data.official_layout import export_suite
from snibench.data.task_faults import errors, warnings

OF_INTEREST = {
    "Sentiment Analysis",
    "Intent Identification",
    "Information Extraction",
    "Text Categorization",
    "Commonsense Classification",
    "Text Matching",
    "Textual Entailment",
    "Named Entity Recognition",
    "Question Answering",
    "Dialogue Act Recognition",
    "Grammar Error Correction",
    "Data to Text",
}
WHOLLY_UNSEEN = {
    "Cause Effect Classification",
    "Coreference Resolution",
    "Word Semantics",
    "Answerability Classification",
}


@pytest.fixture(scope="module")
def suite() -> SuiteData:
    return Mini().load(SuiteRequest("mini"))


@pytest.fixture(params=VIEWS, ids=lambda view: view.name)
def task(request: pytest.FixtureRequest) -> Task:
    return tasks()[request.param.name]


def categories(suite: SuiteData, names: tuple[str, ...]) -> set[str]:
    return {suite.tasks[name].card.category for name in names}


def test_it_is_installed_under_its_name() -> None:
    assert SUITES.get("mini") is Mini


def test_there_are_at_least_forty_tasks_in_twelve_categories(suite: SuiteData) -> None:
    assert len(suite.tasks) >= 40
    assert len(categories(suite, tuple(suite.tasks))) >= 12


def test_each_category_of_interest_has_seen_and_unseen_tasks(suite: SuiteData) -> None:
    assert categories(suite, suite.seen) >= OF_INTEREST
    assert categories(suite, suite.unseen) >= OF_INTEREST


def test_some_categories_are_wholly_unseen(suite: SuiteData) -> None:
    assert categories(suite, suite.unseen) - categories(suite, suite.seen) == WHOLLY_UNSEEN


def test_nothing_is_dropped_flagged_or_noted(suite: SuiteData) -> None:
    assert suite.notes == ()
    assert suite.flags == {}
    assert set(suite.seen) | set(suite.unseen) == {view.name for view in VIEWS}


def test_no_input_is_on_both_sides(suite: SuiteData) -> None:
    def inputs(names: tuple[str, ...]) -> set[str]:
        return {normalise_input(i.input) for name in names for i in suite.tasks[name].instances}

    assert not inputs(suite.seen) & inputs(suite.unseen)


def test_no_source_is_on_both_sides(suite: SuiteData) -> None:
    def sources(names: tuple[str, ...]) -> set[str]:
        return {source for name in names for source in suite.tasks[name].card.sources}

    assert not sources(suite.seen) & sources(suite.unseen)


def test_the_four_pairs_of_figure_four_have_tasks_on_both_sides(suite: SuiteData) -> None:
    assert [combo.name for combo in suite.combos] == [
        "Paraphrase + NLI",
        "Intent + Commonsense",
        "Classification + Slot Filling",
        "NER + Abstractive QA",
    ]
    for combo in suite.combos:
        for side in (combo.a, combo.b):
            assert set(side) & set(suite.seen), combo.name
            assert set(side) & set(suite.unseen), combo.name
        assert not set(combo.a) & set(combo.b)


def test_a_task_has_three_hundred_instances_and_no_input_twice(task: Task) -> None:
    inputs = [normalise_input(instance.input) for instance in task.instances]
    assert len(inputs) >= 300
    assert len(set(inputs)) == len(inputs)
    assert len({instance.id for instance in task.instances}) == len(inputs)


def test_a_task_has_explained_examples_that_are_not_among_its_instances(task: Task) -> None:
    card = task.card
    assert (len(card.positive), len(card.negative)) == (2, 1)
    inputs = {instance.input for instance in task.instances}
    for example in (*card.positive, *card.negative):
        assert example.explanation.strip()
        assert example.input not in inputs


def test_the_two_positive_examples_have_different_outputs(task: Task) -> None:
    first, second = task.card.positive
    assert first.output != second.output


def test_a_definition_has_twenty_to_sixty_words_and_names_its_few_labels(task: Task) -> None:
    definition = task.card.definition
    assert 20 <= len(definition.split()) <= 60
    if task.card.labels and len(task.card.labels) <= 4:
        known = normalise_answer(definition).split()
        assert [label for label in task.card.labels if normalise_answer(label) not in known] == []


def test_the_labels_of_a_task_are_balanced(task: Task) -> None:
    if task.card.labels and len(task.card.labels) <= 4:
        counts = Counter(instance.outputs[0] for instance in task.instances)
        assert min(counts.values()) > 0.9 * len(task.instances) / len(counts)


def test_inputs_are_short(task: Task) -> None:
    assert max(len(instance.input.split()) for instance in task.instances) <= 45


def test_the_negative_example_says_what_would_be_right(task: Task) -> None:
    (bad,) = task.card.negative
    assert bad.explanation.startswith("This is wrong, the output should be ")
    assert not bad.explanation.startswith(f"This is wrong, the output should be {bad.output}.")


def test_tasks_of_a_family_need_their_instruction() -> None:
    """Where a family has several closed tasks, no word is the label of the same meaning in all of them."""
    by_question: dict[tuple[str, str], list[View]] = defaultdict(list)
    for view in VIEWS:
        if view.labels:
            by_question[view.family, view.key].append(view)
    several = [views for views in by_question.values() if len(views) > 1]
    assert len(several) >= 8
    for views in several:
        assert len({tuple(sorted(view.labels.items())) for view in views if view.labels}) == len(views), views[0].name


def test_domains_of_the_suite_are_not_those_of_the_pretraining() -> None:
    for name, family in FAMILIES.items():
        assert not set(family.suite_domains) & set(family.other_domains), name
    assert {(view.family, view.domain) for view in VIEWS} <= {
        (name, domain) for name, family in FAMILIES.items() for domain in family.suite_domains
    }


def test_every_family_draws_in_all_its_domains() -> None:
    for family in FAMILIES.values():
        for domain in (*family.suite_domains, *family.other_domains):
            texts = {family.draw(Random(seed), domain).text for seed in range(20)}
            assert len(texts) > 5
            assert all(text == text.strip() and "{" not in text for text in texts)


def test_a_task_is_the_same_whenever_it_is_built() -> None:
    assert build(VIEWS[0]) == build(VIEWS[0])


def test_the_digest_does_not_depend_on_the_hash_seed(suite: SuiteData) -> None:
    code = (
        "from snibench.data.mini import Mini\nfrom snibench.base.types import SuiteRequest\n"
        "import sys\nsys.stdout.write(Mini().load(SuiteRequest('mini')).digest)"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "4711"}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert result.stdout == suite.digest


def test_written_in_the_official_layout_it_is_valid_and_reads_back_equal(suite: SuiteData, tmp_path: Path) -> None:
    export_suite(suite, tmp_path / "mini")
    files = sorted((tmp_path / "mini/tasks").glob("*.json"))
    raw = [json.loads(path.read_text("utf-8")) for path in files]
    assert [str(fault) for value in raw for fault in (*errors(value), *warnings(value))] == []
    assert load_tasks(tmp_path / "mini") == dict(suite.tasks)


@pytest.mark.parametrize("request_", [SuiteRequest("mini", data="folder"), SuiteRequest("mini", split="official")])
def test_it_takes_neither_a_folder_nor_a_split(request_: SuiteRequest) -> None:
    with pytest.raises(UsageError, match="Suite 'mini' is embedded"):
        Mini().load(request_)
