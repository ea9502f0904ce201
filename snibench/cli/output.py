"""Standard output of the commands: what a terminal may be shown, and what happens where nothing takes it."""

from __future__ import annotations

import errno
import io
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from snibench.base.wording import terminal_safe

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

# What a name, a permission, a disk or a limit of the system is the cause of, and no fault of snibench's.
_OF_THE_SYSTEM = {
    *(errno.ENAMETOOLONG, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EACCES, errno.EPERM),
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENODEV),
}
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


def show_text(text: str) -> None:
    """Write ``text`` as it is to a file or a pipe; a terminal gets it without what it might obey.

    Tables of CSV or JSON hold texts of data files and plugins, which may be escape sequences.
    """
    click.echo(terminal_safe(text, keep="\n\t") if sys.stdout.isatty() else text, nl=False)


def console() -> Console:
    """A console on standard output; a character that its encoding has not is replaced."""
    from rich.console import Console

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    return Console()


def plain_text(text: str, style: str = "") -> Text:
    """``text`` as it is but for control characters: text of data files and plugins must not move the cursor."""
    from rich.text import Text

    return Text(terminal_safe(text, keep="\n\t"), style=style)


def forgiving_streams() -> None:
    """From now on a character that a stream's encoding has not is written as an escape."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            with suppress(OSError, ValueError):
                stream.reconfigure(errors="backslashreplace")


def flush_output() -> None:
    """Write out what was printed, so that what goes wrong with it does so here.

    Raises:
        OSError: If the disk or device behind standard output does not take it.
    """
    with suppress(ValueError, AttributeError):  # closed, or none
        sys.stdout.flush()


def after_failure(error: OSError) -> int:
    """The exit code after a command that the system refused something, which is said in one sentence.

    A reader of the output that has read enough, such as ``head``, gets no message.

    Raises:
        OSError: ``error`` itself, with its traceback, if neither a file nor a limit of the system explains it.
    """
    if error.filename is None and error.errno in {errno.EPIPE, *_FULL}:
        _drop_output()  # at its end Python would try to write it again
        if error.errno != errno.EPIPE:
            _say(f"The output cannot be written ({error.strerror}). Send it elsewhere.")
        return 1
    if error.errno not in _OF_THE_SYSTEM:
        raise error
    name = "" if error.filename is None else f"'{_short(os.fsdecode(error.filename))}': "
    _say(f"The system refuses it: {name}{error.strerror}. Check the name, its permissions and the free space.")
    return 2


def _short(name: str) -> str:
    return name if len(name) <= 200 else f"{name[:199]}…"


def _say(sentence: str) -> None:
    with suppress(OSError):
        click.echo(f"Error: {terminal_safe(sentence)}", err=True)


def _drop_output() -> None:
    with suppress(OSError, ValueError, AttributeError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
