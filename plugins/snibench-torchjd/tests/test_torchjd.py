from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from importlib.util import find_spec

import pytest
import torch
import torchjd.aggregation as torchjd
from snibench_torchjd.base import drawing_from

from snibench.api import RULES, TaskGradients
from snibench.testing import check_rule

NAMES = sorted(entry.name for entry in entry_points(group="snibench.rules") if entry.name.startswith("torchjd-"))
AGGREGATORS = {
    "torchjd-aligned-mtl": torchjd.AlignedMTL,
    "torchjd-cagrad": lambda: torchjd.CAGrad(c=0.4),
    "torchjd-config": torchjd.ConFIG,
    "torchjd-dualproj": torchjd.DualProj,
    "torchjd-fairgrad": lambda: torchjd.FairGrad(alpha=2.0),
    "torchjd-gradvac": torchjd.GradVac,
    "torchjd-imtl-g": torchjd.IMTLG,
    "torchjd-krum": lambda: torchjd.Krum(n_byzantine=1),
    "torchjd-mean": torchjd.Mean,
    "torchjd-mgda": torchjd.MGDA,
    "torchjd-nash-mtl": lambda: torchjd.NashMTL(n_tasks=5),
    "torchjd-pcgrad": torchjd.PCGrad,
    "torchjd-random": torchjd.Random,
    "torchjd-sum": torchjd.Sum,
    "torchjd-upgrad": torchjd.UPGrad,
}


def maybe_missing(name):
    lacking = name == "torchjd-nash-mtl" and find_spec("ecos") is None
    return pytest.param(name, marks=pytest.mark.skipif(lacking, reason="the extra nash-mtl is not installed"))


every_rule = pytest.mark.parametrize("name", [maybe_missing(name) for name in NAMES])


def gradients_of(seed, count=5, size=12):
    """``[K, P]`` in some conflict, with a Gram matrix of mean diagonal 1, as TorchJD's floors suppose."""
    rows = torch.randn(count, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    rows -= 0.8 * rows.mean(dim=0)
    return rows / rows.square().sum(dim=1).mean().sqrt()


def step_of(rows, seed=0, tasks=None):
    return TaskGradients(
        tasks=tuple(tasks or (f"task{index}" for index in range(len(rows)))),
        gram=rows @ rows.T,
        losses=torch.ones(len(rows), dtype=torch.float64),
        generator=torch.Generator().manual_seed(seed),
    )


def torchjds_own(aggregator, rows, seed=0):
    with drawing_from(torch.Generator().manual_seed(seed)):
        return aggregator(rows)


def test_every_rule_has_an_aggregator_to_be_compared_with():
    assert set(NAMES) == set(AGGREGATORS)


@every_rule
@pytest.mark.filterwarnings("ignore::RuntimeWarning:cvxpy")
def test_the_rule_keeps_the_contract(name):
    check_rule(RULES.get(name))


@every_rule
@pytest.mark.filterwarnings("ignore:You are solving a parameterized problem that is not DPP")
@pytest.mark.parametrize(("seed", "scale"), [(0, 1.0), (1, 1.0), (2, 3.0)])
def test_the_update_is_torchjd_s_own(name, seed, scale):
    if name == "torchjd-nash-mtl":
        scale = 1.0  # where it stops depends on the size, so it always gets this one
    rows = scale * gradients_of(seed)
    update = RULES.get(name)().weights(step_of(rows)) @ rows
    assert update == pytest.approx(torchjds_own(AGGREGATORS[name](), rows), rel=1e-5, abs=1e-7)


@every_rule
def test_a_million_times_smaller_gradients_get_the_same_treatment(name):
    """TorchJD alone would see nothing but its floors: its CAGrad of these is 0."""
    rows = gradients_of(3)
    large, small = (RULES.get(name)().weights(step_of(scale * rows)) @ (scale * rows) for scale in (1.0, 1e-6))
    assert torch.nn.functional.cosine_similarity(large, small, dim=0) == pytest.approx(1, abs=1e-6)


def test_gradvac_keeps_its_targets_by_task_name():
    rows = [gradients_of(seed, count=3) for seed in range(3)]
    rule, own = RULES.get("torchjd-gradvac")(), torchjd.GradVac()
    for seed, step in enumerate(rows):
        # Other tasks in between must leave no trace.
        rule.weights(step_of(gradients_of(99, count=2), tasks=("other", "another")))
        update = rule.weights(step_of(step, seed)) @ step
        assert update == pytest.approx(torchjds_own(own, step, seed), abs=1e-9)


def test_the_caller_s_generator_is_left_as_it_was():
    before = torch.random.get_rng_state()
    RULES.get("torchjd-pcgrad")().weights(step_of(gradients_of(0)))
    assert torch.equal(before, torch.random.get_rng_state())


def test_the_update_of_config_has_equal_cosines_with_all_gradients():
    rows = gradients_of(4)
    update = RULES.get("torchjd-config")().weights(step_of(rows)) @ rows
    cosines = torch.nn.functional.cosine_similarity(rows, update[None], dim=1)
    assert cosines == pytest.approx(cosines.mean().expand(5))
    assert cosines.mean() > 0


def test_krum_drops_the_outlier_and_needs_four_tasks():
    rows = torch.tensor([[1.0, 0.0], [1.0, 0.1], [1.0, -0.1], [-9.0, 9.0]]).double()
    weights = RULES.get("torchjd-krum")().weights(step_of(rows))
    assert weights[3] == 0
    assert weights.sum() == 1
    assert RULES.get("torchjd-krum")().weights(step_of(rows[:3])).tolist() == pytest.approx([1 / 3] * 3)


def test_a_rule_runs_by_name(tmp_path):
    names = ["--method", "lora", "--rule", "torchjd-config", "--no-baseline"]
    small = ["--steps", "2", "--seeds", "0", "--limit", "1", "--protocol", "gap", "--conflict", "off"]
    subprocess.run([sys.executable, "-m", "snibench", "run", *names, *small, "-o", tmp_path / "runs"], check=True)
