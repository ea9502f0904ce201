"""A base model found and identified from its spec: ``tiny``, a folder, a GGUF file, or a hub id.

Needs no torch, and loads no weights; a GGUF file is converted once. Weights are read from safetensors or GGUF only,
never from pickles.
"""

from __future__ import annotations

import os
import shutil
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from snibench.base.errors import MissingExtra, ModelError, first_line
from snibench.base.hashing import digest, file_digest
from snibench.base.types import ModelInfo, ModelRef
from snibench.models.headers import read_headers, read_object

EMBEDDED = {"tiny": Path(__file__).parent / "tiny"}
_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "spiece.model",
    "vocab.json",
    "merges.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
)
_HUB_PATTERNS = ["*.safetensors", "*.json", "*.model", "*.txt", "*.jinja"]
# Seconds after which nobody works on a conversion any more.
_ABANDONED = 86_400.0


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A base model on this machine: the folder transformers reads, what it is, and what its headers say."""

    folder: Path
    ref: ModelRef
    info: ModelInfo


def home() -> Path:
    """Folder of caches: ``SNIBENCH_HOME``, or the user's cache folder."""
    return Path(os.environ.get("SNIBENCH_HOME") or user_cache_path("snibench"))


def find_model(spec: str, *, revision: str = "", trust_remote_code: bool = False) -> ModelSource:
    """The model that ``spec`` names, with the digests of its weights and tokenizer; loads nothing.

    A GGUF file is converted once (its weights copied into a model built from the plain config) and cached.
    A hub id is fetched, or taken from the hub's cache, at ``revision`` (a branch, tag or commit; "" = its main branch).

    Raises:
        ModelError: If there is no such model, or it lacks weights, a config or a tokenizer, or is broken.
    """
    path = Path(spec)
    if revision and (spec in EMBEDDED or path.exists()):
        raise ModelError(f"--revision names a state of a hub model, but '{spec}' lies on this machine. Leave it out.")
    if spec in EMBEDDED:
        folder = EMBEDDED[spec]
    elif path.is_file():
        if path.suffix != ".gguf":
            raise ModelError(f"'{spec}' is a file but not a GGUF file. Name a .gguf file, a model folder or a hub id.")
        folder = _converted(path)
    elif path.is_dir():
        folder = path
    else:
        folder = _fetched(spec, revision, trust_remote_code)
    ref = _identity(f"{spec}@{revision}" if revision else spec, folder)
    return ModelSource(folder, ref, read_headers(folder))


def _identity(spec: str, folder: Path) -> ModelRef:
    weights = sorted(folder.glob("*.safetensors"))
    tokenizer = [folder / name for name in _TOKENIZER_FILES if (folder / name).is_file()]
    if not (folder / "config.json").is_file():
        raise ModelError(f"The model folder '{folder}' has no config.json. Name a folder that save_pretrained() wrote.")
    if not weights:
        raise ModelError(
            f"The model folder '{folder}' has no *.safetensors file (pickled weights are not read). "
            "Save the model again with safetensors."
        )
    if not any(file.suffix in {".json", ".model"} and "config" not in file.name for file in tokenizer):
        raise ModelError(f"The model folder '{folder}' has no tokenizer. Save one into it: tokenizer.save_pretrained()")
    named = [[file.name, file_digest(file)] for file in [*weights, folder / "config.json"]]
    if (ends := _ends(folder)) is not None:
        named.append(["eos_token_id", ends])
    return ModelRef(spec, digest(named), digest([[file.name, file_digest(file)] for file in tokenizer]))


def _ends(folder: Path) -> Any:
    """The end tokens of ``generation_config.json``, all that is honoured of it; None where it names no others."""
    file = folder / "generation_config.json"
    if not file.is_file():
        return None
    ends = read_object(file).get("eos_token_id")
    return None if ends is None or ends == read_object(folder / "config.json").get("eos_token_id") else ends


def _fetched(spec: str, revision: str, trust_remote_code: bool) -> Path:
    from snibench.base.errors import unknown

    if "/" not in spec:
        hint = unknown("model", spec, EMBEDDED)
        raise ModelError(f"{hint} Or name a model folder, a .gguf file, or a hub id such as owner/name.")
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise MissingExtra("A model of the hub", "train") from None
    patterns = [*_HUB_PATTERNS, "*.py"] if trust_remote_code else _HUB_PATTERNS
    try:
        return Path(snapshot_download(spec, revision=revision or None, allow_patterns=patterns))
    except Exception as error:  # the hub's client and what it stands on raise a dozen classes
        cause = first_line(error)
        at = f" at revision '{revision}'" if revision else ""
        raise ModelError(
            f"There is no folder or file '{spec}', and the hub does not give a model of that name{at} ({cause})"
        ) from error


def _converted(gguf: Path) -> Path:
    """The folder of the plain model that a GGUF file holds, made once.

    Saving a model that transformers loaded from GGUF raises in transformers 5, hence the copy.
    """
    folder = home() / "converted" / file_digest(gguf)[:16]
    if (folder / "config.json").exists():
        return folder
    try:
        import torch
        from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
    except ImportError:
        raise MissingExtra("A GGUF file", "train") from None
    quiet_transformers()
    try:
        loaded = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
        config = loaded.config.to_dict()
        config.pop("quantization_config", None)
        plain = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config))
        plain.load_state_dict(loaded.state_dict())
    except Exception as error:  # the reader raises whatever the file provokes
        raise ModelError(f"'{gguf}' cannot be read as a GGUF model ({first_line(error)})") from error
    for left in folder.parent.glob(f"{folder.name}.*"):  # by a process that was killed
        if time.time() - left.stat().st_mtime > _ABANDONED:
            shutil.rmtree(left, ignore_errors=True)
    partial = folder.with_name(f"{folder.name}.{os.getpid()}")
    try:
        plain.to(torch.float32).save_pretrained(partial)
        tokenizer.save_pretrained(partial)
    except Exception as error:  # the disk's errors come in several classes
        shutil.rmtree(partial, ignore_errors=True)
        raise ModelError(
            f"The converted model of '{gguf}' cannot be kept in '{folder.parent}' ({first_line(error)}). Free space "
            "there, or name another folder: SNIBENCH_HOME."
        ) from error
    try:
        partial.replace(folder)
    except OSError:  # another process was first
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def quiet_transformers() -> None:
    """Keep transformers' own bars and advice out of a run's lines."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    # peft sees to it by itself where GPT-2's layers have their weights the other way round.
    warnings.filterwarnings("ignore", message="fan_in_fan_out is set to False", category=UserWarning)
    # A deprecation between peft's and transformers' releases is not the user's to mend.
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
