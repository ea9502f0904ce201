"""Answers of a tuned model to many prompts: by the fast path (``reading``, ``fast``) or by ``reference``."""

from snibench.engine.decoding.decoder import Decoder, Prompted

__all__ = ["Decoder", "Prompted"]
