"""The ``snibench`` command. Commands parse, call and render; each is imported only when it is used."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click

from snibench.base.errors import SnibenchError
from snibench.base.version import __version__
from snibench.base.wording import terminal_safe
from snibench.cli.heap import with_compact_heap
from snibench.cli.output import after_failure, flush_output, forgiving_streams

_LONGEST = 4000  # characters of an error's sentence

# command -> (module:attribute, one line of help): `--help` imports none of the modules
COMMANDS = {
    "run": ("snibench.cli.run:run", "Tune with a method, run the protocols, show the tables."),
    "report": ("snibench.cli.report:report", "Show or export the tables and figures of a stored run."),
    "eval": ("snibench.cli.elsewhere:eval_", "Run the protocols on models that were tuned elsewhere."),
    "questions": ("snibench.cli.elsewhere:questions", "Export the prompts, to be answered elsewhere."),
    "answers": ("snibench.cli.elsewhere:answers", "Show stored answers; import answers of another engine."),
    "compare": ("snibench.cli.report:compare", "Compare two methods of a stored run, task by task."),
    "power": ("snibench.cli.power:power", "Say what a run finds, and what a larger one would."),
    "similarity": ("snibench.cli.report:similarity", "Does the similarity of tasks explain the results?"),
    "conflicts": ("snibench.cli.conflicts:conflicts", "Show which tasks' gradients conflict in a stored run."),
    "reproduce": ("snibench.cli.reproduce:reproduce", "Run a stored fit again, and say whether it is reproduced."),
    "leaderboard": ("snibench.cli.leaderboard:leaderboard", "Export, show and validate leaderboard files."),
    "verify": ("snibench.cli.verify:verify", "Hold every file of a folder of runs against its digest."),
    "push": ("snibench.cli.sync:push", "Copy the finished fits of a folder to a URL, such as s3://bucket/runs."),
    "pull": ("snibench.cli.sync:pull", "Copy the fits at a URL into a folder."),
    "doctor": ("snibench.cli.doctor:doctor", "Check this machine and this installation."),
    "clean": ("snibench.cli.clean:clean", "List and remove what no record of a folder of runs needs."),
    "ls": ("snibench.cli.ls:ls", "List methods, rules, samplers, formats, protocols, suites, tasks or runs."),
    "show": ("snibench.cli.show:show", "Describe one plugin, task or prompt; what a method is on a model."),
    "plugin": ("snibench.cli.plugin:plugin", "Write a plugin package to start from; check a plugin's contract."),
    "data": ("snibench.cli.data:data", "Fetch, check, describe and export task folders."),
    "score": ("snibench.cli.data:score", "Score a predictions file with the official metrics."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Command names in the order of ``COMMANDS``."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """The command called ``name``, imported now."""
        if name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Like click's, with a suggestion for a name that is not there."""
        from snibench.base.errors import unknown

        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            raise unknown("command", args[0], COMMANDS)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The help section, from ``COMMANDS`` alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "SNIBENCH"})
@click.version_option(__version__, prog_name="snibench")
def cli() -> None:
    """Compare instruction-tuning methods on multi-task generalization.

    Start with:  snibench run --method ours
    """


def main(argv: list[str] | None = None) -> Any:
    """Run the command line; what a user can cause prints as one line on stderr."""
    if argv is None and sys.argv[1:2] == ["run"]:
        with_compact_heap()
    forgiving_streams()
    try:
        code = _code(argv)
        flush_output()
    except OSError as error:
        code = after_failure(error)
    sys.exit(code if isinstance(code, int) else 0)


def _code(argv: list[str] | None) -> Any:
    """The exit code of the command, whatever ended it."""
    try:
        return cli.main(args=argv, standalone_mode=False)
    except SnibenchError as error:
        click.echo(f"Error: {terminal_safe(str(error)[:_LONGEST], keep=chr(10))}", err=True)
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        return 130
