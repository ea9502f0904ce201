"""A base model as a run reads it."""

from __future__ import annotations

from snibench.base.types import Paths
from snibench.engine.backbone import Backbone, read_backbone
from snibench.engine.check import check_model
from snibench.models.find import ModelSource


def load_backbone(
    source: ModelSource,
    *,
    device: str = "cpu",
    precision: str = "float32",
    trust_remote_code: bool = False,
    paths: Paths | None = None,
) -> Backbone:
    """The base model in memory, in evaluation mode, every parameter frozen.

    ``paths``: how it is read; None = as ``check_model`` decides.

    Raises:
        ModelError: If transformers cannot build it, tensors are missing, or it is not read right by any path.
    """
    if paths is None:
        paths = check_model(source, device=device, trust_remote_code=trust_remote_code).paths
    return read_backbone(source, paths, device=device, precision=precision, trust_remote_code=trust_remote_code)
