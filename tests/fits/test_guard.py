"""What the guard takes as a method's failure, and what it lets go up."""

from __future__ import annotations

import errno
import signal

import pytest

pytest.importorskip("torch")

from snibench.base.errors import Diverged, ModelError, StoreError
from snibench.engine.tuning import Interrupted
from snibench.fits.context import FitProgress
from snibench.fits.guard import StageFailed, Unheard, guarded, heard, listening


@pytest.mark.parametrize(
    "error",
    [
        KeyboardInterrupt(),
        Interrupted("stopped"),
        StoreError("no room"),
        OSError(errno.ENOSPC, "No space left on device"),
    ],
    ids=repr,
)
def test_the_users_wish_and_the_machines_faults_go_up(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, guarded("tune"):
        raise error
    assert caught.value is error


@pytest.mark.parametrize("handler", [signal.SIG_IGN, signal.SIG_DFL, signal.default_int_handler], ids=repr)
def test_an_interruption_that_no_signal_asked_for_is_the_methods(handler: signal.Handlers) -> None:
    before = signal.signal(signal.SIGINT, handler)  # ignored: as in the background of a script
    try:
        with pytest.raises(StageFailed, match="KeyboardInterrupt"), listening(), guarded("tune"):
            raise KeyboardInterrupt
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    ("error", "said"),
    [(SystemExit(1), "it is closed"), (OSError(errno.ENOSPC, "No space left on device"), "No space left on device")],
    ids=repr,
)
def test_what_cannot_be_shown_of_a_run_is_no_failure_of_the_method_at_work(error: BaseException, said: str) -> None:
    def broken(stage: str) -> None:
        raise error

    with pytest.raises(Unheard, match=said), guarded("tune"):
        heard(FitProgress(on_stage=broken)).on_stage("tuning")


@pytest.mark.parametrize(
    ("error", "status", "cause", "logged"),
    [
        (FileNotFoundError(errno.ENOENT, "No such file", "mine.txt"), "failed", "FileNotFoundError: [Errno 2]", True),
        (MemoryError(), "failed", "MemoryError", True),
        (SystemExit(3), "failed", "SystemExit: 3", True),
        (GeneratorExit(), "failed", "GeneratorExit", True),
        (StopIteration(), "failed", "StopIteration", True),
        (ModelError("No place for it."), "failed", "No place for it.", False),
        (Diverged("not finite"), "diverged", "not finite", False),
        (FloatingPointError("overflow"), "diverged", "overflow", False),
        (ValueError("caf\udce9"), "failed", "ValueError: caf\\udce9", True),
    ],
    ids=repr,
)
def test_all_else_is_the_methods_failure(error: BaseException, status: str, cause: str, logged: bool) -> None:
    with pytest.raises(StageFailed) as caught, guarded("attach"):
        raise error
    assert (caught.value.stage, caught.value.status, bool(caught.value.log)) == ("attach", status, logged)
    assert caught.value.cause.startswith(cause)


def test_the_innermost_stage_is_the_one_that_failed() -> None:
    with pytest.raises(StageFailed) as caught, guarded("tune"), guarded("measure"):
        raise ValueError("here")
    assert caught.value.stage == "measure"
