"""All figures of a run: what must be in each, the numbers beside it, and methods that look alike everywhere."""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("matplotlib")

from matplotlib.colors import to_hex
from matplotlib.image import imread

from snibench.base.errors import MissingExtra
from snibench.report import Report, build
from snibench.report.figures import draw, write_figures
from snibench.report.figures.style import BASELINE, INK, looks, rows_and_columns
from snibench.store import StoredRun, write_frame


@pytest.fixture(scope="module")
def figures(make_results: Callable[..., StoredRun], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The figures of a run whose fits also left traces and conflict."""
    folder = tmp_path_factory.mktemp("runs")
    results = make_results()
    results = StoredRun(**{**vars(results), "folder": folder})
    rng = np.random.default_rng(0)
    first, second = np.triu_indices(5, 1)
    for spec in results.specs:
        if spec.method == "untuned":
            continue
        write_frame(
            folder / spec.id / "trace.parquet",
            pd.DataFrame({"step": range(1, 25), "loss": 2.0 + spec.seed + rng.normal(0, 0.01, 24)}),
        )
        pairs = {"first": [f"task{i}" for i in first], "second": [f"task{i}" for i in second]}
        write_frame(folder / spec.id / "conflict" / "1.0.parquet", pd.DataFrame({**pairs, "cosine": 0.1}))
    return {figure.name: figure for figure in draw(results, build(results))}


def numbers(figure: Any) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(figure.csv())))


def test_a_full_run_has_every_figure_and_each_caption_says_what_its_intervals_are(figures: dict[str, Any]) -> None:
    assert set(figures) == {
        *("forest", "ranks", "gap", "figure3-categories", "figure2-formats", "figure4-combos"),
        *("conflict", "learning-curves", "cost", "format-differences", "combo-differences"),
    }
    for figure in figures.values():
        said = ("95% confidence interval", "No confidence interval", "no confidence interval", "means over seeds")
        assert any(words in figure.caption for words in said), figure.name


def test_the_numbers_are_those_of_the_tables(figures: dict[str, Any], make_results: Callable[..., StoredRun]) -> None:
    report = build(make_results())
    formats = report.table("formats").frame.set_index(["method", "format"])
    for row in numbers(figures["figure2-formats"]):
        expected = formats.loc[(row["method"], row["format"])]
        assert [float(row[name]) for name in ("score", "low", "high")] == pytest.approx(
            expected[["score", "low", "high"]].tolist()
        )
    gap = report.table("gap").frame.set_index("method")
    overall = [row for row in numbers(figures["gap"]) if not row["category"]]
    assert {row["method"]: float(row["unseen"]) for row in overall} == pytest.approx(gap["unseen"].to_dict())


PAIRED = {
    "forest": ("category", "All tasks", "comparison_unseen", "categories_unseen", ["category"]),
    "format-differences": ("format", "Mean over formats", "comparison_formats", "format_differences", ["format"]),
    "combo-differences": (
        *("combo", "All combos, above chance", "comparison_combos", "combo_mean_differences"),
        ["combo", "schedule", "history"],
    ),
}


@pytest.mark.parametrize("name", PAIRED)
def test_paired_differences_are_those_of_the_tables_without_controls(
    figures: dict[str, Any], make_results: Callable[..., StoredRun], name: str
) -> None:
    key, first, overall, parts, keys = PAIRED[name]
    report = build(make_results())
    rows = numbers(figures[name])
    assert {row["method"] for row in rows} == {"mtl-lora", "ours"}
    expected = {
        **{(row["method"], first): row for row in report.table(overall).frame.to_dict("records")},
        **{
            (row["method"], *(str(row[one]) for one in keys)): row
            for row in report.table(parts).frame.to_dict("records")
        },
    }
    assert len(rows) == sum(not method.startswith("un") for method, *_ in expected)
    for row in rows:
        place = (first,) if row[key] == first else tuple(row[one] for one in keys)
        for end in ("delta", "delta_low", "delta_high"):
            number = float(row[end]) if row[end] else np.nan
            assert number == pytest.approx(expected[row["method"], *place][end], nan_ok=True)


@pytest.mark.parametrize("name", PAIRED)
def test_the_axis_of_paired_differences_is_no_wider_than_what_it_shows(figures: dict[str, Any], name: str) -> None:
    ends = [float(row[end]) for row in numbers(figures[name]) for end in ("delta_low", "delta_high") if row[end]]
    points = [float(row["delta"]) for row in numbers(figures[name])]
    low, high = figures[name].canvas.axes[0].get_xlim()
    reach = max(*ends, *points, 0.01) - min(*ends, *points, -0.01)
    assert high - low < 1.2 * reach


def test_a_run_of_controls_beside_the_baseline_has_no_paired_figure(make_results: Callable[..., StoredRun]) -> None:
    results = make_results({"untuned": 0.2, "unified-prompt": 0.5})
    assert not set(PAIRED) & {one.name for one in draw(results, build(results))}


def test_bars_start_at_zero_and_are_as_high_as_the_scores(figures: dict[str, Any]) -> None:
    figure = figures["figure2-formats"]
    heights = [patch.get_height() for axes in figure.canvas.axes for patch in axes.patches]
    assert sorted(heights) == pytest.approx(sorted(float(row["score"]) for row in numbers(figure)))
    assert all(axes.get_ylim()[0] == 0 for axes in figure.canvas.axes)


def test_forms_stand_apart_from_changes_of_information_with_the_reference_as_a_line(figures: dict[str, Any]) -> None:
    first, second = figures["figure2-formats"].canvas.axes
    assert [text.get_text() for text in first.get_xticklabels()] == ["definition", "template"]
    assert [text.get_text() for text in second.get_xticklabels()] == ["abstract"]
    rows = numbers(figures["figure2-formats"])
    reference = [r for r in rows if (r["method"], r["format"]) == ("unified-prompt", "definition")]
    dashed = [line.get_ydata()[0] for line in first.lines if line.get_linestyle() == "--"]
    assert dashed == pytest.approx([float(reference[0]["score"])])


def test_categories_have_their_tasks_as_dots_and_chance_as_a_tick(figures: dict[str, Any]) -> None:
    axes = figures["figure3-categories"].canvas.axes[0]
    rows = numbers(figures["figure3-categories"])
    single = [row for row in rows if row["task"]]
    assert sum(len(dots.get_offsets()) for dots in axes.collections if len(dots.get_paths()) == 1) >= len(single)
    assert len(single) == 12 * 4
    ticks = {round(line.get_xdata()[0], 6) for line in axes.lines if len(set(line.get_xdata())) == 1}
    assert {0.5, 0.1} <= ticks


def test_boxes_have_type_7_quartiles_and_a_band_as_wide_as_noise(figures: dict[str, Any]) -> None:
    rows = numbers(figures["figure4-combos"])
    boxes = [row for row in rows if row["q1"]]
    for box in boxes:
        same = ("combo", "method", "history")
        streams = [float(r["accuracy"]) for r in rows if r["accuracy"] and all(r[k] == box[k] for k in same)]
        assert float(box["q1"]) == pytest.approx(np.quantile(streams, 0.25))
        assert float(box["n"]) == len(streams)
    panel = figures["figure4-combos"].canvas.axes[0]
    bands = sorted(patch.get_height() for patch in panel.patches if type(patch).__name__ == "Rectangle")
    here = [box for box in boxes if box["combo"] == boxes[0]["combo"]]
    assert bands == pytest.approx(sorted(1.349 * float(box["noise_sd"]) for box in here))


def test_the_rank_diagram_has_a_ruler_for_nemenyi_alone(figures: dict[str, Any]) -> None:
    flips, nemenyi = figures["ranks"].canvas.axes
    assert not [text for text in flips.texts if text.get_text().startswith("CD")]
    assert [text for text in nemenyi.texts if text.get_text().startswith("CD")]
    assert all(words in figures["ranks"].caption for words in ("N = 12", "alpha = 0.05", "sign-flip", "Nemenyi"))


@pytest.mark.slow
def test_floors_stand_in_the_scatter_and_are_neither_ranked_nor_compared_nor_bars(
    make_results: Callable[..., StoredRun],
) -> None:
    levels = {"untuned": 0.2, "unified-prompt": 0.5, "mtl-lora": 0.55, "ours": 0.6}
    plain, beside = make_results(levels), make_results({**levels, "copy-input": 0.55, "majority": 0.9})
    without, found = ({one.name: one for one in draw(each, build(each))} for each in (plain, beside))
    for name in ("ranks", "forest", "figure3-categories", "figure4-combos"):
        assert numbers(found[name]) == numbers(without[name])
    assert {"copy-input", "majority"}.isdisjoint(row["method"] for row in numbers(found["figure2-formats"]))
    assert any("majority" in row.values() for row in numbers(found["gap"]))


def test_curves_are_banded_by_the_lowest_and_the_highest_seed(figures: dict[str, Any]) -> None:
    last = [row for row in numbers(figures["learning-curves"]) if row["step"] == "24"]
    assert len(last) == 3
    for row in last:
        found = [float(row[name]) for name in ("lowest", "loss", "highest")]
        assert found == pytest.approx([2.0, 3.0, 4.0], abs=0.05)


def test_losses_that_fall_to_a_tenth_have_a_logarithmic_axis(figures: dict[str, Any]) -> None:
    from snibench.report.figures.curves import spans_decades

    losses = {"lowest": [9.0, 0.5], "loss": [9.5, 0.9]}
    assert spans_decades(pd.DataFrame(losses))
    assert not spans_decades(pd.DataFrame(losses | {"lowest": [9.0, 0.96]}))
    assert not spans_decades(pd.DataFrame(losses | {"lowest": [9.0, 0.0]}))  # no logarithm
    assert figures["learning-curves"].canvas.axes[0].get_yscale() == "linear"


def test_dotted_lines_of_what_is_not_tuned_are_named_from_the_top(make_results: Callable[..., StoredRun]) -> None:
    levels = {"untuned": 0.2, "unified-prompt": 0.5, "mtl-lora": 0.55, "ours": 0.6, "majority": 0.4}
    results = make_results(levels)
    (cost,) = (one for one in draw(results, build(results)) if one.name == "cost")
    named = re.search(r"Dotted, from the top, what is not tuned: (.*?\d)\. Times", cost.caption)
    assert named
    names = [part.rsplit(" ", 1) for part in named[1].split(", ")]
    assert [name for name, _ in names] == ["majority", "untuned"]
    assert float(names[0][1]) > float(names[1][1])
    assert [text.get_text() for text in cost.canvas.legends[0].get_texts()] == ["unified-prompt", "mtl-lora", "ours"]


@pytest.mark.parametrize(
    ("panels", "most", "grid"), [(1, 4, (1, 1)), (4, 4, (1, 4)), (5, 4, (2, 3)), (9, 4, (3, 3)), (13, 4, (4, 4))]
)
def test_panels_fill_rows_evenly(panels: int, most: int, grid: tuple[int, int]) -> None:
    assert rows_and_columns(panels, most) == grid


GALLERY = Path(__file__).parents[3] / "docs" / "gallery.md"
LARGEST = 1_000_000  # bytes of all pictures


def test_the_gallery_shows_every_figure(figures: dict[str, Any]) -> None:
    if not GALLERY.exists():
        pytest.skip("the documents are not part of this checkout")
    text = GALLERY.read_text(encoding="utf-8")
    shown = dict(re.findall(r"^## .*: `([\w-]+)`\n\n!\[[^\]]+\]\((gallery/[\w-]+\.png)\)$", text, re.M))
    assert set(shown) == set(figures) | {"similarity-unseen", "similarity-combos"}
    assert all(picture == f"gallery/{name}.png" for name, picture in shown.items())
    pictures = list((GALLERY.parent / "gallery").iterdir())
    assert {picture.stem for picture in pictures} == set(shown)
    assert sum(picture.stat().st_size for picture in pictures) < LARGEST


def test_files_come_in_threes(figures: dict[str, Any], tmp_path: Path) -> None:
    written = write_figures([figures["forest"]], tmp_path / "new")
    assert sorted(path.name for path in written) == ["forest.csv", "forest.png", "forest.svg"]


def test_an_image_has_a_palette_and_the_colours_of_the_figure(figures: dict[str, Any]) -> None:
    from PIL import Image

    figure = figures["conflict"]  # of continuous colours
    image = Image.open(io.BytesIO(figure.png()))
    assert image.mode == "P"
    plain = Image.open(io.BytesIO(figure._saved("png", words=True))).convert("RGB")
    off = np.abs(np.asarray(image.convert("RGB")).astype(int) - np.asarray(plain).astype(int))
    assert off.max() <= 8


def test_nothing_is_cut_off_at_an_edge(figures: dict[str, Any]) -> None:
    for figure in figures.values():
        image = imread(io.BytesIO(figure.png()))[..., :3]
        edges = np.concatenate([part.reshape(-1, 3) for part in (image[:4], image[-4:], image[:, :4], image[:, -4:])])
        assert (edges == 1.0).all(), figure.name


def test_a_figure_in_a_page_has_its_legend(figures: dict[str, Any]) -> None:
    for name in ("gap", "figure2-formats", "figure3-categories", "figure4-combos", "learning-curves", "cost"):
        legend = figures[name].canvas.legends[0]
        with_it = figures[name].svg(words=False)
        legend.set_visible(False)
        without = figures[name].svg(words=False)
        legend.set_visible(True)
        heights = [float(re.search(r'viewBox="0 0 \S+ (\S+)"', svg)[1]) for svg in (with_it, without)]  # type: ignore[index]
        assert heights[0] > heights[1] + 5, name


def test_a_method_has_one_colour_whatever_else_is_there_and_the_baseline_is_grey() -> None:
    few = looks(["untuned", "unified-prompt", "ours"], "unified-prompt", ["untuned"])
    many = looks(["ours", "mtl-lora", "unified-prompt", "prompt-aligned", "untuned"], "unified-prompt", ["untuned"])
    assert few["ours"] == many["ours"]
    assert (few["unified-prompt"].color, few["untuned"].color) == (BASELINE, INK)


def test_fourteen_methods_are_told_apart_without_their_colours() -> None:
    found = looks([f"method{i}" for i in range(14)])
    assert len({look.marker for look in found.values()}) == 14
    assert len({(look.color, look.hatch) for look in found.values()}) == 14


def test_many_lines_and_markers_are_told_apart() -> None:
    found = looks([f"method{i}" for i in range(29)], "method0")
    assert len({(look.color, look.dashes) for look in found.values()}) == 29
    assert len({(look.color, look.marker) for look in looks([f"method{i}" for i in range(98)]).values()}) == 98


@pytest.mark.slow
def test_the_names_of_many_methods_do_not_lie_on_each_other(make_results: Callable[..., StoredRun]) -> None:
    many = {"unified-prompt": 0.5} | {f"lora+some-rule-{i}": 0.3 + i / 60 for i in range(29)}
    results = make_results(many, seeds=(0,))
    found = {
        figure.name: figure for figure in draw(results, build(results)) if figure.name in ("figure4-combos", "ranks")
    }
    for name, figure in found.items():
        page = figure.canvas
        page.draw_without_rendering()
        axes = page.axes[-1]
        words = [
            text for text in (axes.get_xticklabels() if name == "figure4-combos" else axes.texts) if text.get_text()
        ]
        spots = [text.get_window_extent() for text in words if name == "figure4-combos" or text.get_text().isdigit()]
        assert len(spots) > 10, name
        assert not any(one.overlaps(two) for one, two in pairwise(spots)), name
    assert len(found) == 2


def test_every_bar_of_a_method_has_its_colour(figures: dict[str, Any]) -> None:
    expected = looks(["untuned", "unified-prompt", "mtl-lora", "ours"], "unified-prompt", ["untuned"])
    for name in ("figure2-formats", "figure3-categories"):
        drawn = {to_hex(patch.get_facecolor()) for axes in figures[name].canvas.axes for patch in axes.patches}
        assert drawn == {look.color for look in expected.values()}


def test_without_matplotlib_the_error_says_what_to_install(
    results: StoredRun, report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtra, match=r"snibench\[plots\]"):
        draw(results, report)
