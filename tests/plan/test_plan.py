"""From protocols to fits and question sets; nothing is fitted here."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from snibench.base.errors import UsageError
from snibench.base.registry import FORMATS
from snibench.base.types import Recipe, SuiteRequest
from snibench.fits.context import FitProgress, Runtime
from snibench.fits.trainers import attach, load, trainer_of
from snibench.formats.base import with_shots
from snibench.formats.catalogue import InstructionExample, Json
from snibench.plan.options import request_from
from snibench.plan.plan import Plan, plan
from snibench.plan.request import RunRequest
from snibench.testing.expectations import recognisable_card

QUICK_RECIPE = Recipe(steps=90)
HALVES = """
from snibench.contracts import Format, Protocol
from snibench.formats.catalogue import Definition
from snibench.protocols.choice import held_out_questions
from snibench.base.types import Ask, Mixture


class Halves(Protocol):
    version = 1

    def plan(self, suite, limit):
        half = len(suite.seen) // 2
        for side in (suite.seen[:half], suite.seen[half:]):
            questions = held_out_questions(suite, "halves", suite.seen[0], "definition", 2, limit)
            yield Ask(Mixture(side), tuple(questions + held_out_questions(suite, "halves", side[-1], FORMAT, 1, limit)))

    def measure(self, answers, tasks):
        return {}


class Plain(Definition):
    def notes(self, tasks):
        return [f"Plain is plain for {len(tasks)} tasks."]


