"""What it costs to hold a model and a method against themselves before they are used: best of three, one thread.

python benchmarks/check.py [MODEL] [METHOD ...]
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from snibench.base.registry import METHODS
from snibench.base.types import FitSpec, Mixture, Recipe, SuiteRequest, TaskCard
from snibench.engine import check
from snibench.engine.check.method_check import forget_checks
from snibench.engine.embeddings import InstructionEncoder
from snibench.engine.loading import load_backbone
from snibench.models.find import ModelSource, find_model


def best(measured: Callable[[], Callable[[], None]]) -> str:
    """Seconds of the best of three calls, by the clock and by the processor; each is prepared outside of the clock."""
    clock, busy = [], []
    for _ in range(3):
        call = measured()
        started, before = time.perf_counter(), time.process_time()
        call()
        clock.append(time.perf_counter() - started)
        busy.append(time.process_time() - before)
    return f"{min(clock):.2f} s by the clock, {min(busy):.2f} s by the processor"


def model_check(source: ModelSource) -> Callable[[], None]:
    """A check whose decision is not known yet."""
    os.environ["SNIBENCH_HOME"] = tempfile.mkdtemp()
    return lambda: (check.check_model(source), None)[1]


def method_check(source: ModelSource, name: str) -> Callable[[], None]:
    """A check of a method that was not checked before in this process."""
    backbone, method = load_backbone(source), METHODS.get(name)()
    cards = [TaskCard(task, f"Say {task}.", (), (), "C", (), (), None, "exact_match") for task in ("red", "dog")]
    model = method.attach(backbone.model, cards, InstructionEncoder(backbone, 1024), 0)
    recipe, suite = Recipe(1), SuiteRequest("mini")
    spec = FitSpec(name, "", {}, {}, source.ref, suite, "", Mixture(()), "", recipe, 0, "float32", name)
    forget_checks()
    return lambda: check.check_method(backbone, method, model, cards, spec)


def main() -> None:
    model, *methods = sys.argv[1:] or ["tiny"]
    torch.set_num_threads(1)
    source = find_model(model)
    check.check_model(source)  # loads what a process needs once
    print(f"{Path(model).name}: {best(lambda: model_check(source))}")
    for name in methods or ["lora", "ours"]:
        print(f"{name}: {best(lambda name=name: method_check(source, name))}")


if __name__ == "__main__":
    main()
