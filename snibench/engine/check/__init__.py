"""Whether a model and a method are read right: the engine's paths held against the model's own forward pass."""

from snibench.engine.check.method_check import check_method
from snibench.engine.check.model_paths import check_model

__all__ = ["check_method", "check_model"]
