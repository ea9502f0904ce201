from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snibench.base.errors import DataError, UsageError
from snibench.base.types import Combo, Instance, SuiteData, SuiteRequest, Task
from snibench.data.splits import balanced, build_suite

MakeTask = Callable[..., Task]


def build(
    seen: Sequence[Task],
    unseen: Sequence[Task],
    combos: Sequence[Combo] = (),
    *,
    drop: bool = True,
    held_out: int = 100,
    published: Sequence[str] = (),
    **request: Any,
) -> SuiteData:
    tasks = {task.name: task for task in (*seen, *unseen)}
    return build_suite(
        "test",
        tasks,
        [task.name for task in seen],
        [task.name for task in unseen],
        SuiteRequest("test", **request),
        combos=combos,
        drop_seen_on_source_overlap=drop,
        held_out=held_out,
        published_pools=published,
    )


def ids(instances: Sequence[Instance]) -> set[str]:
    return {instance.id for instance in instances}


@given(n=st.integers(2, 320), held_out=st.integers(1, 120), instances=st.none() | st.integers(1, 50))
def test_evaluation_probe_and_training_instances_never_overlap(n: int, held_out: int, instances: int | None) -> None:
    seen = Task(_card("a"), tuple(Instance(f"a-{i}", f"input {i}", (str(i % 3),)) for i in range(n)))
    unseen = Task(_card("b"), (Instance("b-0", "other", ("x",)),))
    suite = build([seen], [unseen], held_out=held_out, instances=instances)
    uses = [ids(suite.evaluation["a"]), ids(suite.probe["a"]), ids(suite.training["a"])]
    assert sum(map(len, uses)) == len(set.union(*uses))
    assert all(uses[i] for i in (0, 2))
    assert ids(suite.context["a"]) <= uses[2]


def _card(name: str) -> Any:
    from snibench.base.types import TaskCard

    return TaskCard(name, f"Do {name}.", (), (), "C", (), (name,), None, "rouge_l")


def test_a_large_task_holds_out_100_and_probes_32(make_task: MakeTask) -> None:
    suite = build([make_task("a", n=300)], [make_task("b", n=300)])
    assert [len(part["a"]) for part in (suite.evaluation, suite.probe, suite.training)] == [100, 32, 168]
    assert len(suite.evaluation["b"]) == 100
    assert len(suite.context["b"]) == 200


def test_a_task_under_200_holds_out_half(make_task: MakeTask) -> None:
    suite = build([make_task("a", n=120)], [make_task("b", n=300)])
    assert [len(part["a"]) for part in (suite.evaluation, suite.probe, suite.training)] == [60, 15, 45]
    assert any("fewer than 100" in note for note in suite.notes)
    assert any("fewer than 32" in note for note in suite.notes)


def test_the_training_set_does_not_depend_on_how_many_instances_are_evaluated(make_task: MakeTask) -> None:
    seen, unseen = [make_task("a", n=300)], [make_task("b", n=300)]
    few, all_ = build(seen, unseen, instances=10), build(seen, unseen)
    assert few.training == all_.training
    assert few.evaluation["b"] == all_.evaluation["b"][:10]
    assert few.digest != all_.digest


def test_held_out_labels_are_balanced_whatever_the_order_of_the_file(make_task: MakeTask) -> None:
    task = make_task("a", n=300)
    skewed = Task(task.card, tuple(sorted(task.instances, key=lambda instance: instance.outputs)))
    counts = Counter(instance.outputs[0] for instance in build([skewed], [make_task("b")]).evaluation["a"])
    assert counts == {"yes": 50, "no": 50}


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=60), st.integers(1, 60))
def test_the_round_robin_takes_as_many_of_each_label_as_there_are(labels: list[str], size: int) -> None:
    instances = [Instance(str(i), str(i), (label,)) for i, label in enumerate(labels)]
    drawn = balanced(instances, size)
    assert len(drawn) == min(size, len(instances)) == len(ids(drawn))
    left = Counter(labels)
    counts = Counter(instance.outputs[0] for instance in drawn)
    fullest = max(counts.values())
    assert all(counts[label] >= min(left[label], fullest - 1) for label in left)


