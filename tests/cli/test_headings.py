"""Every option of `snibench run` stands once in its help, under a heading."""

from __future__ import annotations

import click
from click.testing import CliRunner

from snibench.cli import cli
from snibench.cli.headings import Grouped
from snibench.cli.run import run


def test_every_option_of_a_run_stands_under_one_heading_of_its_help() -> None:
    assert isinstance(run, Grouped)
    grouped = [option for options in run.headings.values() for option in options]
    assert len(grouped) == len(set(map(id, grouped)))
    assert set(map(id, run.params)) == set(map(id, grouped))


def test_the_help_of_a_run_has_its_headings_and_says_how_to_keep_the_heap() -> None:
    shown = CliRunner().invoke(cli, ["run", "--help"]).output
    lines = shown.splitlines()
    assert [line for line in lines if line in {f"{heading}:" for heading in run.headings}] == [
        f"{heading}:" for heading in run.headings
    ]
    assert "GLIBC_TUNABLES" in shown


def test_what_no_heading_names_is_shown_all_the_same() -> None:
    @click.command(cls=Grouped, headings={"First": [click.Option(["--a"])]})
    @click.option("--b")
    def command(a: str, b: str) -> None: ...

    shown = CliRunner().invoke(command, ["--help"]).output
    assert shown.index("First:") < shown.index("--a") < shown.index("Other options:") < shown.index("--b")
    assert shown.count("--b ") == 1
