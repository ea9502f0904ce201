"""What stands behind -m: labels of tables are names, and settings reach whom they should."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snibench.base.errors import UsageError
from snibench.base.types import SuiteRequest
from snibench.plan.choices import Choices, method_choices
from snibench.plan.names import MethodName, parse_method
from snibench.plan.request import RunRequest, check_names


def chosen(*methods: str, **changes: Any) -> Choices:
    return method_choices(RunRequest(methods, SuiteRequest("mini"), "tiny", **changes))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ours", MethodName("ours")),
        ("ours(r=4, joint = false)", MethodName("ours", {"r": "4", "joint": "false"})),
        ("lora+pcgrad", MethodName("lora", rule="pcgrad")),
        ("lora(r=4)+gradvac(beta=0.1)", MethodName("lora", {"r": "4"}, "gradvac", {"beta": "0.1"})),
        ("./a+b/mine.py:Mine", MethodName("./a+b/mine.py:Mine")),
        ("./mine.py:Mine+pcgrad", MethodName("./mine.py:Mine", rule="pcgrad")),
        ("peft(target-modules=q,k,r=2)", MethodName("peft", {"target_modules": "q,k", "r": "2"})),
        ("ours()", MethodName("ours")),
        ("lora@pike", MethodName("lora", sampler="pike")),
        (
            "lora+cagrad(c=0.5)@temperature(t=2)",
            MethodName("lora", {}, "cagrad", {"c": "0.5"}, "temperature", {"t": "2"}),
        ),
        ("lora+./r.py:R@./s.py:S", MethodName("lora", rule="./r.py:R", sampler="./s.py:S")),
        ("./a+b/c@d/mine.py:Mine(r=2)+pcgrad", MethodName("./a+b/c@d/mine.py:Mine", {"r": "2"}, "pcgrad")),
    ],
)
def test_a_name_is_taken_apart(text: str, expected: MethodName) -> None:
    assert parse_method(text) == expected


@pytest.mark.parametrize("text", ["ours(r=4", "ours(r)", "(r=4)", "ours(r=4)(r=5)", "", "ours(=4)"])
def test_another_form_is_refused_in_words(text: str) -> None:
    with pytest.raises(UsageError, match=r"NAME\(key=value|key=value, but got"):
        parse_method(text)


@pytest.mark.parametrize(
    "text",
    [
        "ours(projection=false)",
        "ours(r=4,kappa=similarity)",
        "lora(dropout=0.1)+gradvac(per_layer=true)",
        "lora+pcgrad",
        "lora@temperature(temperature=3.0)",
        "lora+pcgrad@proportional",
    ],
)
def test_a_label_is_a_name_of_the_same_method(text: str) -> None:
    (first,) = chosen(text, baseline=None).methods
    (again,) = chosen(first.label, baseline=None).methods
    assert again == first
    assert first.label == text


words = st.text(st.characters(exclude_characters="()+=,/@", categories=("L", "N")), min_size=1)


@given(words, st.dictionaries(words, words, max_size=3), words)
def test_any_name_that_is_put_together_is_taken_apart_again(name: str, settings: dict[str, str], rule: str) -> None:
    pairs = ",".join(f"{key}={value}" for key, value in settings.items())
    assert parse_method(f"{name}({pairs})+{rule}") == MethodName(name, settings, rule)


def test_a_label_of_classes_of_files_is_a_name_of_the_same_method(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from dataclasses import dataclass\n"
        "from snibench.api import LoraSettings, BaseMethod\n\n"
        "@dataclass(frozen=True)\nclass MineSettings(LoraSettings):\n    power: float = 1.0\n\n"
        "class Mine(BaseMethod):\n    Settings = MineSettings\n",
        "utf-8",
    )
    rule = tmp_path / "rule.py"
    rule.write_text("from snibench.api import Rule\n\nclass Flat(Rule):\n    weights = None\n", "utf-8")
    (first,) = chosen(f"{file}(power=2.0)+{rule}", baseline=None).methods
    assert first.label == f"{file}:Mine(power=2.0)+{rule}:Flat"
    (again,) = chosen(first.label, baseline=None).methods
    assert again == first
    check_names(RunRequest((first.label,), SuiteRequest("mini"), "tiny"))


def test_several_variants_stand_side_by_side_in_one_run() -> None:
    found = chosen("ours", "ours(projection=false)", "ours(dynamic_weights=false)", "ours", baseline=None)
    assert [one.label for one in found.methods] == ["ours", "ours(projection=false)", "ours(dynamic_weights=false)"]


def test_set_leaves_the_baseline_and_says_so_and_set_all_reaches_it() -> None:
    alone = chosen("ours", settings={"r": "4"})
    assert [one.label for one in alone.methods][-2:] == ["unified-prompt", "ours(r=4)"]
    assert alone.notes == (
        "The baseline unified-prompt keeps r=8: --set reaches the methods asked for, --set-all both.",
    )
    both = chosen("ours", everywhere={"r": "4"})
    assert [one.label for one in both.methods][-2:] == ["unified-prompt(r=4)", "ours(r=4)"]
    assert both.baseline == "unified-prompt(r=4)"
    assert not both.notes
    own = chosen("ours(r=2)", everywhere={"r": "4"})
    assert own.methods[-1].label == "ours(r=2)"
    assert not chosen("ours", settings={"projection": "false"}).notes


def test_the_baseline_takes_settings_of_its_own() -> None:
    found = chosen("ours", baseline="unified-prompt(r=4)+pcgrad")
    assert found.baseline == "unified-prompt(r=4)+pcgrad"
    assert found.methods[-2].settings["r"] == 4


@pytest.mark.parametrize(
    ("method", "words"),
    [("ours(joint=false)", "needs joint=true"), ("ours(rr=4)", "Did you mean 'r'"), ("ours(r=x)", "whole number")],
)
def test_settings_that_cannot_be_fail_at_planning(method: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        chosen(method)


def test_a_typo_before_the_brackets_is_told_without_loading_anything() -> None:
    with pytest.raises(UsageError, match="Did you mean 'ours'"):
        check_names(RunRequest(("our(r=4)",), SuiteRequest("mini"), "tiny"))
    with pytest.raises(UsageError, match="Did you mean 'pcgrad'"):
        check_names(RunRequest(("lora+pcgard",), SuiteRequest("mini"), "tiny"))


def test_an_ablation_leaves_out_every_part_once() -> None:
    found = [one.label for one in chosen("ours", ablate=True, baseline=None).methods]
    assert found == [
        "ours",
        "ours(joint=false,similarity=false)",  # the regularizer is of the modulation
        "ours(similarity=false)",
        "ours(projection=false)",
        "ours(dynamic_weights=false)",
    ]
    less = [one.label for one in chosen("ours(projection=false)", ablate=True, baseline=None).methods]
    assert len(less) == 4
    assert all("projection=false" in label for label in less)
    with pytest.raises(UsageError, match="lora has none"):
        chosen("lora", ablate=True)


def test_a_label_of_a_file_below_the_current_folder_says_nothing_of_the_machine(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "own").mkdir()
    file = tmp_path / "own" / "mine.py"
    file.write_text("from snibench.api import BaseMethod\n\nclass Mine(BaseMethod):\n    pass\n", "utf-8")
    monkeypatch.chdir(tmp_path)
    for name in (file, "own/mine.py", "./own/mine.py:Mine"):
        (first,) = chosen(str(name), baseline=None).methods
        assert first.label == "./own/mine.py:Mine"
        assert chosen(first.label, baseline=None).methods[0].label == first.label
