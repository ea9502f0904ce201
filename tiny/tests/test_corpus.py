"""The pre-training text of tiny: what it holds, and what of suite mini it must not hold."""

from itertools import pairwise
from random import Random

import pytest
from tiny_pretraining import corpus
from tiny_pretraining.asks import NAMED, composed
from tiny_pretraining.intents import MORE_INTENTS
from tiny_pretraining.prose import ASKED
from tiny_pretraining.wording import Row, question_of, weathered

from snibench.base.hashing import normalise_answer, normalise_input
from snibench.base.registry import FORMATS
from snibench.data.mini import tasks
from snibench.data.mini import words as w
from snibench.data.mini.grammar import FAMILIES, spoken
from snibench.data.mini.tasks import VIEWS

ROWS = 3000
N = 8


def ngrams(text: str) -> set[tuple[str, ...]]:
    words = normalise_input(text).split()
    return {tuple(words[i : i + N]) for i in range(len(words) - N + 1)}


def text_of(row: "Row") -> str:
    return row.prefix + "\n\n".join("".join(text for text, _ in branch) for branch in row.branches)


@pytest.fixture(scope="module")
def rows() -> "list[Row]":
    rng = Random("overlap")
    return [corpus.row(rng, rich=bool(number % 2), late=number % 4 == 1) for number in range(2 * ROWS)]


def test_no_eight_words_of_an_unseen_task_are_in_the_training_text_but_those_of_its_inputs(
    rows: "list[Row]",
) -> None:
    trained = set().union(*(ngrams(text_of(row)) for row in rows))
    assert len(trained) > 50_000
    unseen = [tasks()[view.name] for view in VIEWS if not view.seen]
    told = {
        view.name: ngrams(view.definition)
        | set().union(*(ngrams(e.explanation) for e in (*task.card.positive, *task.card.negative)))
        for view, task in zip((v for v in VIEWS if not v.seen), unseen, strict=True)
    }
    inputs = set().union(*(ngrams(instance.input) for task in unseen for instance in task.instances))
    assert {name: found for name, grams in told.items() if (found := grams & trained - inputs)} == {}


def test_no_definition_of_mini_is_a_definition_of_the_corpus() -> None:
    rng = Random("definitions")
    drawn = {normalise_input(corpus.lesson(rng, 1, rich=bool(n % 2)).definition) for n in range(4000)}
    assert not drawn & {normalise_input(view.definition) for view in VIEWS}


def test_lessons_never_use_a_domain_of_the_suite(monkeypatch: pytest.MonkeyPatch) -> None:
    used: dict[str, set[str]] = {}
    for name, family in FAMILIES.items():

        def spy(rng: Random, domain: str, name: str = name, draw=family.draw):
            used.setdefault(name, set()).add(domain)
            return draw(rng, domain)

        monkeypatch.setitem(corpus.FAMILIES, name, type(family)(spy, family.suite_domains, family.other_domains))
    rng = Random("domains")
    for _ in range(1500):
        corpus.lesson(rng, 3, rich=True)
        corpus.page(rng)
        corpus.page(rng, late=True)
    assert set(used) == set(FAMILIES)
    for name, domains in used.items():
        assert not domains & set(FAMILIES[name].suite_domains)


def test_the_same_generator_gives_the_same_rows() -> None:
    def draw() -> "list[Row]":
        rng = Random(5)
        return [corpus.row(rng, rich=True) for _ in range(50)]

    assert draw() == draw()


def test_every_lesson_has_questions_and_answers_among_its_labels() -> None:
    rng = Random(6)
    for _ in range(2000):
        lesson = corpus.lesson(rng, 4)
        assert 1 <= len(lesson.questions) <= 8, lesson.view
        assert all(answer for _, answer in lesson.questions)
        if lesson.labels:
            assert {answer for _, answer in lesson.questions} <= set(lesson.labels), lesson.view


def test_a_page_asks_different_things_of_one_text_and_answers_each() -> None:
    rng = Random(8)
    for _ in range(500):
        page = corpus.page(rng)
        questions = [branch[0][0] for branch in page.branches]
        assert len(set(questions)) == len(questions)
        assert all(branch[1][0].strip() for branch in page.branches)