def test_published_pools_are_the_head_of_the_file(make_task: MakeTask) -> None:
    unseen = make_task("b", n=300)
    suite = build([make_task("a")], [unseen], published=["b"])
    assert suite.evaluation["b"] == unseen.instances[:100]
    assert suite.context["b"] == unseen.instances[100:]


def test_an_unseen_task_without_spare_instances_has_its_examples_as_context(make_task: MakeTask) -> None:
    suite = build([make_task("a")], [make_task("b", n=60)])
    assert [(turn.id, turn.input, turn.outputs) for turn in suite.context["b"]] == [
        ("b-positive-1", "b example", ("yes",))
    ]


def test_a_seen_task_of_an_unseen_source_is_dropped_and_counted(make_task: MakeTask) -> None:
    seen = [make_task("a"), make_task("c", source="SST-2")]
    suite = build(seen, [make_task("b", source="other; sst 2")])
    assert suite.seen == ("a",)
    assert suite.flags == {}
    assert any("1 of 2 seen tasks" in note for note in suite.notes)


def test_the_published_split_keeps_shared_sources_and_flags_the_unseen_task(make_task: MakeTask) -> None:
    seen = [make_task("a", source="roc_stories"), make_task("c", source="atomic")]
    unseen = [
        make_task("b", source="rocstories"),
        make_task("d", source="defeasible_nli_atomic"),
        make_task("e", source="elsewhere"),
    ]
    suite = build(seen, unseen, drop=False)
    assert suite.seen == ("a", "c")
    assert suite.flags == {"b": ("source-leak", "alias-leak"), "d": ("alias-leak",)}
    assert any("2 of 3 unseen tasks" in note and "1 of them under another name" in note for note in suite.notes)


def test_sharing_no_source_at_all_is_no_leak(make_task: MakeTask) -> None:
    suite = build([make_task("a", source="synthetic")], [make_task("b", source="Synthetic")])
    assert suite.seen == ("a",)


def test_it_is_an_error_if_leakage_control_empties_the_seen_side(make_task: MakeTask) -> None:
    with pytest.raises(DataError, match="--allow-leak"):
        build([make_task("a", source="x")], [make_task("b", source="x")])


def test_allowed_leaks_keep_everything_and_mark_the_suite(make_task: MakeTask) -> None:
    seen = make_task("a", n=300, source="x", stem="same")
    suite = build([seen], [make_task("b", n=300, source="x", stem="same")], allow_leak=True)
    assert len(suite.training["a"]) == 168
    assert suite.flags == {"b": ("source-leak", "alias-leak")}
    assert any("--allow-leak" in note for note in suite.notes)
    evaluated = {instance.input for instance in suite.evaluation["b"]}
    assert not evaluated & {instance.input for instance in suite.context["a"]}


def test_training_inputs_of_unseen_questions_are_dropped_whatever_their_spelling(make_task: MakeTask) -> None:
    seen = make_task("a", n=300)
    leaked = tuple(Instance(f"a-leak-{i}", f"  B: {i}! ", ("yes",)) for i in range(40))
    suite = build([Task(seen.card, (*seen.instances, *leaked))], [make_task("b", n=40)])
    elsewhere = ids(suite.evaluation["a"]) | ids(suite.probe["a"])
    assert not ids(leaked) & ids(suite.training["a"])
    count = len(ids(leaked) - elsewhere)
    assert any(note.startswith(f"{count} training instances of 1 task ") for note in suite.notes)


def test_training_inputs_repeated_from_the_own_evaluation_are_dropped(make_task: MakeTask) -> None:
    seen = make_task("a", n=40)
    twice = (*seen.instances, *(Instance(f"again-{i.id}", i.input.upper(), i.outputs) for i in seen.instances))
    suite = build([Task(seen.card, twice)], [make_task("b")])
    evaluated = {i.input.lower() for i in (*suite.evaluation["a"], *suite.probe["a"])}
    assert suite.training["a"]
    assert not evaluated & {i.input.lower() for i in suite.training["a"]}


