"""Several processes of one machine as ``Ranks``, through torch.distributed: gloo, and NCCL between GPUs."""

from __future__ import annotations

import os
import pickle
import socket
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from datetime import timedelta
from functools import reduce
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from snibench.engine.gradients import Collected
from snibench.engine.ranks import Pieces, RankLost, Ranks

# The others wait while the first measures the gradient conflict. A process that is gone is noticed at once.
_LONGEST = timedelta(days=2)


class Distributed(Ranks):
    """Process ``rank`` of ``count``; ``meeting``: a file, not there yet, through which they find each other.

    Errors and whatever lies on the CPU go through gloo; tensors of a GPU through NCCL, once all have said that they
    have come so far. Sums are the same bits in every process.
    """

    def __init__(self, rank: int, count: int, device: torch.device, meeting: Path) -> None:
        self.rank, self.count = rank, count
        self._agreed: BaseException | None = None
        self._gpu: Any = None
        # All processes are here: nothing is to be seen from outside.
        os.environ.setdefault("GLOO_SOCKET_IFNAME", _loopback())
        shown = sys.excepthook
        with _connected():
            dist.init_process_group("gloo", init_method=meeting.as_uri(), rank=rank, world_size=count, timeout=_LONGEST)
            sys.excepthook = shown  # it was replaced by one that writes [rank0] before every line
            if device.type == "cuda":
                torch.cuda.set_device(device)
                self._gpu = dist.new_group(backend="nccl", timeout=_LONGEST)

    def leave(self) -> None:
        """Close all connections."""
        dist.destroy_process_group()

    def own(self, pieces: Pieces, sizes: Sequence[int]) -> Pieces:
        """The longest micro-batch that is left goes to the process with the fewest tokens."""
        tokens = [0] * self.count
        mine = []
        for index in sorted(range(len(pieces)), key=lambda index: (-sizes[index], index)):
            least = tokens.index(min(tokens))
            tokens[least] += sizes[index]
            if least == self.rank:
                mine.append(index)
        return [pieces[index] for index in sorted(mine)]

    @contextmanager
    def together(self) -> Iterator[None]:
        """What one process raises is sent to all; of several errors that of the lowest rank."""
        mine: Exception | None = None
        self._agreed = None
        try:
            yield
        except Exception as error:  # a method may raise anything, and the others wait
            mine = error
        failed = torch.tensor([mine is not None], dtype=torch.int32)
        with _connected():
            dist.all_reduce(failed, dist.ReduceOp.MAX)
        if not failed.item():
            return
        sent: list[Exception | None] = [None] * self.count
        with _connected():
            dist.all_gather_object(sent, None if mine is None else self._as_sent(mine))
        rank, first = next((rank, each) for rank, each in enumerate(sent) if each is not None)
        self._agreed = mine if rank == self.rank and mine is not None else first
        raise self._agreed

    def _as_sent(self, error: Exception) -> Exception:
        """``error`` with its traceback as a note; its text as a RuntimeError where it cannot be sent."""
        try:
            pickle.dumps(again := copy(error))
        except Exception:  # anybody's class may refuse
            again = RuntimeError(f"{type(error).__name__}: {error}")
        again.add_note(f"In process {self.rank} of {self.count}:\n{traceback.format_exc()}")
        return again

    def agreed(self, error: BaseException) -> bool:
        """An error from elsewhere in a step may be this process's alone."""
        return error is self._agreed

    def summed(self, values: Tensor) -> Tensor:
        """Halves are summed in float32, as NCCL and gloo differ in what they take."""
        wide = values.float() if values.dtype in (torch.bfloat16, torch.float16) else values.contiguous()
        with _connected():
            dist.all_reduce(wide, group=self._group(values))
        return values if wide is values else values.copy_(wide)

    def across(self, collected: Collected) -> Collected:
        """Rows and inner products are formed parameter by parameter, from those of all processes."""
        extras = torch.tensor([collected.extras, collected.auxiliary], dtype=torch.int32)
        with _connected():
            dist.all_reduce(extras, dist.ReduceOp.MAX)
        collected.complete(int(extras[0]), bool(extras[1]))
        return _Whole(collected, self.summed)

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """One sum for each device and dtype, over all parameters that have a gradient anywhere."""
        every = list(parameters)
        there = torch.tensor([one.grad is not None for one in every], dtype=torch.int32)
        with _connected():
            dist.all_reduce(there, dist.ReduceOp.MAX)
        alike: dict[tuple[torch.device, torch.dtype], list[nn.Parameter]] = {}
        for parameter, anywhere in zip(every, there.tolist(), strict=True):
            if anywhere:
                parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
                alike.setdefault((parameter.device, parameter.dtype), []).append(parameter)
        for group in alike.values():
            gradients = [one.grad for one in group if one.grad is not None]
            whole = self.summed(torch.cat([one.flatten() for one in gradients]))
            for gradient, total in zip(gradients, whole.split([one.numel() for one in gradients]), strict=True):
                gradient.copy_(total.view_as(gradient))

    def draw_alike(self, seed: int) -> None:
        """From here on all draw the same."""
        torch.manual_seed(seed)

    def begin(self, parameters: Iterable[nn.Parameter]) -> None:
        """Made from one seed they are the same already, on the same processors."""
        with torch.no_grad(), _connected():
            for parameter in parameters:
                dist.broadcast(parameter.data, 0, group=self._group(parameter))

    def end(self, parameters: Iterable[nn.Parameter]) -> None:
        """Compares sums of the values and of their squares, bit by bit."""
        values = [one.detach().double() for one in parameters]
        sums = torch.stack([torch.stack([one.sum(), one.square().sum()]).cpu() for one in values]).flatten()
        low, high = sums.clone(), sums.clone()
        with _connected():
            dist.all_reduce(low, dist.ReduceOp.MIN)
            dist.all_reduce(high, dist.ReduceOp.MAX)
        if not torch.equal(low, high):
            raise RuntimeError(
                f"The {self.count} processes of this fit ended with different parameters: the method or rule keeps "
                "something from step to step that is not the same in all of them. Tune it without --distributed."
            )

    def _group(self, values: Tensor) -> Any:
        return self._gpu if values.device.type == "cuda" else None


