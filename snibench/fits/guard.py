"""The guard around what a method does in a fit: its failure becomes a value, the machine's goes up."""

from __future__ import annotations

import errno
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal

from snibench.base.errors import Diverged, SnibenchError, StoreError, first_line
from snibench.base.types import FitRecord, Stage
from snibench.engine.tuning import Interrupted
from snibench.fits.context import FitProgress

# Every other method would meet these, too: a full or broken disk, no more open files.
_MACHINE = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EMFILE, errno.ENFILE}


class Unheard(SnibenchError):
    """What is shown of a run cannot be shown any more: its output is closed or full."""


def heard(progress: FitProgress) -> FitProgress:
    """``progress`` whose failures are no method's, though its callbacks are called while a method works.

    Its callbacks raise ``Unheard`` for whatever they raised.
    """

    def of(callback: Callable[..., None]) -> Callable[..., None]:
        def call(*values: object) -> None:
            try:
                callback(*values)
            except (SnibenchError, KeyboardInterrupt):
                raise
            except BaseException as error:  # rich leaves the process where a pipe is closed
                cause = "it is closed" if isinstance(error, SystemExit) else first_line(error)
                raise Unheard(
                    f"The output of this run cannot be written ({cause}). The same command goes on."
                ) from error

        return call

    return FitProgress(*(of(getattr(progress, each.name)) for each in fields(progress)))


@dataclass
class StageFailed(Exception):
    """A method raised in ``stage``: what its record says, and the traceback where it was no error of a user's."""

    stage: Stage
    status: Literal["failed", "diverged"]
    cause: str
    log: str = ""

    def sealed(self, record: FitRecord, log: Path) -> FitRecord:
        """``record`` with this failure in it; the traceback lies in ``log``, if there is one."""
        cause = f"{self.cause} (see {log})" if self.log else self.cause
        return replace(record, status=self.status, stage=self.stage, cause=cause)


@contextmanager
def guarded(stage: Stage) -> Iterator[None]:
    """Inside, whatever a method raises becomes a ``StageFailed``, ``sys.exit`` among it.

    Raises:
        StageFailed: For the method's failure; that of a stage within this one keeps its own name.
        Interrupted, Unheard, KeyboardInterrupt: The user's wish goes up.
        StoreError, OSError: So does what every other fit would meet, such as a full disk.
    """
    try:
        yield
    except (StageFailed, Interrupted, Unheard, KeyboardInterrupt, StoreError):
        raise
    except SnibenchError as error:
        raise StageFailed(stage, "failed", first_line(error)) from error
    except (Diverged, FloatingPointError) as error:
        raise StageFailed(stage, "diverged", first_line(error)) from error
    except BaseException as error:
        if isinstance(error, OSError) and error.errno in _MACHINE:
            raise
        cause = first_line(error)
        name = type(error).__name__
        cause = cause if cause == name else f"{name}: {cause}"
        raise StageFailed(stage, "failed", cause, traceback.format_exc()) from error
