"""Suite ``mini``: embedded, procedural, the same on every machine, in the shape of Super-NaturalInstructions."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import ClassVar

from snibench.base.errors import UsageError
from snibench.base.types import Combo, SuiteData, SuiteRequest, Task
from snibench.contracts import Suite
from snibench.data.mini.tasks import VIEWS, build
from snibench.data.splits import build_suite

HELD_OUT = 100  # evaluation instances per task


class Mini(Suite):
    """Tasks of every type in the paper's figures, each type with seen and unseen tasks, and types wholly unseen."""

    open_references: ClassVar[bool] = True

    def load(self, request: SuiteRequest) -> SuiteData:
        """The suite under ``request``; see ``Suite.load``.

        Raises:
            UsageError: If the request names a data folder or a split, which this suite has not.
        """
        for given, value in (("--data", request.data), ("--split", request.split)):
            if value is not None:
                raise UsageError(f"Suite 'mini' is embedded and takes no {given}, but got '{value}'. Leave it out.")
        return build_suite(
            "mini",
            tasks(),
            [view.name for view in VIEWS if view.seen],
            [view.name for view in VIEWS if not view.seen],
            request,
            combos=COMBOS,
            drop_seen_on_source_overlap=True,
            held_out=HELD_OUT,
        )


@cache
def tasks() -> Mapping[str, Task]:
    """Every task of the suite by name, built once per process."""
    return {view.name: build(view) for view in VIEWS}


def _side(*families: str, key: str = "") -> tuple[str, ...]:
    return tuple(view.name for view in VIEWS if view.family in families and (not key or view.key == key))


# The pairs of the paper's Figure 4, over seen and unseen tasks.
COMBOS = (
    Combo("Paraphrase + NLI", _side("pair"), _side("entailment")),
    Combo("Intent + Commonsense", (*_side("utterance", key="intent"), *_side("turn")), _side("use")),
    Combo(
        "Classification + Slot Filling",
        (*_side("news"), *_side("review", key="overall")),
        tuple(view.name for view in VIEWS if view.family == "utterance" and view.key != "intent"),
    ),
    Combo("NER + Abstractive QA", _side("entities"), _side("story", key="full")),
)
