"""``snibench push`` and ``snibench pull``: finished fits at a URL."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from snibench.base.wording import terminal_safe
from snibench.cli.places import AnyPath

if TYPE_CHECKING:
    from snibench.store.remote import Moved


@click.command()
@click.argument("folder", type=AnyPath())
@click.argument("url")
@click.pass_context
def push(context: click.Context, folder: Path, url: str) -> None:
    """Copy the finished fits of FOLDER to URL: s3://bucket/runs, gs://, abfs://, sftp://, file:///shared/runs ...

    Every file is held against its digest first. A fit that is there already is left as it is, or gets the answers that
    it lacks. Exit code 1 if a fit is damaged, or the URL has other files of it; each is named.
    """
    from snibench.store.remote import push as push_fits

    _shown(context, push_fits(folder, url, _say), "copied")


@click.command()
@click.argument("url")
@click.argument("folder", type=AnyPath(), default="runs")
@click.pass_context
def pull(context: click.Context, url: str, folder: Path) -> None:
    """Copy the fits at URL into FOLDER (default: runs), where `report` and `run` find them.

    Every file is held against its digest before any of its fit is put in place. What FOLDER has finished stays. Exit
    code 1 if a fit at URL is not what was sealed, or FOLDER has other files of it; each is named.
    """
    from snibench.store.remote import pull as pull_fits

    _shown(context, pull_fits(url, folder, _say), "copied")


def _say(fit: str) -> None:
    click.echo(f"{fit} ...", err=True)


def _shown(context: click.Context, moved: Moved, verb: str) -> None:
    for fit, why in (moved.left | moved.wrong).items():
        click.echo(terminal_safe(f"{fit}: not {verb}, {why}"))
    size = f"{moved.bytes / 2**20:,.1f} MiB"
    left = len(moved.left) + len(moved.wrong)
    click.echo(f"Fits {verb}: {len(moved.fits)}, {size}; already there: {len(moved.there)}; not {verb}: {left}.")
    context.exit(1 if moved.wrong else 0)
