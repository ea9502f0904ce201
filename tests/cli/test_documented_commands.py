"""Every command line that a document shows parses: the command, its options and their values."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from snibench.cli import cli

ROOT = Path(__file__).parents[2]
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("plugins/*/README.md"), *ROOT.glob("*/README.md")]
# What stands where a user puts a word of their own.
PLACEHOLDERS = re.compile(r"\[[^\]]*\]|\.\.\.")


def shown(path: Path) -> Iterator[str]:
    """The command lines in a document's code blocks, continued ones whole."""
    for block in re.findall(r"^```(?:\w*)\n(.*?)^```", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            command = re.sub(r"^\s*(\$ )?(\.venv\S*/bin/)?", "", line)
            if command.startswith("snibench ") and not PLACEHOLDERS.search(command):
                yield command


LINES = sorted({(path.relative_to(ROOT).as_posix(), line) for path in DOCUMENTS for line in shown(path)})


def parse(line: str) -> None:
    """Raises click.UsageError if the command line has an option or a value that cannot be."""
    words = shlex.split(line.split(" && ")[0].split(" | ")[0].split(" > ")[0], comments=True)[1:]
    command: click.Command = cli
    context = click.Context(command, info_name="snibench")
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        if (found := command.get_command(context, words[0])) is None:
            if command.invoke_without_command:
                break
            raise click.UsageError(f"no command {words[0]}")
        command, context, words = found, click.Context(found, parent=context, info_name=words[0]), words[1:]
    options, _, _ = command.make_parser(context).parse_args(list(words))
    for parameter in command.params:
        if parameter.name in options and isinstance(parameter.type, click.Choice | click.IntRange):
            parameter.type_cast_value(context, options[parameter.name])


@pytest.mark.skipif(not (ROOT / "docs").is_dir(), reason="the documents are not here")
@pytest.mark.parametrize(("document", "line"), LINES)
def test_a_command_line_of_a_document_parses(document: str, line: str) -> None:
    parse(line)


def test_a_line_that_is_wrong_is_found() -> None:
    for line in ("snibench rum", "snibench run --methods ours", "snibench report --as docx", "snibench data fetches"):
        with pytest.raises(click.UsageError, match=r"(?i)no such option|no command|not one of"):
            parse(line)
