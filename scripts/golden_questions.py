"""Digests of every question that the protocols ask, so that no change of a question goes unnoticed.

    python scripts/golden_questions.py                # compare with tests/golden/questions.json
    python scripts/golden_questions.py --write        # after bumping `version`, and a line under Numbers

A digest covers protocol version, tasks, instances, variants, order and the bytes of every prompt. Suite ``sni`` is
asked about tasks of our own, ``mini`` exported in the official layout; where ``SNIBENCH_TEST_SNI`` names a folder of
real tasks, about those, too. Of these only digests are kept; what is not there is left as it was.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from snibench.base.types import SuiteRequest
from snibench.data.mini import Mini
from snibench.data.official_layout import export_suite
from snibench.plan.options import RequestOptions, request_from
from snibench.plan.plan import plan

GOLDEN = Path(__file__).parents[1] / "tests" / "golden" / "questions.json"
OURS, REAL = "our tasks", "real tasks"

# Every mode of every protocol; one fit that is not tuned answers what all fits are asked.
_EVERYTHING: RequestOptions = {"baseline": None, "gap": ("split", "crossfit"), "combos": ("switch", "train")}
_FORTY: RequestOptions = {"profile": "quick", "tasks": 40, "partial": True}
# Name -> the folder that it is about, and the options of the run.
REQUESTS: Mapping[str, tuple[str | None, RequestOptions]] = {
    "mini, quick": (None, {"profile": "quick"}),
    "mini, paper": (None, {"profile": "paper"}),
    "sni official, our tasks, quick": (OURS, {"profile": "quick"}),
    "sni families, our tasks, quick": (OURS, {"profile": "quick", "split": "families"}),
    "sni official, 40 tasks, quick": (REAL, _FORTY),
    "sni families, 40 tasks, quick": (REAL, {**_FORTY, "split": "families"}),
}


def questions(name: str, folder: Path | None = None) -> dict[str, Any]:
    """The digests of one request about ``folder``: of its suite, and of each protocol with version and questions."""
    options: RequestOptions = {**_EVERYTHING, **REQUESTS[name][1]}
    if folder is not None:
        options["data"] = str(folder)
    made = plan(request_from(["untuned"], options))
    (fit,) = made.fits
    return {
        "suite": made.suite.digest,
        "protocols": {
            one.protocol: {"version": one.version, "questions": len(one.rendered), "digest": one.digest}
            for one in fit.questions
        },
    }


def main() -> int:
    """Compare or write; the exit code."""
    known = json.loads(GOLDEN.read_text(encoding="utf-8")) if GOLDEN.exists() else {}
    with tempfile.TemporaryDirectory() as place:
        ours = Path(place) / "tasks"
        export_suite(Mini().load(SuiteRequest("mini")), ours)
        folders = {None: None, OURS: ours}
        if real := os.environ.get("SNIBENCH_TEST_SNI"):
            folders[REAL] = Path(real)
        found = {name: questions(name, folders[about]) for name, (about, _) in REQUESTS.items() if about in folders}
    if "--write" in sys.argv[1:]:
        GOLDEN.parent.mkdir(exist_ok=True)
        kept = {name: value for name, value in known.items() if name in REQUESTS}
        GOLDEN.write_text(json.dumps(kept | found, indent=1) + "\n", encoding="utf-8")
        return 0
    changed = [name for name in found if found[name] != known.get(name)]
    print("\n".join(f"{name}: the questions have changed" for name in changed) or "No question has changed.")
    return int(bool(changed))


if __name__ == "__main__":
    sys.exit(main())
