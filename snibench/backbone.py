"""The base model and its tokenizer, from a spec: ``tiny``, a folder, a GGUF file, or a hub id.

Finding and identifying a model needs no torch; loading does. Weights are read from safetensors or GGUF only,
never from pickles, and code from a model's repository is run only where the user asks for it.
"""

from __future__ import annotations

import os
import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platformdirs import user_cache_path

from snibench.errors import ModelError
from snibench.text import digest, file_digest
from snibench.types import ModelRef

if TYPE_CHECKING:
    import torch

EMBEDDED = {"tiny": Path(__file__).parent / "models" / "tiny"}
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


@dataclass(frozen=True, slots=True)
class ModelSource:
    """A base model on this machine: the folder transformers reads, and what it is."""

    folder: Path
    ref: ModelRef


@dataclass(frozen=True)
class Backbone:
    """A loaded base model, frozen, on its device.

    ``encoder_decoder``: answers come from a decoder of their own, so no prefix can be shared.
    ``packs``: every token attends to the whole past, so that several instances may share one row.
    """

    source: ModelSource
    model: Any  # transformers.PreTrainedModel
    tokenizer: Any  # transformers.PreTrainedTokenizerBase
    device: torch.device
    precision: str
    encoder_decoder: bool
    packs: bool


def home() -> Path:
    """Where snibench keeps what it can make again: ``SNIBENCH_HOME`` or the user's cache folder."""
    return Path(os.environ.get("SNIBENCH_HOME") or user_cache_path("snibench"))


def find_model(spec: str, *, trust_remote_code: bool = False) -> ModelSource:
    """The model that ``spec`` names, with the digests of its weights and tokenizer; loads nothing.

    A GGUF file is converted once (its weights copied into a model built from the plain config) and cached.
    A hub id is fetched, or taken from the hub's cache.

    Raises:
        ModelError: If there is no such model, or it lacks weights, a config or a tokenizer.
    """
    path = Path(spec)
    if spec in EMBEDDED:
        folder = EMBEDDED[spec]
    elif path.is_file():
        if path.suffix != ".gguf":
            raise ModelError(f"'{spec}' is a file but not a GGUF file. Name a .gguf file, a model folder or a hub id.")
        folder = _converted(path)
    elif path.is_dir():
        folder = path
    else:
        folder = _fetched(spec, trust_remote_code)
    return ModelSource(folder, _identity(spec, folder))


def parameter_count(folder: Path) -> int:
    """How many numbers the weight files of a model hold, read from their headers alone."""
    from safetensors import safe_open

    total = 0
    for path in folder.glob("*.safetensors"):
        with safe_open(path, framework="np") as file:
            for name in file.keys():  # noqa: SIM118 (not a mapping)
                size = 1
                for length in file.get_slice(name).get_shape():
                    size *= length
                total += size
    return total


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
    return ModelRef(spec, digest(named), digest([[file.name, file_digest(file)] for file in tokenizer]))


def _fetched(spec: str, trust_remote_code: bool) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    from snibench.errors import unknown

    if "/" not in spec:
        hint = unknown("model", spec, EMBEDDED)
        raise ModelError(f"{hint} Or name a model folder, a .gguf file, or a hub id such as owner/name.")
    patterns = [*_HUB_PATTERNS, "*.py"] if trust_remote_code else _HUB_PATTERNS
    try:
        return Path(snapshot_download(spec, allow_patterns=patterns))
    except (HFValidationError, OSError, ValueError) as error:
        cause = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(
            f"There is no folder or file '{spec}', and the hub does not give a model of that name ({cause})"
        ) from error


def _converted(gguf: Path) -> Path:
    """The folder of the plain model that a GGUF file holds, made once.

    Saving a model that transformers loaded from GGUF raises in transformers 5, hence the copy.
    """
    folder = home() / "converted" / file_digest(gguf)[:16]
    if (folder / "config.json").exists():
        return folder
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    _quiet()
    try:
        loaded = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    except Exception as error:  # the reader raises whatever the file provokes
        raise ModelError(f"'{gguf}' cannot be read as a GGUF model: {type(error).__name__}: {error}") from error
    config = loaded.config.to_dict()
    config.pop("quantization_config", None)
    plain = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config))
    plain.load_state_dict(loaded.state_dict())
    partial = folder.with_name(f"{folder.name}.{os.getpid()}")
    plain.to(torch.float32).save_pretrained(partial)
    tokenizer.save_pretrained(partial)
    try:
        partial.replace(folder)
    except OSError:  # another process was first
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def _quiet() -> None:
    """Keep transformers' own bars and advice out of a run's lines."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    # A deprecation between peft's and transformers' releases is not the user's to mend.
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")


def choose_device(wanted: str) -> str:
    """``wanted``, with "auto" resolved to the best device there is.

    Raises:
        ModelError: If the device is not there.
    """
    import torch

    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.empty(1, device=wanted)
    except (RuntimeError, AssertionError) as error:
        raise ModelError(f"Device '{wanted}' cannot be used: {str(error).splitlines()[0]}") from error
    return wanted


def choose_precision(wanted: str, device: str, model: str = "") -> str:
    """ "bfloat16" where the processor multiplies it natively, else "float32"; or what was wanted.

    The embedded ``model`` is read in float32 everywhere: its layers are too small to gain speed from bfloat16, and so
    machines with and without it give the same numbers up to rounding.
    """
    import torch

    if wanted != "auto":
        return wanted
    if model in EMBEDDED:
        return "float32"
    if device.startswith("cuda"):
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    if device == "cpu" and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()):
        return "bfloat16"
    return "float32"


def load_backbone(
    source: ModelSource, *, device: str = "cpu", precision: str = "float32", trust_remote_code: bool = False
) -> Backbone:
    """The base model in memory, in evaluation mode, every parameter frozen.

    Raises:
        ModelError: If transformers cannot build it.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

    from snibench.attention import install

    _quiet()
    options = {"trust_remote_code": trust_remote_code}
    try:
        config = AutoConfig.from_pretrained(source.folder, **options)
        tokenizer = AutoTokenizer.from_pretrained(source.folder, **options)
        encoder_decoder = bool(config.is_encoder_decoder)
        kind = AutoModelForSeq2SeqLM if encoder_decoder else AutoModelForCausalLM
        model = kind.from_pretrained(
            source.folder,
            dtype=getattr(torch, precision),
            use_safetensors=True,
            # T5 adds its relative positions to the scores, which only some kernels take.
            **({} if encoder_decoder else {"attn_implementation": "sdpa"}),
            **options,
        )
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        raise ModelError(f"The model in '{source.folder}' cannot be loaded: {str(error).splitlines()[0]}") from error
    if tokenizer.eos_token_id is None:
        raise ModelError(f"The tokenizer in '{source.folder}' has no end-of-sequence token. Add one and save it.")
    sliding = getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True)
    packs = not encoder_decoder and not sliding
    if packs and device == "cpu":
        install(model)
    placed: torch.nn.Module = model
    return Backbone(
        source=source,
        model=placed.to(device).requires_grad_(False).eval(),
        tokenizer=tokenizer,
        device=torch.device(device),
        precision=precision,
        encoder_decoder=encoder_decoder,
        packs=packs,
    )
