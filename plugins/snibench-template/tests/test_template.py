from __future__ import annotations

import subprocess
import sys

import torch
from snibench_template.executor import ShortestFirst
from snibench_template.format import Arrow
from snibench_template.method import AnchoredLora, AnchoredSettings
from snibench_template.metric import TokenF1
from snibench_template.protocol import Solved
from snibench_template.rule import InverseNorm
from snibench_template.sampler import Hardest
from snibench_template.suite import Words

from snibench.api import FORMATS, METHODS, SuiteRequest
from snibench.testing import (
    check_executor,
    check_format,
    check_method,
    check_metric,
    check_protocol,
    check_rule,
    check_sampler,
    check_suite,
)


def test_the_format_keeps_the_contract() -> None:
    check_format(Arrow())


def test_the_method_keeps_the_contract() -> None:
    check_method(AnchoredLora)


def test_the_protocol_keeps_the_contract() -> None:
    check_protocol(Solved)
    check_protocol(Solved, suite=Words().load(SuiteRequest("template-suite")))


def test_the_suite_keeps_the_contract() -> None:
    check_suite(Words, SuiteRequest("template-suite"))


def test_the_metric_keeps_the_contract() -> None:
    check_metric(TokenF1())
    assert TokenF1().score("a red coat", ["the red coat"]) == 2 / 3


def test_the_executor_keeps_the_contract() -> None:
    check_executor(ShortestFirst)


def test_the_rule_and_the_sampler_keep_the_contract() -> None:
    check_rule(InverseNorm)
    check_sampler(Hardest)


def test_the_rule_and_the_sampler_run_by_name(tmp_path) -> None:
    names = ["--method", "lora", "--rule", "template-rule", "--sampler", "template-sampler", "--no-baseline"]
    small = ["--steps", "2", "--seeds", "0", "--limit", "1", "--protocol", "gap", "--conflict", "off"]
    subprocess.run([sys.executable, "-m", "snibench", "run", *names, *small, "-o", tmp_path / "runs"], check=True)


def test_snibench_finds_both_by_name() -> None:
    assert METHODS.get("template-lora") is AnchoredLora
    assert FORMATS.get("template-format") is Arrow


def test_both_run_by_name(tmp_path) -> None:
    names = ["--method", "template-lora", "--formats", "definition,template-format", "--no-baseline"]
    small = ["--steps", "2", "--seeds", "0", "--limit", "1", "--protocol", "formats", "--conflict", "off"]
    subprocess.run([sys.executable, "-m", "snibench", "run", *names, *small, "-o", tmp_path / "runs"], check=True)


def test_the_pull_is_the_sum_of_squares_of_the_up_projections() -> None:
    model = torch.nn.Module()
    model.lora_A = torch.nn.Parameter(torch.ones(3))
    model.lora_B = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    pull = AnchoredLora(AnchoredSettings(anchor=0.5)).penalty(model, ["a"], [""])
    pull.backward()
    assert pull.item() == 2.5  # 0.5 * (1 + 4)
    assert model.lora_B.grad.tolist() == [1.0, -2.0]
    assert model.lora_A.grad is None
