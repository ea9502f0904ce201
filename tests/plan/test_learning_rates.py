"""The table of default learning rates."""

from __future__ import annotations

import pytest

from snibench.base.registry import METHODS
from snibench.plan import learning_rates as rates
from snibench.plan.learning_rates import default_learning_rate

SIZES = [1e6, 135e6, 7e9]


@pytest.fixture
def table(monkeypatch):
    rows = [
        {
            "below": 1e7,
            "adapters": 5e-3,
            "everything": 1e-3,
            "methods": {"ours": 7e-3, "full": 2e-3},
        },
        {"below": None, "adapters": 1e-3, "everything": 1e-5, "methods": {"unified-prompt": 0.1}},
    ]
    monkeypatch.setattr(rates, "_table", lambda: rows)


@pytest.mark.parametrize(
    ("method", "parameters", "rate"),
    [
        ("lora", 1e6, 5e-3),
        ("ours", 1e6, 7e-3),
        ("ours", 1e8, 1e-3),
        ("full", 1e6, 2e-3),
        ("full", 1e8, 1e-5),
        ("unified-prompt", 1e8, 0.1),
        ("lora", 1e8, 0.1),  # the same method by another name
        ("./mine.py:Mine", 1e8, 1e-3),
    ],
)
def test_a_searched_rate_counts_else_the_common_one_of_the_size(table, method, parameters, rate) -> None:
    assert default_learning_rate(method, int(parameters)) == rate


@pytest.mark.parametrize("size", SIZES)
def test_the_shipped_table_has_a_rate_for_every_method_and_size(size) -> None:
    for name in METHODS.names():
        assert 1e-6 <= default_learning_rate(name, int(size)) <= 1


def test_larger_models_and_whole_models_have_lower_common_rates() -> None:
    common = [default_learning_rate("./a.py:Plugin", int(size)) for size in SIZES]
    assert common == sorted(common, reverse=True)
    everything = [default_learning_rate("full", int(size)) for size in SIZES]
    assert all(whole < adapter for whole, adapter in zip(everything, common, strict=True))
