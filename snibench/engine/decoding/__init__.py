"""Greedy answers of a tuned model to many prompts: one contract (``decoder``) and three engines behind it.

``fast_decoder``, ``reference`` and ``generate``; ``choice`` decides which.
"""

from snibench.engine.decoding.choice import choose
from snibench.engine.decoding.decoder import Completion, Decoder, Prompted

__all__ = ["Completion", "Decoder", "Prompted", "choose"]
