"""Fits as tasks of Ray: on one machine or a cluster, each with the processors and the accelerator that it needs.

A node that is lost takes no fit with it: Ray gives its tasks to another node, where they go on from their last
checkpoints. All nodes must see the store under one path, and have this snibench installed.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Annotated, Any

from snibench.base.bounds import Bounds, Weight
from snibench.base.errors import MissingExtra, SnibenchError, first_line
from snibench.base.types import FitRecord
from snibench.contracts import Board, Executor, Work
from snibench.engine.stopping import Interrupted

_PATIENCE = 0.5  # seconds between two looks at the workers' messages
_RATE = 0.2  # seconds between two steps of one fit that are said
_LEAVE = 120.0  # seconds for interrupted fits to save their state


@dataclass(frozen=True, slots=True)
class Settings:
    """``address``: of a cluster; empty: RAY_ADDRESS, else one that is started here and ends with the run.

    ``cpus``: processors that one fit claims; 0: its threads. ``gpus``: share of an accelerator, 0.5 for two fits on
    one; below 0: one for each process of a fit where the device is no CPU. ``retries``: how often a fit is tried again
    after its node was lost.
    """

    address: str = ""
    cpus: Weight = 0.0
    gpus: float = -1.0
    retries: Annotated[int, Bounds(least=0)] = 3


class Ray(Executor):
    """Fits side by side on a Ray cluster, or on this machine where there is none.

    Source:
        Moritz et al., Ray: A Distributed Framework for Emerging AI Applications, OSDI 2018.
    """

    Settings = Settings

    def check(self) -> None:
        """Raises MissingExtra without Ray."""
        if find_spec("ray") is None:
            raise MissingExtra("The executor 'ray'", "ray")

    def beside(self, work: Work) -> int:
        """As many as there are; how many fit on the cluster changes as nodes come and go."""
        return len(work.jobs)

    def run(self, work: Work, board: Board) -> None:
        """Every job as a task; the mailbox, on this node, takes what they say."""
        self.check()
        import ray

        with _cluster(self.settings.address):
            mailbox: Any = ray.remote(_Mailbox).options(num_cpus=0, max_restarts=-1, **_here()).remote()
            shared = ray.put(work)
            task = ray.remote(_work).options(
                num_cpus=self.settings.cpus or (work.threads or 1) * work.distributed,
                num_gpus=self._gpus(work),
                max_retries=self.settings.retries,
            )
            labels = {job.number: job.label for job in work.jobs}
            waiting = {task.remote(shared, job.number, mailbox): job.number for job in work.jobs}
            try:
                while waiting:
                    ready, _ = ray.wait(list(waiting), timeout=_PATIENCE)
                    with suppress(ray.exceptions.ActorUnavailableError):  # it starts anew where its node was lost
                        _pass_on(ray.get(mailbox.taken.remote()), board)
                    for reference in ready:
                        _settle(reference, waiting.pop(reference), labels, board)
            except BaseException as error:
                _cancel(list(waiting))
                if isinstance(error, KeyboardInterrupt):
                    raise Interrupted(
                        "Interrupted; the state is saved. The same command goes on from there."
                    ) from error
                raise

    def _gpus(self, work: Work) -> float:
        return float(self.settings.gpus if self.settings.gpus >= 0 else (work.device != "cpu") * work.distributed)


@contextmanager
def _cluster(address: str) -> Iterator[None]:
    """A connection to the cluster, left as it was found."""
    import ray

    if ray.is_initialized():
        yield
        return
    address = address or os.environ.get("RAY_ADDRESS", "")
    try:
        ray.init(
            address=address or None,
            include_dashboard=None if address else False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except Exception as error:
        raise SnibenchError(
            f"Ray cannot be reached at '{address or 'this machine'}' ({first_line(error)}). Start a cluster "
            "(`ray start --head`), or leave the address out."
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _here() -> dict[str, Any]:
    """Options of an actor that lives on this node, which is there as long as the run is."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    node = ray.get_runtime_context().get_node_id()
    return {"scheduling_strategy": NodeAffinitySchedulingStrategy(node_id=node, soft=True)}


def _pass_on(messages: list[tuple[int, str, tuple[Any, ...]]], board: Board) -> None:
    for number, event, values in messages:
        if event == "started":
            board.started(number)
        else:
            board.said(number, event, *values)


def _settle(reference: Any, number: int, labels: dict[int, str], board: Board) -> None:
    """Write on the board how a task ended.

    Raises:
        SnibenchError: What the task raised for all fits.
    """
    import ray

    try:
        board.ended(number, ray.get(reference))
    except ray.exceptions.RayTaskError as error:
        cause = error.cause if isinstance(getattr(error, "cause", None), BaseException) else error
        if isinstance(cause, SnibenchError):
            raise cause from error
        raise RuntimeError(f"A worker failed in {labels[number]}:\n{error}") from error
    except ray.exceptions.RayError as error:  # out of retries, or of memory
        board.lost(number, f"its worker is gone ({type(error).__name__}); the same command tries again")


def _cancel(references: list[Any]) -> None:
    """Have every task save its state, as Ctrl-C does, and wait for it."""
    import ray

    for reference in references:
        with suppress(Exception):
            ray.cancel(reference, force=False)
    with suppress(Exception):
        ray.wait(references, num_returns=len(references), timeout=_LEAVE)


# -------------------------------------------------------------------------------- on the cluster


class _Mailbox:
    """Events of fits since the last call."""

    def __init__(self) -> None:
        self._messages: list[tuple[int, str, tuple[Any, ...]]] = []

    def put(self, number: int, event: str, values: tuple[Any, ...]) -> None:
        """Keep one message."""
        self._messages.append((number, event, values))

    def taken(self) -> list[tuple[int, str, tuple[Any, ...]]]:
        """All messages, which are forgotten then."""
        messages, self._messages = self._messages, []
        return messages


def _work(work: Work, number: int, mailbox: Any) -> FitRecord:
    """One job, in a worker of Ray."""
    import ray

    last, delivered = 0.0, None

    def say(event: str, *values: Any) -> None:
        nonlocal last, delivered
        if event == "on_step":
            if time.monotonic() - last < _RATE:
                return
            last = time.monotonic()
        delivered = mailbox.put.remote(number, event, values)  # nobody waits for it

    say("started")
    record = work.run(number, say)
    ray.wait([delivered])  # in order: what was said is there when the record is
    return record
