"""A fit that is planned again from what was stored of it is the same fit, whatever the defaults of now are."""

from __future__ import annotations

import json
from dataclasses import asdict
from types import SimpleNamespace
from typing import Any

import pytest

from snibench.base.types import Manifest, Recipe, SuiteRequest
from snibench.leaderboard.again import entry_request
from snibench.plan.plan import Plan, plan
from snibench.plan.request import RunRequest, request_again

SUITE = SuiteRequest("mini", tasks=4, instances=2)
METHOD = "lora(r=4)+gradvac(beta=0.2)@temperature(temperature=3.0)"


@pytest.fixture(scope="module")
def first() -> Plan:
    settings = {"gap.instances": 1, "combos.streams": 1}
    return plan(
        RunRequest((METHOD,), SUITE, "tiny", settings=settings, protocols=("gap", "combos"), recipe=Recipe(5), limit=1)
    )


def of_method(planned: Plan) -> tuple[set[str], dict[str, str]]:
    """Ids of the fits, and digests of their question sets, of the method that was asked for."""
    fits = [fit for fit in planned.fits if fit.spec.label == METHOD]
    return {fit.spec.id for fit in fits}, {part.protocol: part.digest for fit in fits for part in fit.questions}


def test_every_setting_of_method_rule_sampler_and_protocols_is_planned_again(first: Plan) -> None:
    spec = next(fit.spec for fit in first.fits if fit.spec.label == METHOD)
    named = spec.settings["r"], spec.rule_settings["beta"], spec.sampler_settings["temperature"]
    assert named == (4, 0.2, 3.0)
    again = request_again(
        spec.method,
        suite=spec.suite,
        model=spec.model.spec,
        rule=spec.rule,
        sampler=spec.sampler,
        settings=spec.settings,
        rule_settings=spec.rule_settings,
        sampler_settings=spec.sampler_settings,
        protocol_settings=json.loads(json.dumps(first.protocol_settings)),
        protocols=("gap", "combos"),
        train_format=spec.train_format,
        seeds=first.request.seeds,
        recipe=spec.recipe,
        limit=1,
        precision=spec.precision,
    )
    assert of_method(plan(again)) == of_method(first)


def test_an_entry_of_a_board_is_planned_with_its_rule_and_sampler(first: Plan) -> None:
    spec = next(fit.spec for fit in first.fits if fit.spec.label == METHOD)
    entry: dict[str, Any] = {
        "label": spec.label,
        "method": spec.method,
        "rule": spec.rule,
        "seeds": list(first.request.seeds),
        "budget": asdict(spec.recipe),
        "config": {
            "settings": spec.settings,
            "rule_settings": spec.rule_settings,
            "sampler": spec.sampler,
            "sampler_settings": spec.sampler_settings,
            "train_format": spec.train_format,
            "precision": spec.precision,
        },
    }
    suite = {key: value for key, value in asdict(SUITE).items() if key != "data"}
    board = {"model": {"name": "tiny"}, "suite": {"request": suite}, "protocols": {"gap": {}, "combos": {}}, "limit": 1}
    rows: Any = SimpleNamespace(manifest=Manifest(protocol_settings=first.protocol_settings))
    nothing: dict[str, Any] = dict.fromkeys(("seed", "data", "split", "tasks", "instances", "model"))
    assert of_method(plan(entry_request(entry, board, rows, **nothing))) == of_method(first)
