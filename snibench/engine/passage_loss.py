"""The loss of a causal language model on plain text."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import torch
from torch import nn

from snibench.base.types import TaskCard
from snibench.engine.backbone import Backbone, base_of

LONGEST = 512  # tokens of a passage
CARD = TaskCard("general text", "", (), (), "", (), (), None, "")  # to a method a task that it was not tuned on


@torch.no_grad()
def passage_losses(backbone: Backbone, model: nn.Module, passages: Sequence[str]) -> pd.DataFrame:
    """passage, tokens, loss: mean negative log-likelihood per token in nats of every passage but its first token.

    The model reads a passage as it is, alone, without format or instruction; ``model`` is ``backbone.model`` or what a
    method attached to it. A method that routes by prompt is asked inside its ``for_prompts``, of ``CARD`` without
    instruction.
    """
    base, training = base_of(model), model.training
    model.eval()
    rows = []
    for place, passage in enumerate(passages):
        ids = backbone.tokenizer(passage, truncation=True, max_length=LONGEST, return_tensors="pt")["input_ids"]
        ids = ids.to(backbone.device)
        logits = base(input_ids=ids, use_cache=False).logits[0, :-1].float()
        loss = nn.functional.cross_entropy(logits, ids[0, 1:])
        rows.append({"passage": place, "tokens": ids.shape[1] - 1, "loss": float(loss)})
    model.train(training)
    return pd.DataFrame(rows)
