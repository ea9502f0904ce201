"""Parameters of methods in models, counted without the weights."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from snibench.base.errors import ModelError, UsageError
from snibench.base.registry import METHODS
from snibench.cli import cli
from snibench.contracts import Method
from snibench.fits import attached as module
from snibench.fits.attached import attached
from snibench.methods.lora import Lora
from snibench.plan.on_model import OnModel, on_model
from snibench.plan.options import request_from

# A folder must be named for it.
BUILT_IN = [
    entry.name
    for entry in METHODS.entries()
    if entry.distribution == "snibench" and entry.name != "adapter" and issubclass(entry.load(), Method)
]


def found(name: str, model: str = "tiny") -> OnModel:
    return on_model(request_from([name], {"model": model}))


def lora_size(folder: Path, rank: int) -> int:
    """LoRA's parameters by hand: ``r (inputs + outputs)`` of every linear layer of the blocks."""
    from snibench.models.headers import read_headers

    shapes = read_headers(folder).shapes
    return sum(rank * sum(shape) for name, shape in shapes.items() if name.endswith("proj.weight"))


def test_lora_is_counted_as_by_hand(llama_folder: Path) -> None:
    parts = attached(found("lora(r=4)", str(llama_folder)))
    assert parts.trainable == lora_size(llama_folder, 4) > 0
    assert parts.adapted == parts.adaptable
    assert parts.elsewhere == {}
    assert parts.of_tasks == 0
    assert not parts.loaded


def test_groups_parameters_of_tasks_and_places_are_told_apart() -> None:
    plus = attached(found("lora-plus")).moved
    assert sorted(one.group.scale for one in plus) == [1.0, 16.0]
    assert sum(one.parameters for one in plus) == attached(found("lora")).trainable
    assert attached(found("mtl-lora")).of_tasks > 0
    prompt = attached(found("soft-prompt"))
    assert prompt.adapted == ()
    assert sum(prompt.elsewhere.values()) == prompt.trainable
    assert attached(found("untuned")).trainable == 0
    assert (attached(found("lora")).rule, attached(found("ours")).rule) == ("mean", "coordinated")


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_model_without_weights_gives_the_same_as_the_model(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    light = attached(found(name))
    assert not light.loaded
    monkeypatch.setattr(module, "skeleton", lambda *args, **options: None)
    whole = attached(found(name))
    assert whole.loaded
    assert (whole.trainable, whole.total, whole.of_tasks) == (light.trainable, light.total, light.of_tasks)
    assert (whole.adapted, whole.elsewhere, whole.moved) == (light.adapted, light.elsewhere, light.moved)


class LooksAtWeights(Lora):
    def attach(self, model, cards, encode, seed):
        if model.get_input_embeddings().weight.abs().sum() > 0:  # no answer without a weight
            return super().attach(model, cards, encode, seed)
        raise AssertionError


class Refuses(Lora):
    def attach(self, model, cards, encode, seed):
        raise UsageError("It goes into no model.")


def test_a_method_that_looks_at_weights_has_them() -> None:
    parts = attached(found(f"{__file__}:LooksAtWeights"))
    assert parts.loaded
    assert parts.trainable == attached(found("lora")).trainable


def test_a_method_that_cannot_be_attached_is_refused_in_a_sentence() -> None:
    with pytest.raises(ModelError, match=r"Refuses cannot be put into tiny: It goes into no model\."):
        attached(found(f"{__file__}:Refuses"))


def test_the_command_says_it_in_lines() -> None:
    environment = {"COLUMNS": "200", "NO_COLOR": "1"}
    shown = CliRunner().invoke(cli, ["show", "lora-plus", "--model", "tiny"], env=environment, catch_exceptions=False)
    lines = [" ".join(line.split()) for line in shown.output.splitlines()]
    assert "Trainable 76,800 parameters, 6.43 % of 1,194,112" in lines
    assert "Layers 28 linear layers: q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj (4 each)" in lines
    assert "Groups 28 tensors, 41,984 parameters: 16 x the rate = 0.0184" in lines
    assert "28 tensors, 34,816 parameters: 1 x the rate = 0.00115" in lines


def test_a_format_is_shown_as_the_models_own_template_has_it(llama_folder: Path, tmp_path: Path) -> None:
    import shutil

    folder = shutil.copytree(llama_folder, tmp_path / "chatty")
    template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{{ add_generation_prompt }}"
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    options = ["show", "chat", "--task", "mini902_farm_place", "--model", str(folder)]
    shown = CliRunner().invoke(cli, options, env={"COLUMNS": "200", "NO_COLOR": "1"}, catch_exceptions=False)
    assert shown.output.rstrip().endswith("True")
    assert "<user>" in shown.output
