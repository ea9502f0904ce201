"""The user's wish to stop: after the step at the first signal, in the middle of it at the second."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from snibench.base.errors import SnibenchError


class Interrupted(SnibenchError):
    """The user stopped the run; what was done is saved."""

    exit_code = 130


@dataclass
class Stop:
    """Number of the user's requests to stop."""

    signals: int = 0

    def is_set(self) -> bool:
        """Whether to stop after this step."""
        return self.signals > 0


@contextmanager
def stop_signals() -> Iterator[Stop]:
    """Inside, a first SIGINT or SIGTERM is noted, a second ends the step under way, a third the process.

    Raises:
        Interrupted: After the second.
    """
    stop = Stop()
    before: dict[int, Any] = {}

    def came(number: int, frame: Any) -> None:
        stop.signals += 1
        if stop.signals == 1:
            if number == signal.SIGINT:
                say_now("Stopping after this step. Ctrl-C again ends it at once.")
            return
        for each in before:  # a step that is not in Python hears of no signal but by its default
            signal.signal(each, signal.SIG_DFL)
        if callable(before[number]):
            before[number](number, frame)
        raise KeyboardInterrupt

    if threading.current_thread() is threading.main_thread():  # no other thread hears of signals
        before |= {number: signal.signal(number, came) for number in (int(signal.SIGINT), int(signal.SIGTERM))}
    try:
        yield stop
    except KeyboardInterrupt:
        if stop.signals < 2:
            raise
        raise Interrupted(
            "Stopped in the middle of a step that did not end. The same command goes on from the last checkpoint."
        ) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def say_now(sentence: str) -> None:
    """Write ``sentence`` to standard error, from a signal handler."""
    # Not through sys.stderr: the signal may have come while that is written to.
    with suppress(OSError, ValueError, AttributeError):
        os.write(sys.stderr.fileno(), f"\n{sentence}\n".encode())
