"""Conflict tables and heat map of a stored run, and the command that shows them."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner
from pandas.testing import assert_frame_equal

from snibench.base.errors import StoreError, UsageError
from snibench.base.types import Mixture
from snibench.cli import conflicts as command
from snibench.report.conflict import build_conflicts, conflict_pairs, heat_map, pair_frame, panels, scores
from snibench.report.traces import training_traces
from snibench.store import write_frame

TASKS = [f"task{index}" for index in (0, 1, 4, 5)]  # two categories


def cosine(first: str, second: str, share: float, seed: int) -> float:
    """Tasks of one category agree, others oppose each other, more at the end, with a little from the seed."""
    alike = int(first[4:]) % 4 == int(second[4:]) % 4
    return (0.6 if alike else -0.2 - 0.4 * share) + 0.01 * (seed - 1)


@pytest.fixture
def measured(make_results, tmp_path):
    results = replace(make_results(), folder=tmp_path)
    for record in results.records:
        for point in record.conflict:
            pairs = [
                (a, b, cosine(a, b, float(point), record.seed), 0.05, -0.1, 0.3) for a, b in combinations(TASKS, 2)
            ]
            names = ["first", "second", "cosine", "standard_error", "output_cosine", "output_standard_error"]
            write_frame(tmp_path / record.fit / "conflict" / f"{point}.parquet", pd.DataFrame(pairs, columns=names))
    return results


def test_pairs_are_means_over_seeds_with_their_categories(measured) -> None:
    pairs = pair_frame(measured)
    ours = pairs[(pairs["method"] == "ours") & (pairs["share"] == 1.0)].set_index(["first", "second"])
    assert len(ours) == 6
    assert ours.loc[("task0", "task1"), "cosine"] == pytest.approx(-0.6)
    assert ours.loc[("task0", "task4"), "cosine"] == pytest.approx(0.6)
    assert ours.loc[("task0", "task1"), "n_seeds"] == 3
    assert ours.loc[("task0", "task1"), "first_category"] == "Sentiment Analysis"
    assert ours["conflicting"].tolist() == (ours["cosine"] < 0).tolist()
    assert "untuned" not in set(pairs["method"])


def test_folds_and_mixtures_are_no_further_seeds(measured) -> None:
    whole = next(spec.mixture.tasks for spec in measured.specs if spec.label == "ours")
    others = (Mixture(whole[:1]), Mixture(whole, (0.75, 0.25)))
    first = next(pair for pair in zip(measured.records, measured.specs, strict=True) if pair[1].label == "ours")
    more = [(replace(first[0], fit=f"other{index}"), replace(first[1], mixture=m)) for index, m in enumerate(others)]
    for record, _ in more:
        for share in ("0.0", "1.0"):
            pairs = pd.DataFrame([("task0", "task1", 0.9)], columns=["first", "second", "cosine"])
            write_frame(measured.folder / record.fit / "conflict" / f"{share}.parquet", pairs)
    for record in (*measured.records, *(record for record, _ in more)):
        loss = 5.0 if record.fit.startswith("other") else 1.0
        trace = pd.DataFrame({"step": [1, 2], "loss": [loss, loss]})
        write_frame(measured.folder / record.fit / "trace.parquet", trace)
    results = replace(
        measured,
        records=(*(record for record, _ in more), *measured.records),
        specs=(*(spec for _, spec in more), *measured.specs),
    )
    assert_frame_equal(conflict_pairs(results), conflict_pairs(measured))
    assert_frame_equal(pair_frame(results), pair_frame(measured))
    assert set(training_traces(results)["loss"]) == {1.0}
    assert build_conflicts(results, ["ours"]).table("conflict").frame["n_seeds"].tolist() == [3, 3]


def test_the_table_has_every_method_at_every_point_in_the_order_asked(measured) -> None:
    frame = build_conflicts(measured, ["ours", "mtl-lora"]).table("conflict").frame
    assert list(zip(frame["method"], frame["share"], strict=True)) == [
        ("ours", 0.0), ("ours", 1.0), ("mtl-lora", 0.0), ("mtl-lora", 1.0),
    ]  # fmt: skip
    assert frame["score"].tolist() == pytest.approx([0.02, 0.06, 0.02, 0.06])


def test_a_noisy_measurement_is_starred(measured) -> None:
    def noisy(record, error):
        points = {point: {**values, "standard_error": error} for point, values in record.conflict.items()}
        return replace(record, conflict=points)

    for error, starred in ((0.19, False), (0.21, True)):
        records = tuple(noisy(record, error) for record in measured.records)
        frame = build_conflicts(replace(measured, records=records)).table("conflict").frame
        assert frame["unresolved"].tolist() == [starred] * len(frame)


def test_the_strongest_pairs_are_those_furthest_apart_at_the_end(measured) -> None:
    frame = build_conflicts(measured, ["ours"]).table("strongest").frame
    assert set(frame["share"]) == {1.0}
    assert len(frame) == 4
    assert frame["cosine"].max() < 0
    assert frame["cosine"].is_monotonic_increasing


def test_panels_are_methods_at_their_end_or_one_method_on_its_way(measured) -> None:
    assert list(panels(build_conflicts(measured, ["ours"]))) == ["ours, 0% trained", "ours, 100% trained"]
    both = build_conflicts(measured, ["mtl-lora", "ours"])
    assert list(panels(both)) == ["mtl-lora, 100% trained", "ours, 100% trained"]
    assert scores(both)["ours, 100% trained"] == pytest.approx(0.06)


def test_the_heat_map_stands_in_order_of_category_and_is_readable_without_colours(measured) -> None:
    pairs = panels(build_conflicts(measured, ["ours"]))["ours, 100% trained"]
    known = {"task0": "Zebra", "task4": "Zebra", "task1": "Ant", "task5": "Ant"}
    _, _, *rows, scale = [line.plain for line in heat_map(pairs, known, "heading")]
    assert [row.split("(")[0].split()[-1] for row in rows] == ["task1", "task5", "task0", "task4"]
    assert rows[0].startswith(" 1  \\ +++------ task1")
    assert "-0.6 (apart) to +0.6 (alike)" in scale
    blocks = heat_map(pairs, known, "heading")[2].spans
    colours = {str(span.style) for span in blocks if "on" in str(span.style)}
    assert colours == {"black on rgb(86,180,233)", "black on rgb(230,159,0)"}


def test_a_cosine_that_is_not_known_is_no_zero() -> None:
    pairs = pd.DataFrame({"first": ["a", "a"], "second": ["b", "c"], "cosine": [float("nan"), 0.0]})
    row = heat_map(pairs, {}, "")[2].plain
    assert row.startswith(" 1  \\  ?  . ")


def test_text_of_data_files_is_no_markup(measured) -> None:
    pairs = pd.DataFrame({"first": ["[red]a"], "second": ["b\x1b[31m"], "cosine": [0.5]})
    plain = "".join(line.plain for line in heat_map(pairs, {"[red]a": "[bold]"}, "[i]"))
    assert "[red]a ([bold])" in plain
    assert "\x1b" not in plain


def test_an_unknown_method_and_a_run_without_measurement_are_said(measured, make_results, tmp_path) -> None:
    with pytest.raises(UsageError, match="Did you mean 'ours'"):
        build_conflicts(measured, ["our"])
    with pytest.raises(StoreError, match="--conflict ends"):
        build_conflicts(replace(make_results(), folder=tmp_path / "none"))


# ------------------------------------------------------------------------------------------ the command


@pytest.fixture
def call(measured, monkeypatch):
    monkeypatch.setattr("snibench.store.load_results", lambda folder, **_: replace(measured, folder=measured.folder))

    def run(*arguments: str):
        return CliRunner().invoke(command.conflicts, list(arguments), catch_exceptions=False)

    return run


def test_the_command_shows_tables_and_a_map(call) -> None:
    shown = call("-m", "ours")
    assert shown.exit_code == 0
    for words in ("Gradient conflict", "Tasks that pull apart most", "ours, 100% trained", "cos(g_t, g_u) ="):
        assert words in shown.output
    assert "\x1b" not in shown.output  # no terminal: plain text


def test_csv_and_json_hold_the_whole_matrix(call) -> None:
    tables = json.loads(call("--as", "json").output)["tables"]
    assert len(tables["pairs"]["rows"]) == 3 * 2 * 6
    lines = call("--as", "csv", "-m", "ours").output.splitlines()
    assert sum(line.startswith("pairs,ours,1.0,") and ",cosine," in line for line in lines) == 6


@pytest.mark.parametrize("ending", ["svg", "png"])
def test_a_figure_is_written(call, ending, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / f"map.{ending}"
    assert call("--figure", str(path)).exit_code == 0
    content = path.read_bytes()
    assert content.startswith(b"\x89PNG" if ending == "png" else b"<?xml")
    assert ending == "png" or b"<svg" in content


def test_a_figure_of_another_kind_is_refused(call, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"must end in \.svg or \.png"):
        call("--figure", str(tmp_path / "map.gif"))
