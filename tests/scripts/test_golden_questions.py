"""No question changes unnoticed: digests of every prompt that the protocols ask."""

from __future__ import annotations

import json
from pathlib import Path

import golden_questions
import pytest
from official import OFFICIAL

KNOWN = json.loads(golden_questions.GOLDEN.read_text(encoding="utf-8"))
WHAT_TO_DO = (
    "The questions of '{}' are not those of tests/golden/questions.json. If that is meant: bump `version` of the "
    "protocol, or keep it if only the suite changed; list the change under Numbers in CHANGELOG.md; then run "
    "python scripts/golden_questions.py --write"
)


@pytest.mark.slow
@pytest.mark.parametrize("name", golden_questions.REQUESTS)
def test_the_questions_are_those_that_were_asked_before(name: str, sample: Path) -> None:
    about = golden_questions.REQUESTS[name][0]
    if about == golden_questions.REAL and not OFFICIAL.is_dir():
        pytest.skip("needs real tasks: set SNIBENCH_TEST_SNI")
    folder = {golden_questions.OURS: sample, golden_questions.REAL: OFFICIAL}.get(about)
    assert golden_questions.questions(name, folder) == KNOWN[name], WHAT_TO_DO.format(name)


def test_every_request_has_its_digests_under_the_versions_of_today() -> None:
    from snibench.base.registry import PROTOCOLS

    assert set(KNOWN) == set(golden_questions.REQUESTS)
    for one in KNOWN.values():
        assert {name: found["version"] for name, found in one["protocols"].items()} == {
            name: PROTOCOLS.get(name).version for name in ("gap", "formats", "combos")
        }
