"""The cost table: what a fit takes, and at which learning rate."""

from __future__ import annotations

from dataclasses import replace

from snibench.report import build
from snibench.report.fits import costs


def test_a_rate_that_was_not_searched_for_under_the_recipe_is_marked(results) -> None:
    searched = replace(results, specs=tuple(replace(spec, searched=spec.label == "ours") for spec in results.specs))
    rates = costs(searched).set_index("method")["learning_rate"]
    assert rates["ours"] == "0.001"
    assert rates["unified-prompt"] == "0.001 (not searched)"


def test_the_summary_marks_it_and_a_note_says_where_only_some_rates_were_searched_for(results) -> None:
    searched = replace(results, specs=tuple(replace(spec, searched=spec.label == "ours") for spec in results.specs))
    report = build(searched)
    rates = report.table("summary").frame.set_index("method")["learning_rate"]
    assert rates["ours"] == "0.001"
    assert rates["unified-prompt"] == "0.001 (not searched)"
    (note,) = [note for note in report.notes if note.startswith("Learning rate not searched for")]
    assert "unified-prompt" in note
    assert "ours" not in note
    for known in (True, False):  # of none or of all: no inequality to warn of
        same = replace(results, specs=tuple(replace(spec, searched=known) for spec in results.specs))
        assert not [note for note in build(same).notes if note.startswith("Learning rate")]
