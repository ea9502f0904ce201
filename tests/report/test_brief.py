from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace

import pytest
from rich.console import Console

from snibench.base.errors import UsageError
from snibench.protocols.frames import Frames
from snibench.report import Report, build, compare
from snibench.report.brief import brief, picked
from snibench.report.console import render
from snibench.report.files import latex_text
from snibench.report.glossary import GLOSSARY, glossary_text
from snibench.report.tables import build_brief
from snibench.store import StoredRun

Make = Callable[..., StoredRun]
LINES, COLUMNS = 45, 80


def lines(report: Report, width: int = COLUMNS) -> list[str]:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    with console.capture() as captured:
        render(report, console)
    return captured.get().splitlines()


def of_two(make_results: Make) -> StoredRun:
    levels = {"untuned": 0.2, "copy-input": 0.1, "majority": 0.3, "unified-prompt": 0.55, "ours": 0.6}
    return make_results(levels)


def test_the_default_report_fits_one_screen_and_begins_with_the_verdict(make_results: Make) -> None:
    shown = lines(brief(build(of_two(make_results))))
    assert len(shown) <= LINES
    assert max(map(len, shown)) <= COLUMNS
    assert shown[1].startswith("ours against unified-prompt, unseen tasks: +")


def test_a_rate_that_was_not_searched_for_is_marked_in_the_short_summary(make_results: Make) -> None:
    run = of_two(make_results)
    some = replace(run, specs=tuple(replace(spec, searched=spec.label == "ours") for spec in run.specs))
    summary = brief(build(some)).table("summary")
    assert summary.frame["method"].tolist() == ["untuned", "copy-input", "majority", "unified-prompt †", "ours"]
    assert summary.notes[0].startswith("†: its learning rate was not searched for")
    assert "unified-prompt †" not in build(some).table("summary").frame["method"].tolist()  # of exports: the name
    every = replace(run, specs=tuple(replace(spec, searched=True) for spec in run.specs))
    assert not brief(build(every)).table("summary").notes


def test_a_comparison_fits_one_screen(make_results: Make) -> None:
    shown = lines(brief(compare(of_two(make_results), "ours", "unified-prompt")))
    assert len(shown) <= LINES
    assert shown[1].startswith("ours against unified-prompt, unseen tasks: +")


@pytest.mark.parametrize("width", [40, 60, 80])
def test_at_every_width_each_group_of_columns_names_the_method_under_test(make_results: Make, width: int) -> None:
    shown = lines(brief(build(of_two(make_results))), width)
    heads = sum(line.startswith("Method") for line in shown)
    assert sum(line.startswith("ours ") and "against" not in line for line in shown) == heads


def test_with_many_methods_each_has_one_verdict(make_results: Make) -> None:
    levels = {"unified-prompt": 0.55, "mtl-lora": 0.58, "ours": 0.6, "lora": 0.5}
    shown = brief(build(make_results(levels)))
    assert [(v.method, v.question) for v in shown.verdicts] == [(m, "unseen") for m in ("mtl-lora", "ours", "lora")]


@pytest.mark.parametrize(
    "levels",
    [
        {"untuned": 0.2, "majority": 0.3, "unified-prompt": 0.55, "ours": 0.6},
        {"untuned": 0.2, "unified-prompt": 0.55, "mtl-lora": 0.58, "ours": 0.6},
        {"untuned": 0.2, "unified-prompt": 0.55, "mtl-lora": 0.58, "ours": 0.6, "lora": 0.5},
        {"untuned": 0.2, "ours": 0.6},
    ],
)
def test_the_short_report_is_built_alone_and_is_that_of_the_whole_one(
    make_results: Make, levels: dict[str, float]
) -> None:
    run = make_results(levels)
    assert lines(build_brief(run)) == lines(brief(build(run)))


def test_the_short_report_measures_no_frame_that_it_does_not_show(
    make_results: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    kept = Frames.__getitem__
    monkeypatch.setattr(Frames, "__getitem__", lambda self, name: (made.append(name), kept(self, name))[1])
    build_brief(of_two(make_results))
    assert set(made) == {"gap", "format_spread", "combo_means"}


def test_fits_that_failed_are_counted(make_results: Make) -> None:
    report = brief(build(make_results(failed=("mtl-lora",))))
    assert report.notes[0] == "1 fit of this run is not done."
    assert report.notes[1].startswith("mtl-lora (")
    assert report.notes[2] == "To try again: --overwrite failed."
    assert "--all" in report.notes[-1]


def test_a_note_that_changes_how_numbers_are_read_is_always_shown(make_results: Make) -> None:
    run = of_two(make_results)
    lost = (run.answers["method"] == "ours") & (run.answers["protocol"] == "formats") & (run.answers["task"] == "task0")
    manifest = replace(run.manifest, notes=("Something else.",))
    some = replace(run, answers=run.answers[~lost], manifest=manifest)
    for report in (build_brief(some), brief(compare(some, "ours", "unified-prompt"))):
        assert any(note.endswith("notes on this run: Something else.") for note in report.notes)
        (unequal,) = (note for note in report.notes if "not all fits answered the same questions" in note)
        assert unequal.startswith("Protocol formats: ")


def test_tuned_methods_below_a_trivial_baseline_are_named_in_the_short_summary(make_results: Make) -> None:
    levels = {"untuned": 0.2, "majority": 0.7, "unified-prompt": 0.3, "ours": 0.4}
    notes = build_brief(make_results(levels)).table("summary").notes
    (said,) = (note for note in notes if note.startswith("Every tuned method scores below majority ("))
    assert said.endswith("on seen tasks: tune for more steps before you compare methods.")
    one_above = build_brief(make_results({**levels, "ours": 0.9})).table("summary").notes
    assert not any("below majority" in note for note in one_above)


def test_every_number_of_the_short_report_is_in_the_full_one(make_results: Make) -> None:
    full = build(of_two(make_results))
    for table in brief(full).tables:
        whole = full.table(table.name)
        assert set(table.columns[0].fields) <= {field for column in whole.columns for field in column.fields}
        names = table.frame["method"].str.removesuffix(" †")
        assert set(names) <= set(whole.frame["method"])


def test_the_glossary_has_a_sentence_for_each_word() -> None:
    text = glossary_text()
    assert all(f"{term}\n    {meaning}\n" in text for term, meaning in GLOSSARY)
    for word in ("undecided", "this suite", "effect", "similarity", "Holm"):
        assert word in text


def test_tables_and_columns_are_picked_by_name(make_results: Make) -> None:
    report = build(of_two(make_results))
    one = picked(report, ["comparison_unseen"], ["delta", "mde"])
    assert [[column.field for column in table.columns] for table in one.tables] == [["delta", "mde"]]
    latex = latex_text(one)
    assert r"\label{tab:comparison-unseen}" in latex
    assert r"\caption{Compared with unified-prompt: unseen tasks.}" in latex
    with pytest.raises(UsageError, match="Did you mean 'comparison_unseen'"):
        picked(report, ["comparison_unsen"], [])
    with pytest.raises(UsageError, match="Unknown column 'detla'"):
        picked(report, [], ["detla"])