def test_no_layout_of_the_corpus_is_a_format_of_snibench(rows: "list[Row]") -> None:
    """Whatever a format puts around definition and input, no page ends with its last line."""
    task = tasks()["mini103_hotel_pleased"]
    text = task.instances[0].input
    cues = set()
    for name in FORMATS.names():
        prompt = FORMATS.get(name)().render(task.card, text, Random(0)).text
        cues.add(prompt[prompt.rindex(text) + len(text) :] if text in prompt else prompt.splitlines()[-1])
    cues.discard("\n")  # the input alone
    assert {"\nOutput:", "\n\nAnswer:", "\n=>"} <= cues
    asked = [text for row in rows for branch in row.branches for text, answer in branch if not answer]
    assert [text for text in asked if any(text.endswith(cue) for cue in cues)] == []


def test_labels_of_a_lesson_are_told_by_its_definition() -> None:
    rng = Random(7)
    for number in range(4000):
        lesson = corpus.lesson(rng, 2, rich=bool(number % 2))
        known = f" {normalise_answer(lesson.definition)} "
        assert all(f" {normalise_answer(label)} " in known for label in lesson.labels), lesson.definition


def test_everything_that_can_be_asked_has_composed_wordings() -> None:
    asked = {(f.family, f.key) for f in corpus.FEATURES}
    assert asked == set(NAMED) == set(ASKED)
    rng = Random(9)
    for family, key in sorted(asked):
        assert len({composed(rng, family, key, closed=True) for _ in range(300)}) > 20, (family, key)


def test_statements_become_questions() -> None:
    assert question_of("the writer is pleased") == "Is the writer pleased?"
    assert question_of("the sentences differ in a point") == ""


def test_late_pages_hold_more_services(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "BORROWED", 0)
    known = {name for domain in w.INTENTS.values() for name in domain}
    more = {name for service in MORE_INTENTS.values() for name in service}
    assert len(more) == sum(map(len, MORE_INTENTS.values()))
    assert not more & known
    assert not set(MORE_INTENTS) & {d for f in FAMILIES.values() for d in (*f.suite_domains, *f.other_domains)}
    rng = Random(12)
    for intents in MORE_INTENTS.values():
        assert {spoken(rng, intents).meaning["intent"] for _ in range(200)} == set(intents)

    def services(late: bool) -> set[str]:
        drawn = (corpus.feature_lesson(rng, intent, 4, late=late) for _ in range(200))
        return {label for lesson in drawn for label in lesson.labels}

    (intent,) = (f for f in corpus.FEATURES if f.key == "intent")
    only = {label for i in MORE_INTENTS.values() for labels, *_ in i.values() for label in labels}
    only -= {label for domain in w.INTENTS.values() for labels, *_ in domain.values() for label in labels}
    assert len(only & services(late=True)) > 5
    assert not only & services(late=False)


def test_late_questions_for_yes_or_no_mostly_ask_whether_it_is_as_usual() -> None:
    (overall,) = (f for f in corpus.FEATURES if (f.family, f.key) == ("review", "overall"))

    def share(late: bool) -> float:
        rng = Random(13)
        drawn = (corpus.asked(rng, overall, "phone", late=late) for _ in range(3000))
        yes = [one for one in drawn if one.truth and one.labels[0].lower() == "yes"]
        assert len(yes) > 200
        return sum(one.label_of.get("positive") == one.labels[0] for one in yes) / len(yes)

    assert share(late=False) == pytest.approx(1 / 3, abs=0.1)
    assert share(late=True) == pytest.approx(0.8 + 0.2 / 3, abs=0.06)


def test_late_pages_ask_more_for_yes_or_no() -> None:
    def share(late: bool) -> float:
        rng = Random(11)
        drawn = [corpus.lesson(rng, 2, rich=True, late=late) for _ in range(3000)]
        closed = [{label.lower() for label in one.labels} for one in drawn if one.labels]
        return sum(labels in ({"yes", "no"}, {"true", "false"}) for labels in closed) / len(closed)

    assert share(late=True) > 1.3 * share(late=False)


def test_weathering_keeps_what_must_be_kept() -> None:
    rng = Random(10)
    text = "Read the review with care. Answer very good if the guest is happy, otherwise sad."
    worn = {weathered(rng, text, ("very good", "sad", "the guest is happy")) for _ in range(500)}
    assert len(worn) > 50
    kept = ["very", "good", "if", "guest", "is", "happy,", "otherwise", "sad."]
    for one in worn:
        assert [word for word in one.split() if word in kept] == kept, one


def test_the_first_branch_of_solved_examples_ends_at_an_answer(rows: "list[Row]") -> None:
    for row in rows:
        for branch in row.branches:
            flags = [answer for _, answer in branch]
            assert flags[-1]
            assert all(one != two for one, two in pairwise(flags))
