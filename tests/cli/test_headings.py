"""Every option of `snibench run` stands once in its help, under a heading."""

from __future__ import annotations

import click
from click.testing import CliRunner

from snibench.cli import cli
from snibench.cli.headings import Grouped
from snibench.cli.run import run


def test_every_option_of_a_run_has_one_heading_and_no_heading_names_what_is_not_there() -> None:
    assert isinstance(run, Grouped)
    named = [name for names in run.headings.values() for name in names]
    assert sorted(named) == sorted(str(param.name) for param in run.params)


def test_the_help_of_a_run_has_its_headings_and_says_how_to_keep_the_heap() -> None:
    shown = CliRunner().invoke(cli, ["run", "--help"]).output
    lines = shown.splitlines()
    assert [line for line in lines if line in {f"{heading}:" for heading in run.headings}] == [
        f"{heading}:" for heading in run.headings
    ]
    assert "GLIBC_TUNABLES" in shown


def test_what_no_heading_names_is_shown_all_the_same() -> None:
    @click.command(cls=Grouped, headings={"First": ("a",)})
    @click.option("--a")
    @click.option("--b")
    def command(a: str, b: str) -> None: ...

    shown = CliRunner().invoke(command, ["--help"]).output
    assert shown.index("First:") < shown.index("--a") < shown.index("Other options:") < shown.index("--b")
    assert shown.count("--b ") == 1