@contextmanager
def _connected() -> Iterator[None]:
    """Inside, processes wait for each other.

    Raises:
        RankLost: If one of them is gone.
    """
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise RankLost(f"A process of this fit is gone ({error}).") from error


def _loopback() -> str:
    """This machine's network interface to itself."""
    return next((name for _, name in socket.if_nameindex() if name.startswith("lo")), "lo")


class _Whole(Collected):
    """The gradients of all processes: rows of each parameter are summed when they are asked for.

    Updates are made of this process's rows alone, as gradients are summed over the processes afterwards.
    """

    def __init__(self, own: Collected, summed: Callable[[Tensor], Tensor]) -> None:
        super().__init__(own.named, own.tasks)
        self.extras, self.apart, self.auxiliary = own.extras, own.apart, own.auxiliary
        self._own, self._summed = own, summed
        self._dtype = reduce(torch.promote_types, {one.dtype for one in own.named.values()}, torch.float32)

    def clear(self, rows: slice) -> None:
        """Of this process's rows."""
        self._own.clear(rows)

    def extra(self, index: int) -> slice:
        """The extra row ``index``."""
        return self._own.extra(index)

    def pieces(self) -> Iterator[tuple[str, Tensor]]:
        """Zero rows stand for other processes' tasks, and sums of an extra row's parts are the row."""
        for name, rows in self._own.pieces():
            yield name, self._summed(rows.to(self._dtype))

    def combine(self, weights: Callable[[str], Tensor]) -> None:
        """Of this process's rows."""
        self._own.combine(weights)

    def apply(self, weights: Tensor, layers: Sequence[str] = (), group_of: Callable[[str], str] | None = None) -> None:
        """Of this process's rows."""
        if group_of is None:
            self._own.apply(weights, layers)
        else:
            self._own.apply(weights, layers, group_of)
