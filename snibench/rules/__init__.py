"""Rules that aggregate task gradients into one update, one file each, found through ``snibench.rules``.

A rule of one's own derives from ``GramRule`` if it is a function of the Gram matrix, else from ``snibench.api.Rule``.
"""

from snibench.rules._gram import GramRule, Step, project_conflicting
from snibench.rules._task_adam import TaskAdam

__all__ = ["GramRule", "Step", "TaskAdam", "project_conflicting"]
