"""Keys by which two tasks share a source data set, or two instances an input.

Only what a task file says is compared: what a base model met in its pre-training cannot be controlled.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from snibench.base.hashing import normalise_input
from snibench.base.types import Instance

_NON_ALPHANUMERIC = re.compile(r"[\W_]+")

# What stands in `Source` where there is no data set that two tasks could share.
_NO_SOURCE = frozenset({"", "synthetic", "miscellaneous", "missing", "source", "none", "na", "unknown"})

# Data sets whose texts come from another one, under the name of that one. Only what holds of most instances: a
# data set that merely follows the example of another (Winogrande, HANS) is not its alias. Extend it with a reason.
_ALIASES = {
    # The premises and events of the ATOMIC part of Defeasible NLI (Rudinger et al. 2020) are ATOMIC's.
    "defeasiblenliatomic": "atomic",
    # eQASC (Jhamtani and Clark 2020) adds explanations to the questions of QASC.
    "eqasc": "qasc",
    # Reviews of one shop: the sets overlap in products and reviewers, and in part in text.
    "amazonfinefoodreviews": "amazonreviews",
    "amazonpolarity": "amazonreviews",
    "amazonreviewpolarity": "amazonreviews",
    "amazonreviewsmulti": "amazonreviews",
    "amazonusreviews": "amazonreviews",
    "amazonandyelpsummarizationdataset": "amazonreviews",
    "multilingualamazonreviews": "amazonreviews",
    # Stories of ROCStories with other endings (ART, TimeTravel), labels (Story Commonsense), questions (TellMeWhy).
    "abductivenli": "rocstories",
    "timetravel": "rocstories",
    "storycommonsense": "rocstories",
    "storycloze": "rocstories",
    "tellmewhy": "rocstories",
    # The Winograd schemas, edited (MWSC, Enhanced WSC) or explained (WinoWhy).
    "mwsc": "wsc",
    "enhancedwsc": "wsc",
    "winogradwsc": "wsc",
    "winowhy": "wsc",
    # WinoMT (Stanovsky et al. 2019) joins WinoBias and Winogender.
    "winomt": "winobias",
    # e-SNLI explains SNLI; SciTail 1.1 is a release of SciTail.
    "esnli": "snli",
    "scitailv11": "scitail",
    # Questions of SQuAD, disturbed (Disfl-QA), or asked adversarially of its passages (AdversarialQA).
    "disflqa": "squad",
    "adversarialqa": "squad",
    "squad11": "squad",
    "squad20": "squad",
    "squadv1": "squad",
    "squadv11": "squad",
    "squadv2": "squad",
    # AmbigQA and QED annotate questions of Natural Questions.
    "ambigqa": "naturalquestions",
    "qed": "naturalquestions",
    # One crawl, two selections.
    "wikiautoalldata": "wikiauto",
}


def source_keys(sources: Sequence[str]) -> frozenset[str]:
    """The data sets in ``sources``, as names that spelling does not tell apart.

    Each entry is split at ";", lower-cased, and loses all but letters and digits. Entries that name no data set
    ("synthetic", "missing") are left out: sharing them is no leak.
    """
    parts = (part for source in sources for part in source.split(";"))
    return frozenset(_NON_ALPHANUMERIC.sub("", part.lower()) for part in parts) - _NO_SOURCE


def origins(sources: Sequence[str]) -> frozenset[str]:
    """``source_keys`` with derived data sets under the name of what they derive from."""
    return frozenset(_ALIASES.get(key, key) for key in source_keys(sources))


def input_key(instance: Instance) -> str:
    """Key that two instances share if their inputs read the same; never the same for symbols alone."""
    return normalise_input(instance.input) or instance.input.strip()
