"""Methods that raise in whichever stage: a record with stage and cause, and every other method goes on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

pytest.importorskip("torch")

from safetensors.torch import load_file, save_file

from snibench.models.find import EMBEDDED
from snibench.store import Store, load_results

METHODS = '''
from pathlib import Path

import torch

from snibench.base.errors import ModelError
from snibench.contracts import Floor
from snibench.methods.lora import Lora


class Speechless(Exception):
    def __str__(self):
        raise RuntimeError("no words")


class Attaching(Lora):
    """Fails while it is attached."""

    def attach(self, *arguments, **named):
        raise ValueError("no such layer\\nsecond line")


class Unfit(Lora):
    """Says in a sentence why it cannot be attached."""

    def attach(self, *arguments, **named):
        raise ModelError("This model has no place for it. Take another.")


class Leaving(Lora):
    """Leaves the process."""

    def losses(self, model, batch):
        if model.training:
            raise SystemExit(3)
        return super().losses(model, batch)


class Silent(Lora):
    """Fails with an exception that cannot be printed."""

    def losses(self, model, batch):
        if model.training:
            raise Speechless
        return super().losses(model, batch)


class Diverging(Lora):
    """Its loss becomes NaN."""

    def losses(self, model, batch):
        return super().losses(model, batch) * (float("nan") if model.training else 1.0)


class Shapeless(Lora):
    """Its losses have another shape in training than when it is attached."""

    def losses(self, model, batch):
        losses = super().losses(model, batch)
        return losses[:, None] if model.training else losses


class Hungry(Lora):
    """Never has the memory for a step, however small."""

    def losses(self, model, batch):
        if model.training:
            raise torch.OutOfMemoryError("no memory at all")
        return super().losses(model, batch)


class Tuned(Lora):
    """Knows whether it has been tuned: what it is not when it is attached and checked."""

    tuned = False

    def losses(self, model, batch):
        self.tuned = self.tuned or model.training
        return super().losses(model, batch)


class Measuring(Tuned):
    """Fails outside of training mode, where the gradient conflict is measured."""

    def losses(self, model, batch):
        if self.tuned and not model.training:
            raise KeyError("only in training")
        return super().losses(model, batch)


class Answering(Tuned):
    """Fails while answering prompts of tasks as long as a file lies beside this one."""

    def for_prompts(self, model, cards, instructions):
        if self.tuned and any(instructions) and Path(__file__).with_name("broken").exists():
            raise AssertionError("no answer")
        return super().for_prompts(model, cards, instructions)


class Evaluating(Lora):
    """Fails outside of training mode, which is found out when it is attached."""

    def losses(self, model, batch):
        if not model.training:
            raise KeyError("only in training")
        return super().losses(model, batch)


class Overflowing(Tuned):
    """Answers with weights that are no longer numbers."""

    def for_prompts(self, model, cards, instructions):
        if self.tuned:
            next(p for p in model.parameters() if p.requires_grad).data.fill_(float("nan"))
        return super().for_prompts(model, cards, instructions)


class Guessing(Floor):
    """Answers what is no text."""

    def answer(self, card, input, pool):
        return None
'''
FAILING = {
    "Attaching": ("failed", "attach", "ValueError: no such layer"),
    "Unfit": ("failed", "attach", "This model has no place for it. Take another."),
    "Leaving": ("failed", "tune", "SystemExit: 3"),
    "Silent": ("failed", "tune", "Speechless"),
    "Diverging": ("diverged", "tune", "not finite"),
    "Shapeless": ("failed", "tune", "losses"),
    "Hungry": ("failed", "tune", "no memory at all"),
    "Measuring": ("failed", "measure", "KeyError: 'only in training'"),
    "Answering": ("failed", "answer", "AssertionError: no answer"),
    "Guessing": ("failed", "answer", ""),
}
NOT_NUMBERS_OR_NOT_EVALUATED = {
    "Evaluating": ("failed", "attach", "Evaluating in LlamaForCausalLM cannot be read ('only in training')."),
    "Overflowing": ("diverged", "answer", "the model's logits are not finite"),
}
OPTIONS = ["--no-baseline", "--protocol", "gap", "--seeds", "0"]


@pytest.fixture
def methods(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(METHODS, encoding="utf-8")
    (tmp_path / "broken").touch()
    return tmp_path / "mine.py"


@pytest.mark.slow
def test_whatever_a_method_raises_is_its_record_and_the_others_go_on(snibench, methods, tmp_path, measured) -> None:
    named = [word for name in FAILING for word in ("-m", f"{methods}:{name}")]
    command = ["run", *named, "-m", "lora", *OPTIONS, *measured, "--tasks", "4", "-o", tmp_path / "runs"]
    ended = snibench(*command)
    assert ended.code == 1, ended.err
    records = {_class_of(spec.label): record for spec, record in _fits(tmp_path / "runs")}
    assert records.pop("lora").status == "done"
    assert set(records) == set(FAILING)
    for name, (status, stage, cause) in FAILING.items():
        assert (records[name].status, records[name].stage) == (status, stage), name
        assert cause in records[name].cause, name
        assert name in ended.out, name
    assert records["Answering"].trainable_parameters > 0
    assert records["Answering"].seconds > 0
    log = tmp_path / "runs" / records["Silent"].fit / "error.log"
    assert "Traceback" in log.read_text(encoding="utf-8")
    assert str(log) in records["Silent"].cause

    again = snibench(*command)  # explains, and tries nothing
    assert (again.code, again.err) == (1, "")
    assert "no such layer" in again.out
    assert "--overwrite failed" in again.out


@pytest.mark.slow
def test_what_evaluation_mode_does_to_a_method_is_found_out(snibench, methods, tmp_path, small) -> None:
    named = [word for name in NOT_NUMBERS_OR_NOT_EVALUATED for word in ("-m", f"{methods}:{name}")]
    assert snibench("run", *named, *OPTIONS, *small, "-o", tmp_path / "runs").code == 1
    records = {_class_of(spec.label): record for spec, record in _fits(tmp_path / "runs")}
    assert set(records) == set(NOT_NUMBERS_OR_NOT_EVALUATED)
    for name, (status, stage, cause) in NOT_NUMBERS_OR_NOT_EVALUATED.items():
        assert (records[name].status, records[name].stage) == (status, stage), name
        assert cause in records[name].cause, name


@pytest.mark.slow
def test_answers_that_failed_are_tried_again_without_tuning_again(snibench, methods, tmp_path, small) -> None:
    command = ["run", "-m", f"{methods}:Answering", *OPTIONS, *small, "-o", tmp_path / "runs"]
    ended = snibench(*command)
    assert ended.code == 1
    assert ended.err.count("\n") == 1
    for words in ("Answering: AssertionError: no answer", "answer", "--overwrite failed"):
        assert words in ended.err
    (trace,) = (tmp_path / "runs").glob("*/trace.parquet")
    tuned = trace.stat().st_mtime_ns
    methods.with_name("broken").unlink()
    assert snibench(*command).code == 1  # kept as it was
    assert snibench(*command, "--overwrite", "failed").code == 0
    assert trace.stat().st_mtime_ns == tuned
    assert [record.status for record in load_results(tmp_path / "runs").records] == ["done"]


@pytest.mark.parametrize("hook", ["__init__", "unfit"])
def test_a_method_that_raises_before_there_is_a_fit_is_refused_by_its_name(hook, snibench, tmp_path) -> None:
    file = tmp_path / "mine.py"
    source = f"class Mine(Lora):\n    def {hook}(self, *_):\n        raise ValueError('not made')\n"
    file.write_text(f"from snibench.methods.lora import Lora\n{source}", encoding="utf-8")
    ended = snibench("run", "-m", f"{file}:Mine", "-m", "lora", *OPTIONS, "-o", tmp_path / "runs")
    assert ended.code == 2
    assert ended.err == (
        f"Error: The method '{file}:Mine' cannot be planned: ValueError: not made. Mend it, or leave it out.\n"
    )


def test_where_no_method_has_a_place_the_reason_is_what_is_printed(snibench, tmp_path) -> None:
    file = tmp_path / "mine.py"
    source = "class Mine(Lora):\n    def unfit(self, info):\n        return 'There is no layer for it.'\n"
    file.write_text(f"from snibench.methods.lora import Lora\n{source}", encoding="utf-8")
    ended = snibench("run", "-m", f"{file}:Mine", *OPTIONS, "--tasks", "2", "-o", tmp_path / "runs")
    assert ended.code == 1
    assert f"is done. {file}:Mine: There is no layer for it. To try again" in ended.err
    assert ended.err.count("\n") == 1


@pytest.mark.slow
def test_a_search_goes_on_with_the_next_method_where_one_cannot_be_attached(snibench, methods, tmp_path, small) -> None:
    budget = ["--tune-budget", "2", "--conflict", "off"]
    options = [*OPTIONS, *small, *budget, "--steps", "2", "-o", tmp_path / "runs"]
    assert snibench("run", "-m", f"{methods}:Unfit", "-m", "lora", *options).code == 1
    searches = {_class_of(search.label): search for search in load_results(tmp_path / "runs").manifest.searches}
    assert {trial.cause for trial in searches["Unfit"].trials} == {"This model has no place for it. Take another."}
    assert {trial.status for trial in searches["lora"].trials} == {"done"}


def test_weights_that_are_not_numbers_are_no_answers(snibench, tmp_path) -> None:
    model = tmp_path / "model"
    shutil.copytree(EMBEDDED["tiny"], model)
    for file in model.glob("*.safetensors"):
        tensors = load_file(file)
        tensors[max(tensors)][...] = float("nan")
        save_file(tensors, file, {"format": "pt"})
    shown = ["--tasks", "2", "--instances", "1", "--limit", "1", "--max-output", "2"]
    ended = snibench("run", "-m", "untuned", "--model", model, *OPTIONS, *shown, "-o", tmp_path / "runs")
    assert ended.code == 2
    assert f"The weights in '{model}' hold NaN or infinite values. Fetch or save them again." in ended.err
    assert ended.err.count("\n") == 1
    assert not list((tmp_path / "runs").glob("*/record.json"))


def _class_of(label: str) -> str:
    """``Mine`` of ``/a/folder/mine.py:Mine``; other labels as they are."""
    return label.rpartition(":")[2]


def _fits(folder: Path):
    store = Store(folder)
    fits = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["fits"]
    return [(store.spec(fit), store.record(fit)) for fit in fits]
