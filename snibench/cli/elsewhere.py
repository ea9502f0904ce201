"""Models tuned and answers given outside of snibench: ``eval``, ``questions export``, ``answers``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click import Option

from snibench.base.errors import UsageError
from snibench.cli.headings import Grouped
from snibench.cli.places import NewFile
from snibench.cli.run import run
from snibench.cli.run_options import OPTIONS
from snibench.plan import defaults

if TYPE_CHECKING:
    import pandas as pd

_WITHOUT = {"methods", "ablate", "save_config", "dry_run", "config"}
_OF_RUN: Mapping[str, Sequence[Option]] = {
    heading: [option for option in options if option.name not in _WITHOUT] for heading, options in OPTIONS.items()
}
_OF_QUESTIONS = {heading: _OF_RUN[heading] for heading in ("Data", "Model", "Protocols")}


@click.command("eval", cls=Grouped, headings=_OF_RUN)
@click.argument("adapters", metavar="ADAPTER...", nargs=-1, required=True)
@click.pass_context
def eval_(ctx: click.Context, /, adapters: tuple[str, ...], **options: Any) -> Any:
    """Run the protocols on models that were tuned elsewhere, beside the baseline.

    ADAPTER is a folder that peft wrote, or one of a whole model; with {seed} in its name, one folder for each seed. It
    is `snibench run -m 'adapter(path=ADAPTER)'`.
    """
    return ctx.invoke(run, methods=tuple(f"adapter(path={_plain(path)})" for path in adapters), **options)


def _plain(text: str) -> str:
    """``text`` if it can stand in a label."""
    if any(sign in text for sign in "()\n") or ",path=" in text:
        raise UsageError(f"'{text}' has a bracket or a line break in it. Give it a plainer name.")
    return text


@click.group()
def questions() -> None:
    """Questions for models that snibench cannot run itself."""


@questions.command("export", cls=Grouped, headings=_OF_QUESTIONS)
@click.argument("file", type=NewFile())
def export_questions(file: Path, **options: Any) -> None:
    """Write every prompt of the protocols into FILE, one JSON object a line.

    Answers to them, lines of {"id": ..., "answer": ...}, come back with `snibench answers import`.
    """
    from snibench.data.answer_files import question
    from snibench.plan.options import request_from
    from snibench.plan.plan import plan
    from snibench.plan.questions import QuestionRenderer
    from snibench.report.files import write_text

    request = request_from([defaults.ASKED_ONCE], {**options, "baseline": None})  # type: ignore[typeddict-item]
    planned = plan(request)
    render = QuestionRenderer(planned.suite, planned.model)
    lines = [
        question(
            id=id,
            task=one.question.task,
            prompt=one.prompt.text,
            stop=one.ends_at(planned.suite.tasks[one.question.task].card),
            most=request.recipe.max_output,
            messages=render.format(one.question.format).messages(one.prompt),
        )
        for fit in planned.fits
        for id, one in fit.prompts.items()
    ]
    write_text(file, "".join(lines))
    click.echo(f"Wrote {len(lines):,} questions into {file}", err=not file.is_file())


@click.group(invoke_without_command=True)
@click.option("-o", "--output-dir", "folder", type=click.Path(path_type=Path), default=Path("runs"), show_default=True)
@click.option("-m", "--method", "methods", multiple=True, metavar="NAME", help="Only this method's; repeat.")
@click.option("--task", "tasks", multiple=True, metavar="NAME", help="Only this task's; * and ? match; repeat.")
@click.option("--format", "formats", multiple=True, metavar="NAME", help="Only prompts in this format; repeat.")
@click.option("--protocol", metavar="NAME", help="Only this protocol's.")
@click.option("--wrong", is_flag=True, help="Only answers that do not have the full score.")
@click.option("--differ", metavar="NAME", help="Only where this method's score is another; both are shown.")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Rows at most.")
@click.option("--as", "form", type=click.Choice(["table", "jsonl", "csv"]), default="table", show_default=True)
@click.pass_context
def answers(ctx: click.Context, /, **options: Any) -> None:
    """Show the answers of a stored run, or import answers of another engine."""
    if ctx.invoked_subcommand is None:
        from snibench.report.answers import filtered
        from snibench.store import load_results

        folder, form, limit = options.pop("folder"), options.pop("form"), options.pop("limit")
        replies = filtered(load_results(folder, earlier=True), **options)
        _show(replies.head(limit), form)
        if len(replies) > limit:
            click.echo(f"{limit} of {len(replies):,}; --limit N shows more.", err=True)


def _show(rows: pd.DataFrame, form: str) -> None:
    if form == "jsonl":
        click.echo(rows.to_json(orient="records", lines=True, force_ascii=False), nl=False)
    elif form == "csv":
        click.echo(rows.to_csv(index=False), nl=False)
    else:
        from rich.console import Console
        from rich.markup import escape
        from rich.table import Table

        table = Table(show_lines=True)
        for name in rows.columns:
            table.add_column(name, overflow="fold")
        for values in rows.itertuples(index=False):
            table.add_row(*(escape(_cell(value)) for value in values))
        Console().print(table)


def _cell(value: Any) -> str:
    """``value`` in print: of a text, what would move the cursor as its escape."""
    if isinstance(value, str):
        return repr(value)[1:-1]
    if isinstance(value, Iterable):
        return " | ".join(map(_cell, value))
    return f"{value:.2f}" if isinstance(value, float) else str(value)


@answers.command("import", cls=Grouped, headings=_OF_RUN)
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@click.option("--engine", required=True, help="Who answered, with its version: it stands in every table.")
@click.pass_context
def import_answers(ctx: click.Context, /, files: tuple[str, ...], engine: str, **options: Any) -> Any:
    """Score answers that were given elsewhere, beside the baseline.

    FILE has a line {"id": ..., "answer": ...} for every question of `snibench questions export` with the same options;
    with {seed} in its name, one file for each seed. It is `snibench run -m 'answers(path=FILE,engine=NAME)'`.
    """
    labels = tuple(f"answers(path={_plain(path)},engine={_plain(engine)})" for path in files)
    return ctx.invoke(run, methods=labels, **options)
