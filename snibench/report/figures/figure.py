"""A figure: what is drawn, its words, and the numbers behind it; and how it becomes files."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snibench.report.cells import LONGEST_TITLE
from snibench.report.figures.style import drawing, short, wrapped
from snibench.report.files import frame_csv
from snibench.store import require_folder_place, write_whole

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure as Canvas
    from matplotlib.text import Text

_DPI = 160
_METADATA: dict[str, dict[str, Any]] = {"svg": {"Date": None, "Creator": None}, "png": {"Software": None}}


@dataclass(frozen=True)
class Figure:
    """One figure. ``caption`` says what is drawn and what every interval is; ``frame`` has the same numbers.

    ``name`` is the stem of its files. ``canvas`` holds the drawing alone: title and caption stand around it in files,
    and beside it in a page.
    """

    name: str
    title: str
    caption: str
    frame: pd.DataFrame
    canvas: Canvas

    def __post_init__(self) -> None:
        with drawing():
            # Once, so that all files are of one drawing: another pass would move things a little.
            if (layout := self.canvas.get_layout_engine()) is not None:
                layout.execute(self.canvas)
            self.canvas.set_layout_engine("none")

    def svg(self, *, words: bool = True) -> str:
        """The figure as an SVG document, the same bytes for the same numbers; ``words``: with title and caption."""
        return _tidied(self._saved("svg", words).decode("utf-8"))

    def png(self, *, words: bool = True) -> bytes:
        """The figure as a PNG image; on white paper, with words, in the 256 colours that are nearest to its own."""
        image = self._saved("png", words)
        return _with_palette(image) if words else image

    def csv(self) -> str:
        """The numbers: fractions in full."""
        return frame_csv(self.frame)

    def _saved(self, file_format: str, words: bool) -> bytes:
        out = io.BytesIO()
        with drawing():
            around = self._words() if words else []
            # Whatever stands around the axes makes the page larger, measured at the resolution of the file, in which
            # letters may be wider than in another: nothing is ever cut off.
            self.canvas.savefig(out, format=file_format, dpi=_DPI, bbox_inches="tight", pad_inches=0.08,
                                metadata=_METADATA[file_format],
                                transparent=not words)  # fmt: skip
            for text in around:
                text.remove()
        return out.getvalue()

    def _words(self) -> list[Text]:
        # Inches from the edges, as the page may be of any height.
        height = float(self.canvas.get_figheight())
        legends = [one.get_window_extent().height / self.canvas.dpi for one in self.canvas.legends]
        above: dict[str, Any] = {
            "va": "bottom",
            "ha": "left",
            "fontsize": 10.5,
            "fontweight": "bold",
            "linespacing": 1.25,
        }
        below: dict[str, Any] = {"va": "top", "ha": "left", "fontsize": 7.5, "linespacing": 1.35}
        title = self.canvas.text(
            0.01, 1 + (0.14 + sum(legends)) / height, wrapped(short(self.title, LONGEST_TITLE), 82), **above
        )
        caption = self.canvas.text(0.01, -0.08 / height, wrapped(self.caption, 126), **below)
        return [title, caption]


def _with_palette(png: bytes) -> bytes:
    """``png`` in a palette: less than half the size, and no colour is off by more than can be seen."""
    from PIL import Image

    out = io.BytesIO()
    with Image.open(io.BytesIO(png)) as image:
        dpi = image.info["dpi"]
        colours = image.convert("RGB").quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    colours.save(out, format="png", optimize=True, dpi=dpi)
    return out.getvalue()


def _tidied(svg: str) -> str:
    """``svg`` without comments, which repeat its texts, and without digits that nobody can see."""
    svg = re.sub(r"<!--.*?-->\n?|<metadata>.*?</metadata>\n?", "", svg, flags=re.DOTALL)
    return re.sub(r"scale\([^)]*\)|(\d+\.\d\d)\d+", lambda found: found[1] or found[0], svg)


def write_figures(figures: Sequence[Figure], folder: Path) -> list[Path]:
    """Write every figure as SVG, PNG and CSV into ``folder``; returns the files.

    Raises:
        StoreError: If ``folder`` is a file, or the disk does not take them.
    """
    require_folder_place(folder)
    written = []
    for figure in figures:
        for ending, content in (("svg", figure.svg().encode()), ("png", figure.png()), ("csv", figure.csv().encode())):
            path = folder / f"{figure.name}.{ending}"
            write_whole(path, partial(_fill, content))
            written.append(path)
    return written


def _fill(content: bytes, path: Path) -> None:
    path.write_bytes(content)
