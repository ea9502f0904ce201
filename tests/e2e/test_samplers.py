"""A run whose tasks are drawn in another order than the one that methods share."""

from __future__ import annotations

import json
import shlex

import pytest

SHORT = shlex.split("--tasks 6 --steps 3 --per-step 3,2 --limit 1 --max-output 4 --conflict off --seeds 0")


def records(folder) -> dict[str, dict]:
    return {one["label"]: one for path in folder.glob("*/record.json") if (one := json.loads(path.read_text()))}


@pytest.mark.slow
def test_a_sampler_is_part_of_the_fit_and_its_rows_say_so(snibench, tmp_path) -> None:
    run = ["run", "-m", "lora", "--no-baseline", "--protocol", "gap", *SHORT, "-o", tmp_path]
    assert snibench(*run).code == 0
    done = snibench(*run, "--sampler", "temperature", "--set", "temperature=5")
    assert done.code == 0, done.err
    assert "lora@temperature(temperature=5.0)" in done.out
    found = records(tmp_path)
    assert set(found) == {"lora", "lora@temperature(temperature=5.0)"}
    assert found["lora"]["fit"] != found["lora@temperature(temperature=5.0)"]["fit"]
    assert not any("own order" in note for note in found["lora"]["notes"])
    assert any("own order: Temperature" in note for note in found["lora@temperature(temperature=5.0)"]["notes"])


def test_a_sampler_is_refused_where_a_protocol_weighs_tasks(snibench, tmp_path) -> None:
    run = ["run", "-m", "lora", "--no-baseline", *SHORT, "-o", tmp_path, "--sampler", "proportional", "--dry-run"]
    assert snibench(*run, "--protocol", "gap").code == 0
    refused = snibench(*run, "--protocol", "combos", "--combos", "train")
    assert refused.code == 2
    assert "lora@proportional draws tasks in an order of its own" in refused.err


def test_an_unknown_sampler_or_setting_gets_a_suggestion(snibench, tmp_path) -> None:
    wrong = snibench("run", "-m", "lora", "--sampler", "temprature", "-o", tmp_path)
    assert wrong.code == 2
    assert "Did you mean 'temperature'?" in wrong.err
    wrong = snibench("run", "-m", "lora", "--sampler", "temperature", "--set", "temperature=0", "-o", tmp_path)
    assert wrong.code == 2
    assert "temperature must be above 0" in wrong.err
    assert "temperature" in snibench("ls", "samplers").out
    assert "size" in snibench("show", "temperature").out
