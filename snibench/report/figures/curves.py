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

_DECADES = 10  # from the lowest loss to the highest, from which on the axis is logarithmic


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
        from matplotlib.lines import Line2D
        from matplotlib.ticker import FuncFormatter

        page, axes = canvas(3.4)
        _curves(axes, scene, frame, methods)
        if spans_decades(frame):
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.set(xlabel="step", ylabel="training loss (nats a token)", xlim=(0, steps))
        lines = [Line2D([], [], color=scene.looks[one].color, ls=scene.looks[one].dashes, lw=1.6) for one in methods]
        legend(page, methods, lines)
        return Figure("learning-curves", "Learning curves", caption, frame, page)


def spans_decades(frame: pd.DataFrame) -> bool:
    """Whether a linear axis would show the beginning alone."""
    lowest = float(frame["lowest"].min())
    return lowest > 0 and float(frame["loss"].max()) > _DECADES * lowest


def _curves(axes: Axes, scene: Scene, frame: pd.DataFrame, methods: list[str]) -> None:
    axes.grid()
    for method in methods:
        look, own = scene.looks[method], frame[frame["method"] == method].sort_values("step")
        axes.fill_between(own["step"], own["lowest"], own["highest"], color=look.color, alpha=0.16, lw=0)
        axes.plot(own["step"], own["loss"], color=look.color, ls=look.dashes)
