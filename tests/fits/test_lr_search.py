"""The search for learning rates: an equal budget, seen training data alone, nothing done twice."""

from __future__ import annotations

import json
import math
import os
import signal
from dataclasses import replace

import pytest

from snibench.base.types import Instance, Recipe, Search, SuiteRequest, Trial
from snibench.cli import main
from snibench.engine.tuning import Interrupted, Trainer
from snibench.fits.context import FitProgress, Runtime
from snibench.fits.lr_search import SPAN, best_of, draw_rates, held_back, search_rates
from snibench.plan.plan import plan
from snibench.plan.request import RunRequest
from snibench.store import Store, load_results

RECIPE = Recipe(steps=3, tasks_per_step=2, instances_per_task=2, max_output=4)


class Forbidden(dict):
    """A mapping whose values may not be read, but for ``allowed`` keys."""

    def __init__(self, inner, allowed=()):
        super().__init__({key: value for key, value in inner.items() if key in allowed})

    def __missing__(self, key):
        raise AssertionError(f"{key} was read")


@pytest.fixture
def planned(llama_folder):
    """``planned("lora", ...)``: a plan of one seed on four seen tasks of the embedded suite."""

    def make(*methods):
        request = RunRequest(
            methods=methods,
            suite=SuiteRequest("mini", tasks=4),
            model=str(llama_folder),
            baseline=None,
            protocols=("gap",),
            seeds=(0,),
            recipe=RECIPE,
            limit=1,
        )
        return plan(request)

    return make


@pytest.fixture
def search(tmp_path):
    """``search(plan, count)``: the plan with rates, what was tried, and the labels of trials that were run."""

    def run(made, count, on_step=lambda progress, steps: None, **options):
        ran = []

        def watch(index, fit):
            ran.append(fit.spec.label)
            return FitProgress(on_step=on_step)

        runtime = Runtime(overwrite=options.pop("overwrite", "never"))
        found, searches = search_rates(made, count, Store(tmp_path / "runs"), runtime, watch, **options)
        return found, searches, ran

    return run


# ------------------------------------------------------------------------------------ rates and data


def test_rates_spread_around_the_default_and_a_longer_list_begins_with_the_shorter() -> None:
    rates = draw_rates(1e-3, 12)
    assert rates[0] == 1e-3
    assert rates[:5] == draw_rates(1e-3, 5)
    assert all(1e-3 / SPAN <= rate <= 1e-3 * SPAN for rate in rates)
    places = sorted(math.log(rate / 1e-3, SPAN) for rate in rates)
    assert max(b - a for a, b in zip([-1, *places], [*places, 1], strict=True)) < 0.35  # of 2
    assert draw_rates(5e-3, 12) == pytest.approx([5 * rate for rate in rates], rel=1e-2)  # the same factors


def test_held_back_instances_are_training_instances_that_trials_do_not_train_on() -> None:
    training = {
        f"task{size}": [Instance(f"{size}-{index}", "x", ("y",)) for index in range(size)] for size in (1, 4, 50, 500)
    }
    kept, held = held_back(training)
    assert {task: len(instances) for task, instances in held.items()} == {"task4": 1, "task50": 10, "task500": 16}
    for task, instances in training.items():
        assert sorted(one.id for one in [*kept[task], *held.get(task, ())]) == sorted(one.id for one in instances)
    assert held_back(training) == (kept, held)
    many = {f"task{index}": training["task50"] for index in range(756)}
    assert sum(map(len, held_back(many)[1].values())) == 2 * 756


# ------------------------------------------------------------------------------------------ the search


def test_unseen_tasks_and_evaluation_and_probe_instances_are_never_read(planned, search) -> None:
    made = planned("lora")
    suite = replace(
        made.suite,
        tasks=Forbidden(made.suite.tasks, made.suite.seen),
        evaluation=Forbidden(made.suite.evaluation),
        probe=Forbidden(made.suite.probe),
        context=Forbidden(made.suite.context),
        training=Forbidden(made.suite.training, made.suite.seen),
    )
    found, searches, ran = search(replace(made, suite=suite), 2)
    assert len(ran) == 2
    assert [trial.status for trial in searches[0].trials] == ["done", "done"]
    best = min(searches[0].trials, key=lambda trial: trial.loss)
    assert found.fits[0].spec.recipe.learning_rate == best.rate == searches[0].rate
    assert found.fits[0].spec.id != made.fits[0].spec.id or best.rate == searches[0].default
    assert f"learning rate {best.rate:g}, chosen from 2 trials" in found.fits[0].notes[0]


def test_every_method_has_the_same_budget(planned, search) -> None:
    found, searches, _ = search(planned("ours", "mtl-lora"), 2, steps=2)
    assert [one.label for one in searches] == ["ours", "mtl-lora"]
    budgets = [[(trial.steps, trial.seed) for trial in one.trials] for one in searches]
    assert budgets[0] == budgets[1]
    assert {steps for steps, _ in budgets[0]} == {2}
    tried = [[trial.rate / one.default for trial in one.trials] for one in searches]
    assert tried[0] == pytest.approx(tried[1], rel=0.01)  # rates have three digits
    assert all(fit.spec.recipe.steps == RECIPE.steps for fit in found.fits)


