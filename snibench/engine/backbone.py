"""The base model and its tokenizer in memory, frozen.

Code from a model's repository is run only where the user asks for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from snibench.base.errors import ModelError, first_line
from snibench.base.types import Paths

if TYPE_CHECKING:
    import torch
    from transformers import GenerationConfig
from snibench.models.find import EMBEDDED, ModelSource, quiet_transformers


@dataclass(frozen=True)
class Backbone:
    """A loaded base model, frozen, on its device.

    ``encoder_decoder``: answers come from a decoder of their own, so no prefix can be shared.
    ``ends``: tokens that end an answer, the tokenizer's end of sequence and those of ``generation_config.json``.
    ``paths``: how it is read (``check``). ``unexpected``: tensors in its files for which the model has no place.
    """

    source: ModelSource
    model: Any  # transformers.PreTrainedModel
    tokenizer: Any  # transformers.PreTrainedTokenizerBase
    device: torch.device
    precision: str
    encoder_decoder: bool
    ends: frozenset[int]
    paths: Paths
    unexpected: tuple[str, ...] = ()

    @property
    def packs(self) -> bool:
        """Whether several instances may share one row."""
        return self.paths.rows == "packed"


def choose_device(requested: str) -> str:
    """``requested``, with "auto" resolved to the best device there is.

    Raises:
        ModelError: If the device is not there.
    """
    import torch

    if requested == "auto":
        return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.empty(1, device=requested)
    except (RuntimeError, AssertionError) as error:
        raise ModelError(f"Device '{requested}' cannot be used: {first_line(error)}") from error
    return requested


def choose_precision(requested: str, device: str, model: str = "") -> str:
    """ "bfloat16" where the processor multiplies it natively, else "float32"; or what was wanted.

    The embedded ``model`` is read in float32 everywhere: its layers are too small to gain speed from bfloat16, and so
    machines with and without it give the same numbers up to rounding.
    """
    import torch

    if requested != "auto":
        return requested
    if model in EMBEDDED:
        return "float32"
    if device.startswith("cuda"):
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    if device == "cpu" and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()):
        return "bfloat16"
    return "float32"


def read_backbone(
    source: ModelSource,
    paths: Paths,
    *,
    device: str = "cpu",
    precision: str = "float32",
    trust_remote_code: bool = False,
) -> Backbone:
    """The base model in memory, in evaluation mode, every parameter frozen, to be read by ``paths``.

    Raises:
        ModelError: If transformers cannot build it, or tensors are missing.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

    from snibench.engine.packed_attention import install

    quiet_transformers()
    options = {"trust_remote_code": trust_remote_code}
    try:
        config = AutoConfig.from_pretrained(source.folder, **options)
        tokenizer = AutoTokenizer.from_pretrained(source.folder, **options)
        encoder_decoder = bool(config.is_encoder_decoder)
        auto_class = AutoModelForSeq2SeqLM if encoder_decoder else AutoModelForCausalLM
        loaded: Any = auto_class.from_pretrained(
            source.folder,
            dtype=getattr(torch, precision),
            use_safetensors=True,
            attn_implementation=paths.attention,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # reported below with its name, as a missing tensor is
            **options,
        )
        model, loading = loaded
    except Exception as error:  # a config may be wrong in any way that its model trips over
        raise ModelError(f"The model in '{source.folder}' cannot be loaded ({first_line(error)})") from error
    _refuse_incomplete(source, loading)
    if tokenizer.eos_token_id is None:
        raise ModelError(f"The tokenizer in '{source.folder}' has no end-of-sequence token. Add one and save it.")
    ends = _ends(model, tokenizer)
    model.generation_config = _greedy(model, tokenizer, ends)
    if paths.rows == "packed" and device == "cpu":
        install(model)
    placed: torch.nn.Module = model
    return Backbone(
        source=source,
        model=placed.to(device).requires_grad_(False).eval(),
        tokenizer=tokenizer,
        device=torch.device(device),
        precision=precision,
        encoder_decoder=encoder_decoder,
        ends=ends,
        paths=paths,
        unexpected=tuple(sorted(loading["unexpected_keys"])),
    )


def _refuse_incomplete(source: ModelSource, loading: dict[str, Any]) -> None:
    """Refuse a model with tensors that transformers would draw at random; tied ones are not among the missing."""
    missing = sorted(loading["missing_keys"])
    misshapen = sorted(loading["mismatched_keys"])
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise ModelError(
            f"The model in '{source.folder}' lacks the tensor '{missing[0]}'{more}, which would be drawn at random. "
            "Save the whole language model with save_pretrained()."
        )
    if misshapen:
        name, *shapes = misshapen[0]
        stored, wanted = (tuple(shape) for shape in shapes)
        raise ModelError(
            f"The tensor '{name}' in '{source.folder}' has shape {stored}, but its config.json asks for {wanted}. "
            "Mend config.json, or save the model again."
        )


def _ends(model: Any, tokenizer: Any) -> frozenset[int]:
    """The tokenizer's end of sequence, and every other that ``generate`` would stop at."""
    named = model.generation_config.eos_token_id
    others = named if isinstance(named, list) else [named]
    return frozenset({tokenizer.eos_token_id, *(token for token in others if token is not None)})


def _greedy(model: Any, tokenizer: Any, ends: frozenset[int]) -> GenerationConfig:
    """Plain greedy decoding: of the model's own generation config only the special tokens are kept.

    Beams, penalties, least lengths and forced tokens are tuned for one use of a model, and a method is to be measured.
    """
    from transformers import GenerationConfig

    own = model.generation_config
    pad = next((one for one in (own.pad_token_id, tokenizer.pad_token_id) if one is not None), min(ends))
    return GenerationConfig(
        bos_token_id=own.bos_token_id,
        eos_token_id=sorted(ends),
        pad_token_id=pad,
        decoder_start_token_id=own.decoder_start_token_id,
    )


def skeleton(source: ModelSource, *, trust_remote_code: bool = False) -> torch.nn.Module | None:
    """The base model without its weights, to be looked at; None where it cannot be built without them.

    Raises:
        ModelError: If its config is wrong, or transformers does not know it.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM

    quiet_transformers()
    options = {"trust_remote_code": trust_remote_code}
    try:
        config = AutoConfig.from_pretrained(source.folder, **options)
    except Exception as error:  # a config may be wrong in many ways
        raise ModelError(f"The model in '{source.folder}' cannot be built ({first_line(error)})") from error
    auto_class: Any = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    try:
        with torch.device("meta"):
            model: torch.nn.Module = auto_class.from_config(config, **options)
    except Exception:  # some models look at their weights while they are built
        return None
    return model


def base_of(model: torch.nn.Module) -> Any:
    """The transformers model inside a peft wrapper, or the model itself."""
    wrapper: Any = model
    return wrapper.get_base_model() if hasattr(model, "get_base_model") else model


def virtual_tokens(model: torch.nn.Module) -> tuple[int, ...]:
    """The ids that stand before every prompt of ``model``; none where no method inserted any (``soft_prompts``)."""
    embedding = base_of(model).get_input_embeddings()
    count = getattr(embedding, "virtual_tokens", 0)
    return tuple(range(embedding.num_embeddings, embedding.num_embeddings + count)) if count else ()
