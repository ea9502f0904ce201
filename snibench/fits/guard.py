"""The guard around what a method does in a fit: its failure becomes a value, the machine's goes up.

A stage ends with what the method raises, whatever it is, with the time limit of the fit, and with the user's wish. What
a signal asks for is not mistaken for what a method raises: ``listening`` notes every SIGINT and SIGTERM that comes.
"""

from __future__ import annotations

import errno
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from snibench.base.errors import Diverged, SnibenchError, StoreError, first_line
from snibench.base.types import FitRecord, Stage
from snibench.engine.ranks import RankLost
from snibench.engine.tuning import Interrupted
from snibench.fits.context import FitProgress

# Every other method would meet these, too: a full or broken disk, no more open files.
_MACHINE = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EMFILE, errno.ENFILE}
# Seconds until a method that swallowed the end of its time hears of it again.
_AGAIN = 1.0


class Unheard(SnibenchError):
    """The output of a run is closed or full, so that nothing more can be shown."""


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


class TimedOut(BaseException):
    """The fit's time is over. No ``Exception``: a method that forgives those does not get more time."""


@dataclass
class _Watch:
    """The state of the process's one fit under way."""

    stages: int = 0  # guarded stages that it is in, one inside the other
    listening: bool = False
    asked_to_stop: bool = False


_WATCH = _Watch()


@contextmanager
def guarded(stage: Stage) -> Iterator[None]:
    """Inside, whatever a method raises becomes a ``StageFailed``, ``sys.exit`` among it.

    Raises:
        StageFailed: For the method's failure; that of a stage within this one keeps its own name.
        Interrupted, Unheard, KeyboardInterrupt: The user's wish goes up.
        StoreError, RankLost, OSError: So does what every other fit would meet, such as a full disk.
    """
    _WATCH.stages += 1
    try:
        yield
    except (StageFailed, Interrupted, Unheard, StoreError, RankLost):
        raise
    except SnibenchError as error:
        raise StageFailed(stage, "failed", first_line(error)) from error
    except (Diverged, FloatingPointError) as error:
        raise StageFailed(stage, "diverged", first_line(error)) from error
    except TimedOut as error:
        stop_clock()
        raise StageFailed(stage, "failed", str(error), traceback.format_exc()) from error
    except BaseException as error:
        if isinstance(error, OSError) and error.errno in _MACHINE:
            raise
        if isinstance(error, KeyboardInterrupt) and (_WATCH.asked_to_stop or not _WATCH.listening):
            raise
        cause = first_line(error)
        name = type(error).__name__
        cause = cause if cause == name else f"{name}: {cause}"
        raise StageFailed(stage, "failed", cause, traceback.format_exc()) from error
    finally:
        _WATCH.stages -= 1


@contextmanager
def listening() -> Iterator[None]:
    """Inside, SIGINT and SIGTERM do what they did, and ``guarded`` knows that they came.

    Only the main thread hears of signals: in another one every KeyboardInterrupt is taken for the user's wish. Where
    SIGINT is ignored, as in the background of a script, none is.
    """
    before: dict[int, Any] = {}
    alarm: Any = None
    if _hears():
        before = {number: signal.getsignal(number) for number in (int(signal.SIGINT), int(signal.SIGTERM))}
        alarm = signal.getsignal(signal.SIGALRM) if hasattr(signal, "SIGALRM") else None

    def heard(number: int, frame: Any) -> None:
        _WATCH.asked_to_stop = True
        before[number](number, frame)

    _WATCH.asked_to_stop, _WATCH.listening = False, before.get(int(signal.SIGINT)) is not None
    for number, handler in before.items():
        if callable(handler):
            signal.signal(number, heard)
    try:
        yield
    finally:
        stop_clock()
        _WATCH.listening = False
        for number, handler in before.items():
            if callable(handler):
                signal.signal(number, handler)
        if alarm is not None:
            signal.signal(signal.SIGALRM, alarm)


def _hears() -> bool:
    """Whether this thread hears of signals: the main one does."""
    return threading.current_thread() is threading.main_thread()


def start_clock(seconds: float | None) -> None:
    """From now on the fit has ``seconds``: then the stage that it is in ends with ``TimedOut``, again and again.

    There is no limit outside of the main thread, which alone hears of the clock. Code that does not come back to
    Python, such as one long operation of a library, is ended when it does.
    """
    if seconds is None or not _hears():
        return

    def over(*_: object) -> None:
        if _WATCH.stages:  # between two stages records are written: the next one ends at its beginning
            raise TimedOut(f"it took longer than the {seconds:g} s of --fit-timeout")

    signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN)


def stop_clock() -> None:
    """The fit's time is no longer counted."""
    if hasattr(signal, "SIGALRM") and _hears():
        signal.setitimer(signal.ITIMER_REAL, 0)