def test_inputs_of_symbols_alone_are_told_apart(make_task: MakeTask) -> None:
    seen = Task(make_task("a").card, tuple(Instance(f"a-{i}", "+" * (i + 1), ("x",)) for i in range(40)))
    suite = build([seen], [make_task("b")])
    assert len(suite.training["a"]) == 15


def test_a_choice_of_tasks_covers_combos_first_then_categories(make_task: MakeTask) -> None:
    seen = [make_task(f"s{i}", category=f"C{i % 6}") for i in range(24)]
    unseen = [make_task(f"u{i}", category=f"U{i % 3}") for i in range(12)]
    combos = [Combo("pair", ("s5", "s11"), ("u2", "u5"))]
    suite = build(seen, unseen, combos, tasks=6)
    assert len(suite.seen) == 6
    assert len(suite.unseen) == 4
    assert len({suite.tasks[name].card.category for name in suite.seen}) == 6
    assert len({suite.tasks[name].card.category for name in suite.unseen}) == 3
    assert len(suite.combos) == 1
    assert list(suite.seen) == [task.name for task in seen if task.name in suite.seen]


def test_more_tasks_contain_the_fewer(make_task: MakeTask) -> None:
    seen = [make_task(f"s{i}", category=f"C{i % 5}") for i in range(20)]
    unseen = [make_task(f"u{i}", category=f"U{i % 3}") for i in range(20)]
    smaller, larger = (build(seen, unseen, tasks=n) for n in (7, 12))
    assert set(smaller.seen) < set(larger.seen)
    assert set(smaller.unseen) < set(larger.unseen)
    assert len(larger.unseen) == 12


def test_the_seed_alone_decides_the_choice(make_task: MakeTask) -> None:
    seen = [make_task(f"s{i}") for i in range(20)]
    unseen = [make_task(f"u{i}") for i in range(8)]
    assert set(build(seen, unseen, tasks=5).seen) == set(build(seen[::-1], unseen, tasks=5).seen)
    assert build(seen, unseen, tasks=5).seen != build(seen, unseen, tasks=5, seed=1).seen


def test_categories_narrow_the_side_on_which_they_occur(make_task: MakeTask) -> None:
    seen = [make_task("a", category="X"), make_task("c", category="Y")]
    suite = build(seen, [make_task("b", category="Z")], categories=("X",))
    assert (suite.seen, suite.unseen) == (("a",), ("b",))
    assert any("No unseen task is in X" in note for note in suite.notes)


def test_an_unknown_category_gets_a_suggestion(make_task: MakeTask) -> None:
    with pytest.raises(UsageError, match="Did you mean 'Sentiment Analysis'"):
        build([make_task("a")], [make_task("b")], categories=("Sentiment Analisis",))


def test_combos_that_lose_a_side_are_noted(make_task: MakeTask) -> None:
    suite = build([make_task("a")], [make_task("b")], [Combo("good", ("a",), ("b", "z")), Combo("bad", ("z",), ("b",))])
    assert suite.combos == (Combo("good", ("a",), ("b",)),)
    assert any("bad" in note for note in suite.notes)


def test_the_digest_changes_with_any_question_and_with_nothing_else(make_task: MakeTask) -> None:
    seen, unseen = make_task("a", n=300), make_task("b")
    base = build([seen], [unseen])
    first = unseen.instances[0]
    changed = Task(unseen.card, (Instance(first.id, first.input, ("maybe",)), *unseen.instances[1:]))
    assert build([seen], [unseen]).digest == base.digest
    assert build([seen], [changed]).digest != base.digest
    assert build([seen], [unseen], allow_leak=True).digest == base.digest
    assert build([seen], [unseen], seed=1).digest != base.digest  # other probes


def test_a_task_on_both_sides_is_refused(make_task: MakeTask) -> None:
    task = make_task("a")
    with pytest.raises(DataError, match="both sides"):
        build([task], [task])


@pytest.mark.parametrize("request_", [{"tasks": 0}, {"instances": 0}])
def test_it_refuses_less_than_one(make_task: MakeTask, request_: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="at least 1"):
        build([make_task("a")], [make_task("b")], **request_)
