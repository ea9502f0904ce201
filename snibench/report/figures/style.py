"""Style of all figures: one colour, marker and hatch per method, the paper, and words that nobody's names can break.

Figures are drawn for a white page in the inks below. Each ink is a hex code of its own, so that a page may put its own
shades in their place (``snibench.report.page`` does, for a dark one).
"""

from __future__ import annotations

import hashlib
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any

from snibench.base.errors import MissingExtra
from snibench.report.cells import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

# Okabe and Ito, Color Universal Design (2008); their yellow is darkened, for it is read on white, and their black is
# the ink of the untuned model.
OKABE_ITO = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#b8a800")
DARKER = ("#8a3d00", "#004a75", "#00664a", "#914068", "#996a00", "#1f7fb5", "#706600")
BASELINE = "#7f7f7e"
INK, FAINT, BAND, PAPER = "#1b1b1a", "#6b6b6a", "#e6e6e5", "#ffffff"
MARKERS = "osD^vPX*<>phHd8"
CONTROL_MARKERS = "d8hH"
HATCHES = ("", "////", "....", "xxxx")
Dashes = str | tuple[float, tuple[float, ...]]
DASHES: tuple[Dashes, ...] = ("-", "--", ":", (0, (4, 1.2, 1, 1.2)))  # of lines, as hatches are of areas
# Chosen so that the built-in methods start from different colours.
_SALT = "3913"

WIDTH = 7.2  # inches: a text page
LONGEST_LABEL = 34  # characters of a method's, task's or category's name


@dataclass(frozen=True, slots=True)
class Look:
    """Colour, marker and hatch of one method in every figure."""

    color: str
    marker: str
    hatch: str = ""

    @property
    def dashes(self) -> Dashes:
        """The line style, so that lines of one colour differ as areas do by their hatch."""
        return DASHES[HATCHES.index(self.hatch)]


