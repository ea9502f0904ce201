"""Digests of every question that the protocols ask, so that no change of a question goes unnoticed.

    python scripts/golden_questions.py                # compare with tests/golden/questions.json
    python scripts/golden_questions.py --write        # after bumping `version`, and a line under Numbers

A digest covers protocol version, tasks, instances, variants, order and the bytes of every prompt. Of data that is not
part of the repository only digests are kept; what is not there is left as it was.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from snibench.base.types import SuiteRequest
from snibench.plan.plan import plan
from snibench.plan.request import PROFILES, RunRequest

GOLDEN = Path(__file__).parents[1] / "tests" / "golden" / "questions.json"
SNI = Path(__file__).parents[2] / "shared" / "sni"

# Every mode of every protocol; one fit that is not tuned answers what all fits are asked.
_MODES: Mapping[str, Any] = {"gap.modes": ("split", "crossfit"), "combos.modes": ("switch", "train")}
_SNI = SuiteRequest("sni", data=str(SNI), partial=True, tasks=40)

REQUESTS: Mapping[str, tuple[str, SuiteRequest]] = {
    "mini, quick": ("quick", SuiteRequest("mini")),
    "mini, paper": ("paper", SuiteRequest("mini")),
    "sni official, 40 tasks, quick": ("quick", _SNI),
    "sni families, 40 tasks, quick": ("quick", SuiteRequest("sni", _SNI.data, "families", 40, partial=True)),
}


def questions(name: str) -> dict[str, Any]:
    """The digests of one request: of its suite, and of each protocol with its version and number of questions."""
    profile, suite = REQUESTS[name]
    made = plan(RunRequest(("untuned",), suite, "tiny", baseline=None, profile=PROFILES[profile], settings=_MODES))
    (fit,) = made.fits
    return {
        "suite": made.suite.digest,
        "protocols": {
            one.protocol: {"version": one.version, "questions": len(one.rendered), "digest": one.digest}
            for one in fit.questions
        },
    }


def available() -> list[str]:
    """The requests whose data are there."""
    return [name for name, (_, suite) in REQUESTS.items() if suite.data is None or Path(suite.data).is_dir()]


def main() -> int:
    """Compare or write; the exit code."""
    known = json.loads(GOLDEN.read_text(encoding="utf-8")) if GOLDEN.exists() else {}
    found = {name: questions(name) for name in available()}
    if "--write" in sys.argv[1:]:
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(json.dumps(known | found, indent=1) + "\n", encoding="utf-8")
        return 0
    changed = [name for name in found if found[name] != known.get(name)]
    print("\n".join(f"{name}: the questions have changed" for name in changed) or "No question has changed.")
    return int(bool(changed))


if __name__ == "__main__":
    sys.exit(main())
