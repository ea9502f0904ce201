"""Frozen values that travel between rooms. No behaviour beyond views of their own fields."""

from snibench.base.types.data import Combo, Example, Instance, Metric, SuiteData, SuiteRequest, Task, TaskCard
from snibench.base.types.fits import FitRecord, FitSpec, Json, ModelRef, Recipe, Status
from snibench.base.types.prompts import Prompt, Segment, SegmentKind
from snibench.base.types.questions import Answer, Ask, Mixture, Question, Turn

__all__ = [
    "Answer",
    "Ask",
    "Combo",
    "Example",
    "FitRecord",
    "FitSpec",
    "Instance",
    "Json",
    "Metric",
    "Mixture",
    "ModelRef",
    "Prompt",
    "Question",
    "Recipe",
    "Segment",
    "SegmentKind",
    "Status",
    "SuiteData",
    "SuiteRequest",
    "Task",
    "TaskCard",
    "Turn",
]
