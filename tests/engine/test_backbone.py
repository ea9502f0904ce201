"""Finding, identifying and loading base models."""

from __future__ import annotations

import shutil

import pytest
import torch

from snibench.base.errors import ModelError
from snibench.engine.backbone import choose_device, choose_precision
from snibench.engine.loading import load_backbone
from snibench.models.find import EMBEDDED, find_model


def test_the_embedded_model_is_small_and_loads(tmp_path) -> None:
    source = find_model("tiny")
    backbone = load_backbone(source)
    assert source.info.parameters == sum(p.numel() for p in backbone.model.parameters()) <= 1_500_000
    assert not any(p.requires_grad for p in backbone.model.parameters())
    assert backbone.packs
    assert not backbone.encoder_decoder


def test_a_t5_shares_no_prefixes(t5) -> None:
    assert t5.encoder_decoder
    assert not t5.packs


def test_identity_follows_weights_and_tokenizer_not_place(llama_folder, tmp_path) -> None:
    here = find_model(str(llama_folder)).ref
    moved = shutil.copytree(llama_folder, tmp_path / "moved")
    there = find_model(str(moved)).ref
    assert (there.digest, there.tokenizer_digest) == (here.digest, here.tokenizer_digest)

    from safetensors.torch import load_file, save_file

    weights = load_file(moved / "model.safetensors")
    next(iter(weights.values())).view(-1)[0] += 1
    save_file(weights, moved / "model.safetensors", {"format": "pt"})
    changed = find_model(str(moved)).ref
    assert changed.digest != here.digest
    assert changed.tokenizer_digest == here.tokenizer_digest


def test_a_hub_id_is_taken_from_the_hubs_cache_when_there_is_no_network(llama_folder, tmp_path, monkeypatch) -> None:
    import huggingface_hub.constants as constants

    commit = "0" * 40
    repository = tmp_path / "models--somebody--llama"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit, encoding="utf-8")
    shutil.copytree(llama_folder, repository / "snapshots" / commit)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    found = find_model("somebody/llama")
    assert found.ref.digest == find_model(str(llama_folder)).ref.digest
    assert found.ref.spec == "somebody/llama"
    with pytest.raises(ModelError, match="no folder or file 'somebody/else'"):
        find_model("somebody/else")

    (repository / "refs" / "old").write_text("1" * 40, encoding="utf-8")
    shutil.copytree(EMBEDDED["tiny"], repository / "snapshots" / ("1" * 40))
    old = find_model("somebody/llama", revision="old")
    assert old.ref.digest == find_model("tiny").ref.digest
    assert old.ref.spec == "somebody/llama@old"
    with pytest.raises(ModelError, match="of that name at revision 'none'"):
        find_model("somebody/llama", revision="none")


@pytest.mark.parametrize("spec", ["tiny", "."])
def test_a_revision_is_of_a_hub_model_alone(spec) -> None:
    with pytest.raises(ModelError, match="--revision names a state of a hub model"):
        find_model(spec, revision="main")


def test_whatever_the_hub_raises_is_one_sentence(monkeypatch) -> None:
    import huggingface_hub

    def fail(*arguments, **options):
        raise RuntimeError("\n  the line is dead\nsecond line")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    with pytest.raises(ModelError, match=r"name \(the line is dead\)$"):
        find_model("somebody/else")


def test_only_a_device_that_is_there_is_chosen() -> None:
    assert choose_device("cpu") == "cpu"
    with pytest.raises(ModelError, match="Device 'nonsense'"):
        choose_device("nonsense")


def test_bfloat16_weights_load_as_asked(llama_folder) -> None:
    backbone = load_backbone(find_model(str(llama_folder)), precision="bfloat16")
    assert next(backbone.model.parameters()).dtype is torch.bfloat16


def test_the_embedded_model_is_part_of_the_package() -> None:
    assert {file.name for file in EMBEDDED["tiny"].iterdir()} >= {"config.json", "model.safetensors", "tokenizer.json"}


def test_the_embedded_model_is_read_in_float32_wherever_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    assert choose_precision("auto", "cpu", "tiny") == "float32"
    assert choose_precision("auto", "cpu", "owner/name") == "bfloat16"
    assert choose_precision("bfloat16", "cpu", "tiny") == "bfloat16"


def test_a_config_that_no_model_can_be_built_from_is_one_sentence(llama_folder, tmp_path) -> None:
    import json

    folder = shutil.copytree(llama_folder, tmp_path / "broken")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, "attention_bias": "no"}), encoding="utf-8")
    with pytest.raises(ModelError, match=r"cannot be loaded \(Validation error for field 'attention_bias': TypeError"):
        load_backbone(find_model(str(folder)))
