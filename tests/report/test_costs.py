"""The cost table: what a fit takes, and at which learning rate."""

from __future__ import annotations

from dataclasses import replace

from snibench.report.fits import costs


def test_a_rate_that_was_not_searched_for_under_the_recipe_is_marked(results) -> None:
    searched = replace(results, specs=tuple(replace(spec, searched=spec.label == "ours") for spec in results.specs))
    rates = costs(searched).set_index("method")["learning_rate"]
    assert rates["ours"] == "0.001"
    assert rates["unified-prompt"] == "0.001 (not searched)"
