"""Learning curves: the loss by step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from snibench.report.figures.figure import Figure
from snibench.report.figures.scene import Scene, sizes
from snibench.report.figures.style import canvas, drawing, legend
from snibench.report.traces import training_traces

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def learning_curves(scene: Scene) -> Figure | None:
    """Training loss by step, a line for each method and a band from the lowest to the highest seed."""
    traces = training_traces(scene.results)
    if not len(traces) or "loss" not in traces:
        return None
    steps = int(traces["step"].max())
    window = max(1, steps // 12)
    runs = traces.sort_values("step").groupby(["method", "seed"], sort=False)
    smooth = traces.assign(smooth=runs["loss"].transform(lambda loss: loss.rolling(window, min_periods=1).mean()))
    frame = smooth.groupby(["method", "step"], sort=False)["smooth"].agg(["mean", "min", "max", "count"]).reset_index()
    frame = frame.rename(columns={"mean": "loss", "min": "lowest", "max": "highest", "count": "n_seeds"})
    methods = scene.methods(frame)
    caption = (
        f"Training loss (mean over the tasks of a step), a running mean over {window} steps, for each step draws other "
        f"tasks. Line: mean over {sizes(frame['n_seeds'].tolist())} seeds; band: from the lowest to the highest seed, "
        "which is no confidence interval. All methods meet the same tasks and instances in the same order."
    )
    with drawing():
        page, axes = canvas(3.4)
        _curves(axes, scene, frame, methods)
        axes.set(xlabel="step", ylabel="training loss (nats a token)", xlim=(0, steps))
        from matplotlib.lines import Line2D

        lines = [Line2D([], [], color=scene.looks[one].color, ls=scene.looks[one].dashes, lw=1.6) for one in methods]
        legend(page, methods, lines)
        return Figure("learning-curves", "Learning curves", caption, frame, page)


def _curves(axes: Axes, scene: Scene, frame: pd.DataFrame, methods: list[str]) -> None:
    axes.grid()
    for method in methods:
        look, own = scene.looks[method], frame[frame["method"] == method].sort_values("step")
        axes.fill_between(own["step"], own["lowest"], own["highest"], color=look.color, alpha=0.16, lw=0)
        axes.plot(own["step"], own["loss"], color=look.color, ls=look.dashes)
