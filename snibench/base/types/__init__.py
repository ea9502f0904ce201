"""Frozen values that travel between rooms. No behaviour beyond views of their own fields."""

from snibench.base.types.data import Combo, Example, Instance, SuiteData, SuiteRequest, Task, TaskCard
from snibench.base.types.fits import (
    Checked,
    FileSeal,
    FitRecord,
    FitSpec,
    Json,
    ModelRef,
    OptimizerName,
    Paths,
    RateSchedule,
    Recipe,
    Stage,
    Status,
)
from snibench.base.types.frames import METHOD, Column, Frame, Unit
from snibench.base.types.models import ModelInfo
from snibench.base.types.prompts import Prompt, Segment, SegmentRole
from snibench.base.types.questions import Answer, Ask, Mixture, PromptKey, Question, Reply, Turn
from snibench.base.types.runs import Manifest, Search, SuiteRef, Trial

__all__ = [
    "METHOD",
    "Answer",
    "Ask",
    "Checked",
    "Column",
    "Combo",
    "Example",
    "FileSeal",
    "FitRecord",
    "FitSpec",
    "Frame",
    "Instance",
    "Json",
    "Manifest",
    "Mixture",
    "ModelInfo",
    "ModelRef",
    "OptimizerName",
    "Paths",
    "Prompt",
    "PromptKey",
    "Question",
    "RateSchedule",
    "Recipe",
    "Reply",
    "Search",
    "Segment",
    "SegmentRole",
    "Stage",
    "Status",
    "SuiteData",
    "SuiteRef",
    "SuiteRequest",
    "Task",
    "TaskCard",
    "Trial",
    "Turn",
    "Unit",
]
