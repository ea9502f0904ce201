"""The contracts that plugins implement. Signatures only, and no torch at import.

A plugin registers a class under one of the groups ``snibench.methods``, ``.rules``, ``.samplers``, ``.formats``,
``.metrics``, ``.protocols``, ``.suites``, ``.executors``. Defaults live beside the built-ins:
``snibench.api.BaseMethod`` is plain LoRA on the mean loss, and most methods override one or two of its hooks.
"""

from snibench.contracts.executors import Board, Executor, Job, Work
from snibench.contracts.formats import Format, FormatFlags, until, usual_stop
from snibench.contracts.methods import Encode, Floor, Group, Losses, Method, Recorded
from snibench.contracts.metrics import Metric
from snibench.contracts.protocols import Protocol
from snibench.contracts.rules import Needs, Rule
from snibench.contracts.samplers import Draw, Sampler
from snibench.contracts.settings import NoSettings, names_seed, path_of_seed, settings_of_seed
from snibench.contracts.suites import Suite

__all__ = [
    "Board",
    "Draw",
    "Encode",
    "Executor",
    "Floor",
    "Format",
    "FormatFlags",
    "Group",
    "Job",
    "Losses",
    "Method",
    "Metric",
    "Needs",
    "NoSettings",
    "Protocol",
    "Recorded",
    "Rule",
    "Sampler",
    "Suite",
    "Work",
    "names_seed",
    "path_of_seed",
    "settings_of_seed",
    "until",
    "usual_stop",
]
