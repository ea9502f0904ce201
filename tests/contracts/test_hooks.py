"""A hook under a wrong name is found."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from snibench.base.errors import PluginError
from snibench.base.registry import METHODS, RULES, SAMPLERS
from snibench.contracts import Floor, Method, Rule, Sampler
from snibench.contracts.hooks import check_hooks, further_names
from snibench.methods.base import BaseMethod
from snibench.samplers.deck import Deck


@pytest.mark.parametrize(
    ("name", "meant"),
    [("parameter_groups", "groups"), ("loss", "losses"), ("penalties", "penalty"), ("sampler_", "sampler")],
)
def test_a_name_that_is_close_to_a_hook_gets_a_suggestion(name, meant) -> None:
    made = type("Mine", (BaseMethod,), {name: lambda self: None})
    with pytest.raises(PluginError, match=f"Mine.{name} is no hook, so nothing calls it. Did you mean '{meant}'"):
        check_hooks(made, Method)
    check_hooks(type("Mine", (BaseMethod,), {f"_{name}": lambda self: None}), Method)


def test_names_unlike_all_hooks_are_a_class_s_own() -> None:
    check_hooks(type("Mine", (BaseMethod,), {"restart_every": 3, "losses": BaseMethod.losses}), Method)
    with pytest.raises(PluginError, match="Did you mean 'draw'"):
        check_hooks(type("Mine", (Deck,), {"draws": None}), Sampler)


@pytest.mark.parametrize(
    ("registry", "contract"), [(METHODS, Method), (RULES, Rule), (SAMPLERS, Sampler)], ids=lambda one: str(one)
)
def test_everything_that_is_registered_keeps_to_the_names(registry, contract) -> None:
    for name in registry.names():
        made = registry.get(name)
        if not issubclass(made, Floor):
            check_hooks(made, contract)


def test_public_names_beyond_the_hooks_are_listed() -> None:
    mine = type("Mine", (BaseMethod,), {"restart_every": 3, "_helper": 1, "losses": BaseMethod.losses})
    assert further_names(mine, Method) == ("restart_every",)
    assert further_names(type("Yours", (mine,), {}), Method) == ("restart_every",)
    assert further_names(BaseMethod, Method) == ()


@pytest.mark.parametrize(("registry", "contract"), [(METHODS, Method), (SAMPLERS, Sampler)], ids=lambda one: str(one))
def test_nothing_that_is_registered_has_further_names(registry, contract) -> None:
    for name in registry.names():
        if not issubclass(registry.get(name), Floor):
            assert further_names(registry.get(name), contract) == (), name
