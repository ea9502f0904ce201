"""Kept decisions of ``engine.check``: how each model is read, so that it is checked once."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from snibench.base.hashing import digest
from snibench.base.types import Checked, Paths
from snibench.models.find import ModelSource, home

# Changes when the check may decide otherwise.
_VERSION = 1


def kept_check(source: ModelSource) -> Checked | None:
    """The decision for a model under the transformers that is installed; None if it was not checked yet."""
    try:
        known = json.loads(check_place(source).read_text(encoding="utf-8"))
        return Checked(Paths(**known["paths"]), tuple(known["notes"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def known_check(source: ModelSource) -> Checked:
    """The kept decision, or a note that there is none yet."""
    return kept_check(source) or Checked(notes=("The model was not checked before: the run begins with that.",))


def check_place(source: ModelSource) -> Path:
    """The file in which the decision for a model is kept."""
    try:
        transformers = version("transformers")
    except PackageNotFoundError:
        transformers = ""
    identity = digest([source.ref.digest, source.ref.tokenizer_digest, transformers, _VERSION])[:16]
    return home() / "checked" / f"{identity}.json"