FORMAT = f"{__file__}:Plain"
"""


@pytest.fixture
def made(tmp_path: Path) -> Plan:
    file = tmp_path / "halves.py"
    file.write_text(HALVES, encoding="utf-8")
    return plan(
        RunRequest(
            methods=("untuned", "lora"),
            suite=SuiteRequest("mini", tasks=8),
            model="tiny",
            baseline=None,
            protocols=(f"{file}:Halves",),
            seeds=(0, 1),
            recipe=Recipe(steps=1),
        )
    )


def test_every_fit_answers_its_own_ask_and_what_is_not_tuned_answers_all(made: Plan) -> None:
    sizes = [(fit.spec.label, fit.spec.seed, [len(part.rendered) for part in fit.questions]) for fit in made.fits]
    assert sizes == [
        ("untuned", 0, [4]),  # one question is in both asks
        ("lora", 0, [3]),
        ("lora", 1, [3]),
        ("lora", 0, [3]),
        ("lora", 1, [3]),
    ]
    by_mixture = {fit.spec.mixture: fit.questions[0].digest for fit in made.fits}
    assert len(set(by_mixture.values())) == len(by_mixture) == 3
    untuned = {one.prompt_sha for one in made.fits[0].questions[0].rendered}
    assert untuned == {one.prompt_sha for fit in made.fits[1:] for one in fit.questions[0].rendered}


def test_a_format_may_say_what_it_shows_otherwise(made: Plan) -> None:
    assert f"Plain is plain for {len(made.suite.tasks)} tasks." in made.notes


def planned(**changes: Any) -> Plan:
    request: dict[str, Any] = {
        "methods": ("ours",),
        "suite": SuiteRequest("mini", tasks=8),
        "model": "tiny",
        "protocols": ("gap",),
        "seeds": (0,),
        "recipe": Recipe(steps=1),
        "limit": 1,
    }
    return plan(RunRequest(**{**request, **changes}))


def test_the_untuned_model_the_floors_and_the_baseline_stand_beside_a_method() -> None:
    made = planned()
    assert [fit.spec.label for fit in made.fits] == ["untuned", "copy-input", "majority", "unified-prompt", "ours"]
    assert [fit.spec.label for fit in made.fits if fit.spec.floor] == ["copy-input", "majority"]
    assert [fit.spec.label for fit in planned(baseline=None).fits] == ["ours"]


def test_a_floor_cannot_be_the_baseline() -> None:
    with pytest.raises(UsageError, match="'majority' is a floor and takes no part in tests"):
        planned(baseline="majority")


def test_lora_with_the_baselines_settings_is_the_baselines_fit() -> None:
    made = planned(methods=("lora", "ours"))
    assert [fit.spec.label for fit in made.fits if not fit.spec.floor] == ["untuned", "unified-prompt", "ours"]
    assert made.aliases == ("lora is unified-prompt: tuned once, shown under that name.",)
    assert made.aliases[0] in made.notes
    (alone,) = planned(methods=("lora",), baseline=None).fits
    assert alone.spec.id in {fit.spec.id for fit in made.fits}
    assert alone.spec.label == "lora"


@pytest.mark.parametrize(
    "changes",
    [{"settings": {"r": "4"}}, {"rule": "pcgrad"}, {"settings": {"dropout": "0.1"}}],
    ids=["rank", "rule", "dropout"],
)
def test_lora_with_other_settings_is_a_fit_of_its_own(changes: dict[str, Any]) -> None:
    made = planned(methods=("lora",), **changes)
    assert len(made.fits) == 5
    assert not made.aliases


# ------------------------------------------------------------------------------------ few-shot


def test_shots_put_positive_examples_into_the_prompts_of_that_method_alone() -> None:
    made = planned(methods=("untuned",), settings={"shots": "2"})
    zero, few = (next(f for f in made.fits if f.spec.label == label) for label in ("untuned", "untuned(shots=2)"))
    assert zero.questions[0].digest != few.questions[0].digest
    for plain, shown in zip(zero.questions[0].rendered, few.questions[0].rendered, strict=True):
        assert plain.question == shown.question
        card = made.suite.tasks[plain.question.task].card
        instance = next(i for i in made.suite.evaluation[card.name] if i.id == plain.question.instance)
        # `definition` with two examples is `instruction_example`, byte for byte.
        assert shown.prompt.text == InstructionExample().render(card, instance.input, Random(0)).text


@pytest.mark.parametrize("name", FORMATS.names())
def test_shots_are_droppable_examples_in_every_format(name: str) -> None:
    card, format = recognisable_card(), FORMATS.get(name)()
    prompt = format.render(card, "posin1", Random(0))
    shown = with_shots(prompt, format, card, "posin1", 2)
    solved = [f"Input: posin{k}\nOutput: posout{k}" for k in (0, 2)]  # never the asked one
    places = [at for at, one in enumerate(shown.segments) if one not in prompt.segments or one.text.strip() in solved]
    added = [shown.segments[at] for at in places[:2]]
    assert [one.text.strip() for one in added] == solved
    assert {one.role for one in added} == {"example"}
    assert places[1] < [one.role for one in shown.segments].index("input")
    assert tuple(one for at, one in enumerate(shown.segments) if at not in places[:2]) == prompt.segments


def test_shots_do_not_break_json() -> None:
    shown = with_shots(Json().render(recognisable_card(), "x", Random(0)), Json(), recognisable_card(), "x", 1).text
    assert json.loads(shown[shown.index("{") : shown.rindex("}") + 1])["input"] == "x"


# ------------------------------------------------------------------------------- methods with rules


def with_rules(*methods: str, **more: Any) -> Plan:
    return plan(
        RunRequest(methods, SuiteRequest("mini", tasks=4), "tiny", protocols=("gap",), seeds=(0,), limit=1, **more)
    )


def test_a_rule_may_follow_its_method_and_one_run_may_hold_several() -> None:
    made = with_rules("lora", "lora+cagrad", "ours+mgda", rule="pcgrad", baseline="unified-prompt")
    labels = [fit.spec.label for fit in made.fits if fit.spec.recipe.steps]
    assert labels == ["unified-prompt", "lora+pcgrad", "lora+cagrad", "ours+mgda"]
    assert made.baseline == "unified-prompt"
    alone = with_rules("lora", rule="cagrad", baseline=None).fits[0].spec
    assert alone.id in {fit.spec.id for fit in made.fits}
    assert with_rules("ours", baseline="lora+cagrad").baseline == "lora+cagrad"


def test_settings_reach_the_rule_that_has_them() -> None:
    settings = {"c": "0.5", "r": "4", "rule.alpha": "3"}
    made = with_rules("lora", "lora+cagrad", "lora+fairgrad", settings=settings, baseline=None)
    specs = {fit.spec.label: fit.spec for fit in made.fits}
    assert list(specs) == ["lora(r=4)", "lora(r=4)+cagrad(c=0.5)", "lora(r=4)+fairgrad(alpha=3.0)"]
    assert specs["lora(r=4)+cagrad(c=0.5)"].rule_settings == {"c": 0.5}
    assert specs["lora(r=4)+fairgrad(alpha=3.0)"].settings["alpha"] == 16  # of LoRA, whose own it is without "rule."
    assert len({spec.id for spec in specs.values()}) == 3


@pytest.mark.parametrize(
    ("method", "settings", "words"),
    [
        ("lora+cagrad", {"d": "1"}, "setting of lora, cagrad 'd'"),
        ("lora", {"c": "1"}, "setting of lora 'c'"),
        ("lora+cagrad", {"c": "-1"}, "cagrad: c must be at least 0"),
        ("lora+cagard", {}, "rule 'cagard'. Did you mean 'cagrad'"),
    ],
)
def test_a_setting_or_rule_that_is_not_there_is_told(method, settings, words) -> None:
    with pytest.raises(UsageError, match=words):
        with_rules(method, settings=settings, baseline=None)


def test_a_rule_is_tuned_with_the_settings_it_was_given(tmp_path: Path) -> None:
    made = with_rules("lora+cagrad", settings={"c": "0.25"}, baseline=None)
    spec, runtime, progress = made.fits[0].spec, Runtime(), FitProgress()
    context = attach(spec, made.suite, load(spec, made.model, runtime, progress), tmp_path, runtime, progress)
    assert trainer_of(context, made.suite.training).rule.settings.c == 0.25


def several(train_format: str, **changes: Any) -> RunRequest:
    request = request_from(["lora"], {"baseline": None, "tasks": 4, "limit": 1, "train_format": train_format})
    return replace(request, **changes)


def test_training_in_several_formats_leaves_three_that_are_compared_unseen() -> None:
    made = plan(several("definition, template"))
    (spec,) = {fit.spec.train_formats for fit in made.fits}
    assert spec == ("definition", "template")
    with pytest.raises(UsageError, match="leaves 2 of the 5 formats of 'formats' unseen, but 3 are needed"):
        plan(several("definition,template,abstract"))
    plan(several("definition,template,abstract", protocols=("gap",)))  # nothing is compared


def test_schedule_optimizer_and_formats_are_part_of_a_fit_s_id() -> None:
    first, *others = (
        plan(replace(several(formats), recipe=replace(QUICK_RECIPE, **recipe), seeds=(0,))).fits[0].spec.id
        for formats, recipe in (
            ("definition", {}),
            ("definition", {"schedule": "constant"}),
            ("definition", {"schedule": "averaged"}),
            ("definition", {"optimizer": "sgd"}),
            ("definition,template", {}),
        )
    )
    assert len({first, *others}) == 5


def test_a_rate_says_whether_it_was_searched_for_under_this_recipe() -> None:
    def searched(**recipe: Any) -> bool:
        return plan(several("definition", recipe=replace(QUICK_RECIPE, **recipe), seeds=(0,))).fits[0].spec.searched

    assert searched(schedule="constant")
    assert not searched(schedule="cosine")
    assert not searched(optimizer="sgd")
    assert not searched(schedule="constant", learning_rate=0.1)
