"""Models by their headers, and broken folders: one sentence each."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from snibench.base.errors import ModelError
from snibench.base.types import ModelInfo
from snibench.models.find import EMBEDDED
from snibench.models.headers import read_headers, weight_files


def write_weights(path: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    """A safetensors file of zeros, by its specification alone."""
    header, end = {}, 0
    for name, shape in shapes.items():
        size = 4
        for length in shape:
            size *= length
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(end))


def folder_of(path: Path, shapes: dict[str, tuple[int, ...]] | None = None, **config: Any) -> Path:
    path.mkdir(exist_ok=True)
    (path / "config.json").write_text(json.dumps({"architectures": ["AForCausalLM"], "model_type": "a", **config}))
    write_weights(path / "model.safetensors", shapes or {"w.weight": (2, 3)})
    return path


def info(shapes: dict[str, tuple[int, ...]] | None = None, **config: Any) -> ModelInfo:
    return ModelInfo(config, shapes or {}, 0)


def test_shapes_count_and_architecture_are_read_from_the_headers(tmp_path) -> None:
    found = read_headers(folder_of(tmp_path, {"a.weight": (2, 3), "b.bias": (5,), "c": ()}))
    assert found.shapes == {"a.weight": (2, 3), "b.bias": (5,), "c": ()}
    assert found.parameters == 6 + 5 + 1
    assert (found.architecture, found.model_type, found.encoder_decoder) == ("AForCausalLM", "a", False)


def test_the_embedded_model_has_computed_positions() -> None:
    found = read_headers(EMBEDDED["tiny"])
    assert found.architecture == "LlamaForCausalLM"
    assert found.learned_positions is None
    assert found.holds("q_proj", "k_proj")
    assert not found.holds("q_proj", "c_attn")


@pytest.mark.parametrize(
    ("shapes", "config", "limit"),
    [
        ({"transformer.wpe.weight": (64, 8)}, {"n_positions": 64, "model_type": "gpt2"}, 64),
        # OPT's table begins two places in.
        ({"model.decoder.embed_positions.weight": (66, 8)}, {"max_position_embeddings": 64}, 64),
        ({"model.embed_tokens.weight": (66, 8)}, {"max_position_embeddings": 64}, None),
        ({"model.embed_tokens.weight": (66, 8)}, {"n_positions": 64, "model_type": "gptj"}, 64),
        ({"wpe.weight": (48, 8)}, {}, 48),
    ],
)
def test_learned_positions_are_told_from_computed_ones(shapes, config, limit) -> None:
    assert info(shapes, **config).learned_positions == limit


def test_parts_of_several_are_read_by_their_text_config() -> None:
    found = info(text_config={"hidden_size_per_layer_input": 256})
    assert found.embeddings_per_layer
    assert not info(hidden_size=8).embeddings_per_layer


def test_a_t5_is_an_encoder_decoder_without_saying_so() -> None:
    assert info(model_type="t5").encoder_decoder
    assert not info(model_type="llama").encoder_decoder


def test_shards_are_those_that_the_index_names_and_no_others(tmp_path) -> None:
    folder = folder_of(tmp_path)
    (folder / "model.safetensors").unlink()
    for name in ("one", "two", "consolidated"):
        write_weights(folder / f"{name}.safetensors", {f"{name}.weight": (2, 2)})
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"one.weight": "one.safetensors", "two.weight": "two.safetensors"}}))
    assert [file.name for file in weight_files(folder)] == ["one.safetensors", "two.safetensors"]
    assert read_headers(folder).parameters == 8
    (folder / "two.safetensors").unlink()
    with pytest.raises(ModelError, match=r"names 'two\.safetensors', which is not there"):
        read_headers(folder)


def test_cut_off_weights_are_named(tmp_path) -> None:
    folder = folder_of(tmp_path, {"a.weight": (20, 30)})
    whole = (folder / "model.safetensors").read_bytes()
    for size in (0, 4, 50, len(whole) - 1):
        (folder / "model.safetensors").write_bytes(whole[:size])
        with pytest.raises(ModelError, match=r"model\.safetensors' is cut off or is not safetensors"):
            read_headers(folder)


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"hidden_size": None}, "has null as hidden_size, where a whole number"),
        ({"num_hidden_layers": "two"}, 'has "two" as num_hidden_layers'),
        ({"num_attention_heads": 0}, "has 0 as num_attention_heads"),
        ({"n_embd": True}, "has true as n_embd"),
        ({"rms_norm_eps": "x"}, 'has "x" as rms_norm_eps, where a number'),
        ({"text_config": {"vocab_size": None}}, r"has null as text_config\.vocab_size"),
    ],
)
def test_what_is_no_number_in_a_config_is_named(config, sentence, tmp_path) -> None:
    with pytest.raises(ModelError, match=sentence):
        read_headers(folder_of(tmp_path, **config))


@pytest.mark.parametrize(
    "config", [{"n_inner": None}, {"head_dim": None}, {"num_key_value_heads": None}, {"num_attention_heads": [4, 8]}]
)
def test_what_may_be_left_open_is_no_fault(config, tmp_path) -> None:
    assert read_headers(folder_of(tmp_path, **config)).parameters == 6


@pytest.mark.parametrize("text", ["{", "[]", "\udcff"])
def test_a_config_that_is_no_json_object_is_named(text, tmp_path) -> None:
    folder = folder_of(tmp_path)
    (folder / "config.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ModelError, match=r"config\.json' (cannot be read as JSON|holds no JSON object)"):
        read_headers(folder)