def looks(methods: Sequence[str], baseline: str = "", controls: Sequence[str] = ()) -> dict[str, Look]:
    """The look of each method: the baseline grey, controls in ink, the others by their label.

    A label keeps its colour whatever else is drawn, unless another label wants the same one; then the later in
    alphabetical order takes the next that is free. Beyond seven methods colours come back darker and hatched. No two
    of up to 14 share a marker, and no two of up to 98 both marker and colour.
    """
    by_label = {label: Look(INK, CONTROL_MARKERS[index % 4]) for index, label in enumerate(controls)}
    by_label[baseline] = Look(BASELINE, MARKERS[0])
    size = len(OKABE_ITO)
    taken: set[int] = set()
    for label in sorted(set(methods) - set(by_label)):
        start = int.from_bytes(hashlib.sha256(f"{_SALT}{label}".encode()).digest()[:4]) % size
        lap = len(taken) // size
        place = next(lap * size + (start + step) % size for step in range(size)
                     if lap * size + (start + step) % size not in taken)  # fmt: skip
        taken.add(place)
        shades = DARKER if lap % 2 else OKABE_ITO
        shapes = len(MARKERS) - 1
        marker = MARKERS[1 + (place + place // shapes) % shapes]
        by_label[label] = Look(shades[place % size], marker, HATCHES[lap % len(HATCHES)])
    return {label: by_label[label] for label in methods}


@contextmanager
def drawing() -> Iterator[None]:
    """Inside, matplotlib draws as we want it to, whatever the user's own settings; nothing is left behind.

    No text is read as mathematics: names come from anybody. The same numbers give the same bytes.

    Raises:
        MissingExtra: If matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
    except ImportError as error:
        raise MissingExtra("Drawing figures", "plots") from error
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(
            {
                "text.parse_math": False,
                "text.usetex": False,
                "svg.fonttype": "path",  # the same letters everywhere, whatever fonts the reader has
                "svg.hashsalt": "snibench",
                "font.family": "DejaVu Sans",  # comes with matplotlib
                "font.size": 8.5,
                "axes.titlesize": 9,
                "axes.labelsize": 8.5,
                "axes.labelcolor": INK,
                "axes.edgecolor": FAINT,
                "axes.facecolor": "none",
                "axes.spines.top": False,
                "axes.spines.right": False,
                "axes.axisbelow": True,
                "axes.unicode_minus": True,
                "figure.facecolor": PAPER,
                "savefig.facecolor": "auto",
                "figure.max_open_warning": 0,
                "text.color": INK,
                "xtick.color": FAINT,
                "ytick.color": FAINT,
                "xtick.labelcolor": INK,
                "ytick.labelcolor": INK,
                "grid.color": BAND,
                "grid.linewidth": 0.8,
                "legend.frameon": False,
                "legend.fontsize": 8,
                "hatch.linewidth": 0.6,
                "lines.linewidth": 1.4,
            }
        )
        yield


def canvas(height: float, rows: int = 1, columns: int = 1, **options: Any) -> tuple[Canvas, Any]:
    """A new page of ``WIDTH`` by ``height`` inches, and its axes: one, or an array as ``subplots`` gives."""
    from matplotlib.figure import Figure as Canvas

    page = Canvas(figsize=(WIDTH, height), layout="constrained")
    return page, page.subplots(rows, columns, **options)


def rows_and_columns(panels: int, most: int) -> tuple[int, int]:
    """As few rows as hold ``panels`` with at most ``most`` in one, and as few columns as these rows need."""
    rows = ceil(panels / most)
    return rows, ceil(panels / rows)


def short(text: object, longest: int = LONGEST_LABEL) -> str:
    """A name as it stands in a figure: one line, nothing unprintable."""
    return printable(text, longest)


def wrapped(text: str, width: int) -> str:
    """``text`` in lines of at most ``width`` characters."""
    return "\n".join(textwrap.wrap(printable(text, 2000), width)) or " "


def percent_axis(axis: Any, *, signed: bool = False) -> None:
    """Show fractions as percent, or differences of fractions as points with their sign."""
    from matplotlib.ticker import FuncFormatter

    def shown(value: float, _: int) -> str:
        percent = round(100 * value, 6)
        return f"{percent:+g}" if signed and percent else f"{percent:g}"

    axis.set_major_formatter(FuncFormatter(shown))


def legend(page: Canvas, labels: Sequence[str], handles: Sequence[Any], columns: int = 4) -> None:
    """A legend on top of the page, which grows by it when it is saved.

    ``labels`` may be any text, also what matplotlib would hide.
    """
    if not labels:
        return
    widest = max(len(short(label, 28)) for label in labels)
    fits = max(1, min(columns, len(labels), 110 // (widest + 6)))
    shown = page.legend(
        handles, [str(index) for index, _ in enumerate(labels)], ncols=fits, loc="lower left", bbox_to_anchor=(0, 1),
        borderaxespad=0.3, handlelength=1.6, columnspacing=1.4,
    )  # fmt: skip
    for text, label in zip(shown.get_texts(), labels, strict=True):
        text.set_text(short(label, 28))


def handles(labels: Sequence[str], looks_by_label: dict[str, Look], *, shape: str = "marker") -> list[Any]:
    """One legend entry per label: its ``marker``, its ``line``, its ``patch`` with hatch, or a ``plain`` patch."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    if shape in ("patch", "plain"):
        hatches = [looks_by_label[one].hatch if shape == "patch" else "" for one in labels]
        return [
            Patch(facecolor=looks_by_label[one].color, edgecolor=PAPER, hatch=hatch, lw=0)
            for one, hatch in zip(labels, hatches, strict=True)
        ]
    line = "-" if shape == "line" else "none"
    return [
        Line2D(
            [],
            [],
            color=looks_by_label[one].color,
            marker=looks_by_label[one].marker,
            ls=line,
            ms=5,
            mec=looks_by_label[one].color,
        )
        for one in labels
    ]


def whiskers(axes: Axes, x: Any, y: Any, low: Any, high: Any, *, across: bool = False, **options: Any) -> None:
    """Intervals at (x, y) from ``low`` to ``high``, along y or ``across``; none where an end is missing."""
    import numpy as np

    at, low, high = (np.asarray(part, dtype=float) for part in (x if across else y, low, high))
    errors = np.vstack([at - low, high - at])
    errors = np.where(np.isfinite(errors), errors.clip(min=0), 0)
    known = np.isfinite(low) & np.isfinite(high)
    if known.any():
        style: dict[str, Any] = {
            "fmt": "none",
            "ecolor": INK,
            "elinewidth": 0.9,
            "capsize": 1.6,
            "capthick": 0.9,
            **options,
        }
        style["xerr" if across else "yerr"] = errors[:, known]
        axes.errorbar(np.asarray(x)[known], np.asarray(y)[known], **style)
