"""The boards and the recipe in leaderboards/ do what they say."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from snibench.cli import main
from snibench.leaderboard.export import export
from snibench.leaderboard.verify import verify
from snibench.store import StoredRun

FOLDER = Path(__file__).parents[2] / "leaderboards"
BOARDS = sorted(FOLDER.glob("*/board.json"))
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the boards are not here")


def commands(recipe: Path) -> list[list[str]]:
    """The commands of snibench in a workflow, as a shell would split them."""
    lines = re.findall(r"^\s*(?:- )?(?:run: )?(snibench leaderboard .*)$", recipe.read_text("utf-8"), re.MULTILINE)
    return [shlex.split(line)[1:] for line in lines]


@pytest.mark.slow
def test_the_recipe_for_submissions_validates_verifies_merges_and_makes_a_page(
    make: Callable[..., StoredRun], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    export(make({"unified-prompt": 0.5, "ours": 0.8}, seeds=(0,)), Path("board.json"), ["Us"])
    (tmp_path / "submissions" / "lab").mkdir(parents=True)
    export(make({"unified-prompt": 0.5, "mtl-lora": 0.6}, seeds=(0,)), Path("submissions/lab/theirs.json"), ["A Lab"])
    asked = commands(FOLDER / "ci" / "submissions.yml")
    assert [one[1] for one in asked] == ["validate", "verify", "merge", "verify", "page"]
    (tmp_path / "joint").mkdir()
    for one in asked:
        words = [str(path) for word in one for path in (sorted(Path().glob(word)) if "*" in word else [word])]
        with pytest.raises(SystemExit) as stopped:
            main(words)
        assert stopped.value.code in (0, None), words
    page = (tmp_path / "joint" / "index.html").read_text("utf-8")
    assert all(label in page for label in ("ours", "mtl-lora", "unified-prompt"))


@pytest.mark.slow
@pytest.mark.parametrize("path", BOARDS, ids=[path.parent.name for path in BOARDS])
def test_a_board_in_the_repository_has_no_fault(path: Path) -> None:
    assert verify(path).faults == ()


@pytest.mark.parametrize("script", ["mini-tiny", "sni-smollm2"])
def test_the_command_of_a_board_is_a_script(script: str) -> None:
    subprocess.run(["bash", "-n", FOLDER / script / "run.sh"], check=True)
