"""Config files of ``snibench run``: what the command makes of a file, and the file that it writes."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snibench.base.errors import UsageError
from snibench.cli import run as module
from snibench.cli.config import as_toml, save_config
from snibench.plan.request import RunRequest

DOCS = Path(__file__).parents[2] / "docs" / "config.md"


def request_of(*arguments: object) -> RunRequest:
    with module.run.make_context("run", [str(one) for one in arguments]) as ctx:
        return module.request_of(ctx.params)


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "run.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_example_of_the_manual_is_read_as_it_says(tmp_path: Path) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", DOCS.read_text(encoding="utf-8"), flags=re.S)
    request = request_of("--config", written(tmp_path, example))
    assert request.methods == ("ours", "ours(projection=false)")
    assert request.seeds == (0, 1)
    assert (request.recipe.tasks_per_step, request.recipe.instances_per_task) == (8, 4)
    assert request.suite.tasks == 8
    assert request.baseline is None
    assert request.settings == {"r": "4", "gap.modes": "split,crossfit"}
    assert request.everywhere == {"dropout": "0.1"}


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ('method = "ours"', ["-m", "ours"]),
        ('method = "ours"\nseeds = "0-4"', ["-m", "ours", "--seeds", "0,1,2,3,4"]),
        ('method = "ours"\nseeds = [3, "5-6"]', ["-m", "ours", "--seeds", "3,5,6"]),
        ('method = "ours"\nseeds = 7', ["-m", "ours", "--seeds", "7"]),
        ('method = "ours"\nper-step = [4, 2]', ["-m", "ours", "--per-step", "4,2"]),
        ('method = "ours"\nset = ["r=4"]', ["-m", "ours", "--set", "r=4"]),
        ('method = "ours"\n[set]\njoint = false\nsimilarity = false',
         ["-m", "ours", "--set", "joint=false", "--set", "similarity=false"]),
        ('method = "ours"\ncategories = ["Text Matching"]', ["-m", "ours", "--categories", "Text Matching"]),
    ],
)  # fmt: skip
def test_a_file_and_a_command_make_one_request(text: str, arguments: list[str], tmp_path: Path) -> None:
    assert request_of("--config", written(tmp_path, text)) == request_of(*arguments)


def test_a_flag_overrides_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, 'method = ["ours", "lora"]\nseeds = [0]')
    request = request_of("--config", path, "-m", "full", "--seeds", "1-2")
    assert (request.methods, request.seeds) == (("full",), (1, 2))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('method = "ours"\n[model]\na = 1', "model is a table"),
        ("method = [[1]]", "a value or a list of values"),
        ('methd = "ours"', "Did you mean 'method'"),
    ],
)
def test_what_is_no_option_is_refused_by_file_and_key(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=words) as refused:
        request_of("--config", written(tmp_path, text))
    assert "run.toml" in str(refused.value)


@pytest.mark.parametrize("seeds", ["2-0", "-1", "0-", "a-b", "0-2,1"])
def test_a_range_that_is_none_is_refused(seeds: str) -> None:
    with pytest.raises(click.BadParameter):
        request_of("-m", "ours", "--seeds", seeds)


def test_a_saved_file_is_the_same_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = written(tmp_path, 'method = ["ours", "lora+pcgrad"]\n[set]\nr = 4')
    monkeypatch.setenv("SNIBENCH_RUN_LIMIT", "3")
    arguments = ["--config", base, "--seeds", "0-2", "--per-step", "4,2", "--partial", "--pair", "x=a/b", "--dry-run"]
    arguments += ["--report-to", "wandb,mlflow"]
    saved = tmp_path / "saved.toml"
    with module.run.make_context("run", [str(one) for one in arguments], auto_envvar_prefix="SNIBENCH_RUN") as ctx:
        first = module.request_of(ctx.params)
        save_config(ctx, saved)
    monkeypatch.delenv("SNIBENCH_RUN_LIMIT")
    assert request_of("--config", saved) == first
    assert first.limit == 3
    kept = tomllib.loads(saved.read_text(encoding="utf-8"))
    assert kept.keys() == {"method", "set", "seeds", "per-step", "partial", "pair", "limit", "report-to"}
    assert (kept["seeds"], kept["per-step"], kept["report-to"]) == ([0, 1, 2], [4, 2], ["wandb", "mlflow"])


values = st.one_of(
    st.booleans(), st.integers(-(2**40), 2**40), st.floats(allow_nan=False, allow_infinity=False), st.text()
)


@given(st.one_of(values, st.lists(values, max_size=3)))
def test_any_value_is_written_as_toml_reads_it(value: Any) -> None:
    assert tomllib.loads(f"key = {as_toml(value)}")["key"] == value
