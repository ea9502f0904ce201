"""Answers of a tuned model to many prompts: the lean way (``reading``, ``lean``) or the stock way (``stock``)."""

from snibench.engine.decoding.answerer import Answerer, Asked

__all__ = ["Answerer", "Asked"]
