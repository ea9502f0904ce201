"""The table of default learning rates."""

from __future__ import annotations

import json

import pytest

from snibench.base.registry import METHODS
from snibench.base.types import ModelInfo
from snibench.plan import learning_rates as rates
from snibench.plan.learning_rates import SearchedRate, searched_rate, start_rate, usual_rate

SIZES = [1e6, 135e6, 7e9]


def put(rows, monkeypatch, tmp_path):
    """Have ``rows`` as the table."""
    path = tmp_path / "rates.json"
    path.write_text(json.dumps(rows), "utf-8")
    monkeypatch.setattr(rates, "TABLE", path)


@pytest.fixture
def table(monkeypatch, tmp_path):
    rows = [
        {
            "below": 1e7,
            "adapters": 5e-3,
            "everything": 1e-3,
            "methods": {
                "adamw linear": {"ours": 7e-3, "full": 2e-3},
                "adamw constant": {"ours": 1e-3, "mtl-lora": 2e-3},
            },
        },
        {"below": None, "adapters": 1e-3, "everything": 1e-5, "methods": {"adamw linear": {"unified-prompt": 0.1}}},
    ]
    put(rows, monkeypatch, tmp_path)


@pytest.mark.parametrize(
    ("method", "parameters", "rate"),
    [
        ("lora", 1e6, None),
        ("ours", 1e6, 7e-3),
        ("ours", 1e8, None),
        ("full", 1e6, 2e-3),
        ("unified-prompt", 1e8, 0.1),
        ("lora", 1e8, 0.1),  # the same method by another name
        ("./mine.py:Mine", 1e8, None),
    ],
)
def test_a_searched_rate_is_that_of_method_and_size(table, method, parameters, rate) -> None:
    assert searched_rate(method, int(parameters), "adamw", "linear") == (rate and SearchedRate(rate, exact=True))


@pytest.mark.parametrize(
    ("method", "optimizer", "schedule", "found"),
    [
        ("ours", "adamw", "constant", SearchedRate(1e-3, exact=True)),
        ("mtl-lora", "adamw", "linear", SearchedRate(2e-3, exact=False)),
        ("ours", "adamw", "cosine", SearchedRate(1e-3, exact=False)),
        ("ours", "sgd", "linear", None),  # a rate of another optimizer is none
    ],
)
def test_a_rate_of_another_schedule_serves_and_is_said_to_be_one(table, method, optimizer, schedule, found) -> None:
    assert searched_rate(method, int(1e6), optimizer, schedule) == found


def test_what_was_not_searched_for_starts_as_far_from_its_rate_as_the_baseline_s_search_went(
    monkeypatch, tmp_path
) -> None:
    searched = {
        "adamw linear": {"lora": 9e-3},
        "adamw constant": {"lora": 4e-3, "mtl-lora": 1e-3},
        "sgd linear": {"mtl-lora": 1},
    }
    row = {"below": None, "adapters": 5e-3, "everything": 1e-3, "methods": searched}
    put([row], monkeypatch, tmp_path)
    assert start_rate(5e-3, 100, "adamw", "linear") == 9e-3  # an adapter's: where the baseline is
    assert start_rate(1e-3, 100, "adamw", "linear") == 1.8e-3
    assert start_rate(5e-3, 100, "adamw", "cosine") == 5e-3  # the baseline was not searched for
    assert start_rate(0.5, 100, "sgd", "linear") == 0.5
    assert searched_rate("mtl-lora", 100, "adamw", "linear") == SearchedRate(2.25e-3, exact=False)  # 9 / 4 times
    assert searched_rate("mtl-lora", 100, "adamw", "cosine") == SearchedRate(1e-3, exact=False)
    assert searched_rate("mtl-lora", 100, "sgd", "constant") == SearchedRate(1, exact=False)


@pytest.mark.parametrize("schedule", ["linear", "averaged", "cosine"])
def test_an_adapter_of_one_s_own_starts_at_the_baseline_s_rate_on_tiny(schedule, tmp_path) -> None:
    pytest.importorskip("torch")
    from snibench.base.types import Recipe, SuiteRequest
    from snibench.plan.plan import plan
    from snibench.plan.request import RunRequest

    path = tmp_path / "mine.py"
    path.write_text("from snibench.api import BaseMethod\n\n\nclass Mine(BaseMethod):\n    pass\n")
    made = plan(RunRequest((f"{path}:Mine",), SuiteRequest("mini"), "tiny", protocols=("gap",), seeds=(0,), limit=1,
                           recipe=Recipe(steps=1, schedule=schedule)))  # fmt: skip
    found = {fit.spec.label: fit.spec for fit in made.fits if fit.spec.recipe.steps}
    own, baseline = found.pop("Mine", None), found["unified-prompt"]
    own = own or next(spec for label, spec in found.items() if label != "unified-prompt")
    assert own.recipe.learning_rate == baseline.recipe.learning_rate
    assert not own.searched


def info(parameters: float) -> ModelInfo:
    return ModelInfo({}, {}, int(parameters))


@pytest.mark.parametrize("size", SIZES)
def test_every_method_has_a_rate_for_every_size(size) -> None:
    pytest.importorskip("torch")
    for name in METHODS.names():
        method = METHODS.get(name)
        if method.trains:
            rates = {name: method().base_rate(info(size), name) for name in ("adamw", "sgd", "muon")}
            assert 1e-6 <= rates["adamw"] == rates["muon"] < rates["sgd"] <= 1


def test_sgd_moves_a_million_adapter_parameters_as_far_as_adamw_does() -> None:
    for size in SIZES[1:]:
        adamw, sgd = (usual_rate(int(size), "adapters", name) for name in ("adamw", "sgd"))
        assert sgd * 10 / 1e6**0.5 == pytest.approx(adamw)


def test_larger_models_and_whole_models_have_lower_usual_rates() -> None:
    adapters = [usual_rate(int(size), "adapters") for size in SIZES]
    assert adapters == sorted(adapters, reverse=True)
    everything = [usual_rate(int(size), "everything") for size in SIZES]
    assert all(whole < adapter for whole, adapter in zip(everything, adapters, strict=True))


@pytest.mark.parametrize("size", SIZES)
def test_full_tuning_of_another_name_has_the_rate_of_full_tuning(size) -> None:
    pytest.importorskip("torch")
    from snibench.methods.full import Full
    from snibench.methods.lora import Lora

    class Mine(Full):
        """A plugin's."""

    assert Mine().base_rate(info(size), "adamw") == Full().base_rate(info(size), "adamw")
    assert Mine().base_rate(info(size), "adamw") < Lora().base_rate(info(size), "adamw")
