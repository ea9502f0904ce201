"""Errors that a user can cause. Each prints as one sentence; everything else keeps its traceback."""

from collections.abc import Iterable
from difflib import get_close_matches


class SnibenchError(Exception):
    """Root of every error that the command line prints as one line.

    The message says what was given, what was expected, and what to do next.
    """

    exit_code = 2


class UsageError(SnibenchError):
    """A name, flag or setting that cannot be used."""


class DataError(SnibenchError):
    """An input file or folder that does not say what it should. Names file and field."""


class ModelError(SnibenchError):
    """A base model or tokenizer that cannot be loaded."""


class PluginError(SnibenchError):
    """An installed plugin that cannot be imported, or that shares its name with another."""


class StoreError(SnibenchError):
    """A results folder that cannot be read or written."""


class MissingExtra(SnibenchError):
    """A command that needs an optional part of snibench that is not installed."""

    def __init__(self, purpose: str, extra: str) -> None:
        super().__init__(f"{purpose} needs the extra '{extra}'. Run: pip install 'snibench[{extra}]'")


class Diverged(Exception):
    """A loss, gradient or logit that is not finite: the method's failure, not the machine's."""


_LONGEST = 2000  # characters of a cause
_MOST_NAMES = 60  # that a sentence lists


def first_line(error: BaseException) -> str:
    """Message of ``error``, on one line; its type's name if it says nothing or cannot say it.

    A line that ends in a colon goes on with the next.
    """
    try:
        lines = str(error)[:_LONGEST].splitlines()
    except BaseException:  # a method's own exception may fail to print, or leave the process
        lines = []
    said = ""
    for line in filter(None, map(str.strip, lines)):
        said = f"{said} {line}".strip()
        if not said.endswith(":"):
            break
    # Undecodable bytes of file names would not be written to a record.
    return said.encode("utf-8", "backslashreplace").decode() or type(error).__name__


def unknown(noun: str, typed: str, known: Iterable[str]) -> UsageError:
    """The error for a name that is not there, with the closest one that is, whatever their case, and the others."""
    names = sorted(known)
    folded = {name.casefold(): name for name in names}
    close = get_close_matches(typed.casefold(), folded, n=1, cutoff=0.5)
    hint = f" Did you mean '{folded[close[0]]}'?" if close else ""
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return UsageError(f"Unknown {noun} '{typed}'.{hint} Known: {', '.join(names[:_MOST_NAMES]) or 'none'}{more}.")
