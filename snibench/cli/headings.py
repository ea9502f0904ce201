"""Options of a command under headings in ``--help``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click


class Grouped(click.Command):
    """A command with its options under headings; further options come last in its help.

    Args:
        headings: Heading -> its options, in the order of the help.
        notes: Heading -> text, further sections after the options.
    """

    def __init__(
        self,
        *args: Any,
        headings: Mapping[str, Sequence[click.Option]],
        notes: Mapping[str, str] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        self.params = [*(option for some in headings.values() for option in some), *self.params]
        self.headings, self.notes = headings, notes or {}

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write every visible option once, then the notes."""
        records = {
            str(param.name): record
            for param in self.get_params(ctx)
            if (record := param.get_help_record(ctx)) is not None
        }
        for heading, options in self.headings.items():
            names = [str(option.name) for option in options]
            if rows := [records.pop(name) for name in names if name in records]:
                with formatter.section(heading):
                    formatter.write_dl(rows)
        if records:
            with formatter.section("Other options"):
                formatter.write_dl(list(records.values()))
        for heading, text in self.notes.items():
            with formatter.section(heading):
                formatter.write_text(text)
