"""A format that lets the model think, and reads the answer from what it said."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from snibench import metrics

SHORT = shlex.split("--tasks 4 --steps 40 --per-step 2,2 --limit 2 --max-output 40 --conflict off --seeds 0")
SOURCE = '''
from snibench.api import BaseMethod, Format, FormatFlags, attach_all, cue, definition, instruction, prompt_of, query


class Steps(Format):
    """Reasoning on lines of its own, then the answer, up to END."""

    flags = FormatFlags("full", "I")

    def render(self, task, input, rng):
        return prompt_of(instruction(definition(task)), cue("\\nInput: "), query(input), cue("\\nThink first.\\n"))

    def stop(self, task):
        return "END"

    def read(self, text):
        return text.rpartition("Answer:")[2].strip()


class Thinks(BaseMethod):
    """Every parameter, tuned to think on two lines, to answer on further ones, and to go on behind them."""

    def attach(self, model, cards, encode, seed):
        return attach_all(model)

    def targets(self, card, instance, rng):
        return ["so\\nso\\nAnswer:\\nyes\\nno\\nEND of it"]
'''


@pytest.mark.slow
def test_a_chain_of_thought_is_kept_and_its_answer_is_scored(snibench: Any, tmp_path: Path) -> None:
    file, runs = tmp_path / "mine.py", tmp_path / "runs"
    file.write_text(SOURCE, "utf-8")
    command = ["run", "-m", f"{file}:Thinks", "--learning-rate", "0.003", "--no-baseline", "--protocol", "formats"]
    command += ["--formats", f"definition,{file}:Steps", "--train-format", f"{file}:Steps", *SHORT, "-o", runs]
    done = snibench(*command)
    assert done.code == 0, done.err
    (folder,) = (path.parent for path in runs.glob("*/record.json") if "Thinks" in path.read_text())
    said = pd.concat(pd.read_parquet(path) for path in folder.glob("predictions/*.parquet")).set_index("prompt_sha")
    (file_of_rows,) = folder.glob("**/formats*.parquet")
    rows = pd.read_parquet(file_of_rows)
    steps = rows[rows["format"] != "definition"]
    assert len(steps) > 0
    for row in steps.itertuples():
        assert said.loc[row.prompt_sha, "prediction"] == "so\nso\nAnswer:\nyes\nno"  # over several lines, not further
        assert row.prediction == "yes\nno"
        assert row.exact_match == metrics.exact_match("yes\nno", tuple(row.targets))
    plain = rows[rows["format"] == "definition"]
    assert not plain["prediction"].str.contains("\n").any()
    assert json.loads((folder / "record.json").read_text())["status"] == "done"
