"""One fit, in a job of the cluster, and what it says on its way, in a file."""

from __future__ import annotations

import json
import signal
import threading
import time
import traceback
from pathlib import Path
from typing import Any

from snibench.api import SnibenchError, Work

STOP = "stop"  # the file that asks all jobs of a run to save their state and end
_RATE = 1.0  # seconds between two steps of one fit that are said
_LOOK = 0.5  # seconds between two looks for the file

Message = tuple[str, list[Any]]


class Fit:
    """Job ``number`` of ``work``, to be called where it is run; what it says goes into ``folder``."""

    def __init__(self, work: Work, number: int, folder: str) -> None:
        self.work, self.number, self.folder = work, number, folder

    def __call__(self) -> tuple[Any, ...]:
        """``("record", record)``; ``("refused", sentence, exit code)`` for what all would meet; else a traceback."""
        folder = Path(self.folder)
        say = _Speech(folder, self.number)
        say("started")
        signal.signal(signal.SIGINT, signal.default_int_handler)
        threading.Thread(target=_interrupt_when_asked, args=(folder,), daemon=True).start()
        try:
            return "record", self.work.run(self.number, say)
        except KeyboardInterrupt:
            return "refused", "Interrupted; the state is saved. The same command goes on from there.", 130
        except SnibenchError as error:
            return "refused", str(error), error.exit_code
        except Exception:  # whatever it is, the process of the run shows it
            return "broken", traceback.format_exc()

    def checkpoint(self) -> Any:
        """The same again, for a job whose time is over or that is preempted: it goes on from the last checkpoint."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def _interrupt_when_asked(folder: Path) -> None:
    while folder.exists():
        if (folder / STOP).exists():
            signal.raise_signal(signal.SIGINT)
            return
        time.sleep(_LOOK)


class _Speech:
    """Appends what a fit says to its file, a message a line."""

    def __init__(self, folder: Path, number: int) -> None:
        self.path, self.last = _path(folder, number), 0.0

    def __call__(self, event: str, *values: Any) -> None:
        if event == "on_step":
            if time.monotonic() - self.last < _RATE:
                return
            self.last = time.monotonic()
        with self.path.open("ab") as file:
            file.write(json.dumps([event, values]).encode() + b"\n")


def messages(folder: Path, number: int, start: int) -> tuple[list[Message], int]:
    """What a job has said since byte ``start`` of its file, and where the next message begins."""
    path = _path(folder, number)
    if not path.exists():
        return [], start
    with path.open("rb") as file:
        file.seek(start)
        whole, newline, _ = file.read().rpartition(b"\n")
    said = [(event, values) for event, values in map(json.loads, whole.splitlines())]
    return said, start + len(whole) + len(newline)


def _path(folder: Path, number: int) -> Path:
    return folder / f"{number}.said"