def test_equal_methods_share_their_trials(planned, search) -> None:
    made = planned("unified-prompt", "lora")
    _, searches, ran = search(made, 2)
    assert len(searches) == 1
    assert len(ran) == 2


def test_the_same_search_again_tries_nothing_and_a_longer_one_only_what_is_new(planned, search, monkeypatch) -> None:
    made = planned("lora")
    first = search(made, 2)
    assert search(made, 3)[2] == [f"lora, learning rate {draw_rates(made.fits[0].spec.recipe.learning_rate, 3)[2]:g}"]
    again = search(made, 2)
    assert again[:2] == first[:2]
    assert again[2] == []
    assert len(search(made, 2, overwrite="always")[2]) == 2


def test_one_trial_is_the_default_and_costs_nothing(planned, search) -> None:
    made = planned("lora")
    found, searches, ran = search(made, 1)
    assert found == made
    assert ran == []
    assert searches[0].rate == searches[0].default


def test_a_trial_that_was_stopped_goes_on_from_its_checkpoint(planned, search) -> None:
    made = planned("lora")
    steps = []

    def stop(progress, total):
        steps.append(progress.step)
        if progress.step == 2:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted):
        search(made, 2, on_step=stop)
    _, searches, _ = search(made, 2, on_step=lambda progress, total: steps.append(progress.step))
    assert steps == [1, 2, 3, 1, 2, 3]  # the first trial's third step, not its first again
    whole = search(made, 2, overwrite="always")[1]
    assert [trial.loss for trial in whole[0].trials] == [trial.loss for trial in searches[0].trials]


def trial(rate, loss, status="done"):
    return Trial(rate, loss, 1.0, 3, 0, status)


@pytest.mark.parametrize(
    ("outcomes", "chosen"),
    [
        ({5e-3: 2.0}, 5e-3),
        ({5e-3: 2.0, 4e-2: 1.0}, 4e-2),
        ({5e-3: 1.0, 1e-3: 1.0}, 1e-3),  # the lower at a tie
        ({5e-3: 2.0, 4e-2: None}, 5e-3),
        ({5e-3: None, 4e-2: None}, None),  # the default
    ],
)
def test_the_lowest_loss_wins_and_what_diverged_never_does(outcomes, chosen) -> None:
    trials = [trial(rate, loss, "diverged" if loss is None else "done") for rate, loss in outcomes.items()]
    found = best_of("lora", 5e-3, trials)
    assert found.rate == (chosen or 5e-3)
    ended_well = any(loss is not None for loss in outcomes.values())
    assert ("none of 2 trials ended well" in found.note) is not ended_well


def test_a_method_that_fails_in_a_trial_stops_no_other(planned, search, monkeypatch) -> None:
    def fail(self, *arguments, **options):
        raise RuntimeError("no such kernel\nsecond line")

    monkeypatch.setattr(Trainer, "run", fail)
    found, searches, _ = search(planned("lora"), 2)
    assert [one.cause for one in searches[0].trials] == ["RuntimeError: no such kernel"] * 2
    assert found.fits[0].spec.recipe.learning_rate == searches[0].default


def test_the_edge_of_what_was_tried_is_told() -> None:
    trials = (trial(5e-3, 3.0), trial(1e-3, 2.0), trial(4e-2, 4.0))
    assert Search("lora", 5e-3, 1e-3, trials).note.endswith("at the edge of what was tried")
    assert "edge" not in Search("lora", 5e-3, 5e-3, trials).note


# --------------------------------------------------------------------------------------- the command


def command(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


@pytest.mark.slow
def test_the_record_and_the_report_say_how_the_rate_was_chosen(llama_folder, tmp_path, capsys) -> None:
    small = ["--tasks", "4", "--steps", "2", "--per-step", "2,2", "--seeds", "0,1", "--limit", "1", "--max-output", "4"]
    run = ["run", "-m", "lora", "--model", llama_folder, *small, "--protocol", "gap", "--no-baseline", "-o", tmp_path]
    assert command(*run, "--tune-budget", "2", "--conflict", "off") == 0
    results = load_results(tmp_path)
    rates = {spec.recipe.learning_rate for spec in results.specs}
    assert len(rates) == 1
    sentence = f"learning rate {rates.pop():g}, chosen from 2 trials"
    assert all(record.notes[-1].startswith(sentence) for record in results.records)
    stored = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file() and path.suffix}
    capsys.readouterr()
    assert command("report", tmp_path, "--all") == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert sentence in shown
    assert "Learning rates" in shown
    assert command("report", tmp_path, "--as", "json") == 0
    trials = json.loads(capsys.readouterr().out)["tables"]["trials"]["rows"]
    assert len(trials) == 2
    assert command(*run, "--tune-budget", "2", "--conflict", "off") == 0
    kept = {path: path.stat().st_mtime_ns for path in stored if path.name != "manifest.json"}
    assert kept == {path: stored[path] for path in kept}


def test_a_rate_that_is_given_is_not_searched_for(tmp_path, capsys) -> None:
    assert command("run", "-m", "lora", "--tune-budget", "2", "--learning-rate", "1e-3", "-o", tmp_path) == 2
    assert "Name one of them" in capsys.readouterr().err
