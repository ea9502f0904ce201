"""Cosines between the gradients of tasks as a heat map of characters, for a terminal."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from rich.style import Style
from rich.text import Text

from snibench.report.cells import printable

_APART, _ALIKE = (230, 159, 0), (86, 180, 233)  # Okabe and Ito's orange and sky blue
# Where there are no colours: the sign, as often as the cosine reaches a third of the scale.
_SIGNS = {-3: "---", -2: "-- ", -1: " - ", 0: " . ", 1: " + ", 2: "++ ", 3: "+++"}


def heat_map(pairs: pd.DataFrame, category_of: Mapping[str, str], heading: str) -> list[Text]:
    """Task x task cosines as lines of coloured blocks, the sign in each; the colours are centred at 0.

    Args:
        pairs: Columns first, second, cosine; each pair once.
        category_of: Category of each task: tasks are ordered by it.
        heading: What is drawn.
    """
    tasks = sorted({*pairs["first"], *pairs["second"]}, key=lambda task: (category_of.get(task, "~"), task))
    place = {task: index for index, task in enumerate(tasks)}
    square = np.full((len(tasks), len(tasks)), np.nan)
    rows, columns = pairs["first"].map(place), pairs["second"].map(place)
    square[rows, columns] = square[columns, rows] = pairs["cosine"]
    finite = np.abs(square[np.isfinite(square)])
    limit = max(float(np.ceil(finite.max(initial=0.0) * 10 - 1e-6) / 10), 0.1)  # to the next tenth
    width = max(len(str(len(tasks))), 2)
    lines = [
        Text(printable(heading), style="bold cyan"),
        Text(" " * (width + 1)) + Text("".join(f"{index:^3}" for index in range(1, len(tasks) + 1)), style="dim"),
    ]
    for index, task in enumerate(tasks):
        line = Text(f"{index + 1:>{width}} ", style="dim")
        for column, value in enumerate(square[index]):
            line += _block(float(value), limit) if column != index else Text(" \\ ", style="dim")
        lines.append(line + Text(f" {printable(task, 48)} ({printable(category_of.get(task, ''), 32)})"))
    scale = Text(" " * (width + 1))
    for third in range(-3, 4):
        scale += _block(third / 3 * limit, limit)
    lines.append(scale + Text(f" {-limit:.1f} (apart) to {limit:+.1f} (alike); ?: too noisy to say", style="dim"))
    return lines


def _block(value: float, limit: float) -> Text:
    """Three columns for one cosine: its colour, and its sign for terminals without colours."""
    if not np.isfinite(value):
        return Text(" ? ", style="dim")
    share = max(-1.0, min(1.0, value / limit))
    end = _ALIKE if share > 0 else _APART
    red, green, blue = (round(255 + (channel - 255) * abs(share)) for channel in end)
    return Text(_SIGNS[round(3 * share)], style=Style(color="black", bgcolor=f"rgb({red},{green},{blue})"))
