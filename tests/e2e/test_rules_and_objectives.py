"""Rules, samplers and objectives by name, through the command."""

from __future__ import annotations

import json
import shlex

import pytest

SHORT = shlex.split("--tasks 6 --steps 3 --per-step 3,2 --limit 1 --max-output 4 --seeds 0 --protocol gap")
RULES = ["conicgrad", "sam-gs", "ortho-lora", "graddrop", "coba"]
METHODS = ["orpo", "reptile", "sam", "mtlora"]


def statuses(folder) -> dict[str, str]:
    return {
        one["label"]: one["status"] for path in folder.glob("*/record.json") if (one := json.loads(path.read_text()))
    }


@pytest.mark.slow
def test_every_one_is_tuned_measured_and_answered(snibench, tmp_path) -> None:
    names = [*(f"lora+{rule}" for rule in RULES), *METHODS]
    done = snibench("run", *(part for name in names for part in ("-m", name)), "--no-baseline", *SHORT, "-o", tmp_path)
    assert done.code == 0, done.err
    assert statuses(tmp_path) == dict.fromkeys(names, "done")


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["pike", "easy-to-hard"])
def test_a_sampler_that_looks_at_losses_or_gradients_serves_any_method(sampler, snibench, tmp_path) -> None:
    run = ["run", "-m", "lora", "-m", "lora+pcgrad", "--sampler", sampler, "--no-baseline", *SHORT, "-o", tmp_path]
    done = snibench(*run)
    assert done.code == 0, done.err
    assert set(statuses(tmp_path).values()) == {"done"}
    assert len(statuses(tmp_path)) == 2


@pytest.mark.slow
def test_halves_of_an_odd_number_of_instances_fail_in_a_sentence(snibench, tmp_path) -> None:
    run = ["run", "-m", "lora", "--sampler", "pike", "--no-baseline", *SHORT, "--per-step", "2,3", "-o", tmp_path]
    done = snibench(*run)
    assert done.code == 1
    assert "their number must be even, but is 3" in " ".join((done.out + done.err).split())
