"""Logits and losses at the target tokens of a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from snibench.engine.attention import packed

if TYPE_CHECKING:
    pass
from snibench.engine.backbone import base_of
from snibench.engine.packing import Batch


def target_logits(model: nn.Module, batch: Batch) -> Tensor:
    """``[N, vocabulary]`` float32 logits at the target tokens only.

    The vocabulary projection is a fifth of a small model and targets are a few tokens in hundreds. Models that
    scale or cap their logits after the projection are read through their own full forward pass.
    """
    base = base_of(model)
    rows, columns = batch.target_index.unbind(1)
    inputs = {"input_ids": batch.input_ids, "attention_mask": batch.mask}
    with packed(batch.layout):
        if batch.decoder_ids is not None:
            logits = base(**inputs, decoder_input_ids=batch.decoder_ids, use_cache=False).logits[rows, columns]
        elif _plain_head(base):
            hidden = base.base_model(**inputs, position_ids=batch.positions, use_cache=False).last_hidden_state
            logits = base.get_output_embeddings()(hidden[rows, columns])
        else:
            logits = base(**inputs, position_ids=batch.positions, use_cache=False).logits[rows, columns]
    wide: Tensor = logits.float()
    return wide


def _plain_head(base: Any) -> bool:
    """Whether logits are just the output embedding of the last hidden state."""
    config = base.config
    shaped = ("final_logit_softcapping", "logits_scaling", "logit_scale", "lm_head_multiplier", "mup_width_multiplier")
    return base.base_model is not base and not any(getattr(config, name, None) for name in shaped)


def target_nll(logits: Tensor, batch: Batch) -> Tensor:
    """``[K]``: per task, the mean over its instances of their mean target negative log-likelihood."""
    each = nn.functional.cross_entropy(logits, batch.target_ids, reduction="none") * batch.target_weight
    return each.new_zeros(len(batch.tasks)).index_add(0, batch.target_task, each)


def target_log_likelihoods(logits: Tensor, batch: Batch, *, per_token: bool = False) -> Tensor:
    """``[K * m, C]``: the log-likelihood of every instance's C targets, summed over their tokens.

    ``per_token``: the mean over them. Rows are task-major, as ``batch.target_instance`` counts them. 0
    where an instance has fewer than C targets.
    """
    each = nn.functional.cross_entropy(logits, batch.target_ids, reduction="none")  # [N]
    instances = sum(len(own) for _, own in batch.groups)
    choices = max(1 + len(one.others) for _, own in batch.groups for one in own)
    place = batch.target_instance * choices + batch.target_choice
    total = each.new_zeros(instances * choices).index_add(0, place, -each)
    if per_token:
        count = each.new_zeros(instances * choices).index_add(0, place, torch.ones_like(each))
        total = total / count.clamp(min=1)
    return total.view(instances, choices)
