"""``snibench clean``: list what no record needs, and remove it."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), default="runs")
@click.option("--unlisted", is_flag=True, help="Also fits that no run in FOLDER lists.")
@click.option("--yes", is_flag=True, help="Remove what is listed.")
def clean(folder: Path, unlisted: bool, yes: bool) -> None:
    """List what no record in FOLDER (default: runs) needs; with --yes remove it.

    Temporary folders of runs that were killed, and checkpoints of fits that are sealed. What is under way stays.
    """
    from snibench.report.cells import printable
    from snibench.store.cleaning import needless
    from snibench.store.leftovers import remove

    leftovers = needless(folder, unlisted=unlisted)
    for one in leftovers:
        click.echo(f"{printable(one.path, 1000)}  {_mebibytes(one.size)}  {one.why}")
        if yes:
            remove(one.path)
    size = _mebibytes(sum(one.size for one in leftovers))
    if not leftovers:
        click.echo(f"Nothing in '{folder}' can go.")
    elif yes:
        click.echo(f"Removed: {len(leftovers)}, {size}.")
    else:
        click.echo(f"Can go: {len(leftovers)}, {size}. Nothing was removed; --yes removes it.")


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:,.1f} MiB"
