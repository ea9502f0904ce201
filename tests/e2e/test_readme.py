"""What README shows works as it is written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from snibench.store import load_results

README = Path(__file__).parents[2] / "README.md"


@pytest.mark.slow
def test_the_method_of_the_readme_runs_from_its_file(snibench, small, tmp_path) -> None:
    (source,) = re.findall(r"```python\n# mine.py\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "mine.py").write_text(source, encoding="utf-8")
    options = ["--seeds", "0", "--no-baseline", "--protocol", "gap", *small, "-o", tmp_path / "runs"]
    ended = snibench("run", "-m", f"{tmp_path / 'mine.py'}:Mine", *options)
    assert ended.code == 0, ended
    assert {(record.label, record.status) for record in load_results(tmp_path / "runs").records} == {
        (f"{tmp_path / 'mine.py'}:Mine", "done")
    }


def test_every_page_that_the_readme_names_is_there() -> None:
    text = README.read_text(encoding="utf-8")
    pages = {target for target in re.findall(r"\]\(([^)]+)\)", text) if not target.startswith("http")}
    assert pages
    assert not [page for page in sorted(pages) if not (README.parent / page).is_file()]


def test_every_command_that_the_readme_shows_exists(snibench) -> None:
    text = README.read_text(encoding="utf-8")
    shown = {line.split()[1] for line in re.findall(r"^snibench \w+.*$", text, re.MULTILINE)}
    assert shown >= {"run", "ls", "show", "report", "compare", "leaderboard", "score"}
    for command in sorted(shown):
        assert snibench(command, "--help").code == 0
