"""Process state that a method may change beyond its own fit: saved before, restored after, changes named.

A fit starts from the same state whatever ran before it in the process, so that its numbers are those of a process of
its own. This is no sandbox: a method's code has all the rights of the process.
"""

from __future__ import annotations

import importlib
import os
import random
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np
import torch
from torch.nn.modules import module as modules
from torch.optim import optimizer as optimizers
from torch.overrides import _get_current_function_mode_stack

from snibench.base.types import FitRecord
from snibench.fits.guard import listening

_P = ParamSpec("_P")
_R = TypeVar("_R")


@dataclass(frozen=True)
class _Trait:
    """One thing that a process has. ``named``: a change of it is said in the record, as it could change numbers."""

    name: str
    read: Callable[[], Any]
    restore: Callable[[Any], Any]
    named: bool = True


def contained(work: Callable[_P, _R]) -> Callable[_P, _R]:
    """``work`` on one fit or trial, after which the process is as it was, and its clock is stopped.

    What could change numbers and had to be put back is a note of the record that ``work`` returns. The global
    generators of Python, NumPy and torch go on afterwards as if nothing was drawn; ``seed_generators`` sets them.
    """

    @wraps(work)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        with listening(), isolated() as changed:
            result = work(*args, **kwargs)
        if changed and isinstance(result, FitRecord):
            return replace(result, notes=tuple(dict.fromkeys((*result.notes, _note(changed)))))
        return result

    return run


@contextmanager
def isolated() -> Iterator[list[str]]:
    """Inside, one fit or trial; after it the process is as it was, and the list names what had to be put back."""
    before = [(trait, trait.read()) for trait in TRAITS]
    generators = _generators()
    changed: list[str] = []
    try:
        yield changed
    finally:
        for trait, value in before:
            if not _same(trait.read(), value):
                trait.restore(value)
                if trait.named:
                    changed.append(trait.name)
        _restore_generators(generators)


def _note(changed: Sequence[str]) -> str:
    return f"the method changed the process beyond its fit; put back: {', '.join(changed)}"


def _same(first: Any, second: Any) -> bool:
    with suppress(Exception):  # values of anybody's types may refuse to be compared
        return first is second or bool(first == second)
    return False


# ------------------------------------------------------------------------------------- generators


def _generators() -> tuple[Any, ...]:
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    return random.getstate(), np.random.get_state(), torch.get_rng_state(), cuda


@contextmanager
def generators_kept() -> Iterator[None]:
    """Inside, code that is no part of a fit: after it the global generators are as they were."""
    state = _generators()
    try:
        yield
    finally:
        _restore_generators(state)


def seed_generators(seed: int) -> None:
    """Set the global generators of Python, NumPy and torch, from which libraries draw."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def _restore_generators(state: tuple[Any, ...]) -> None:
    python, numpy, plain, cuda = state
    random.setstate(python)
    np.random.set_state(numpy)
    torch.set_rng_state(plain)
    if cuda:
        torch.cuda.set_rng_state_all(cuda)


# ----------------------------------------------------------------------------------------- traits


def _leave_modes(count: int) -> None:
    while len(stack := _get_current_function_mode_stack()) > count:
        stack[-1].__exit__(None, None, None)


def _autocast() -> dict[str, bool]:
    return {device_type: torch.is_autocast_enabled(device_type) for device_type in ("cpu", "cuda")}


def _set_autocast(state: Mapping[str, bool]) -> None:
    for device_type, on in state.items():
        torch.set_autocast_enabled(device_type, on)


def _set_deterministic(on: bool) -> None:
    torch.use_deterministic_algorithms(on)


_CUDNN = ("enabled", "benchmark", "deterministic")


def _cudnn() -> dict[str, Any]:
    return {name: getattr(torch.backends.cudnn, name) for name in _CUDNN}


def _set_cudnn(state: Mapping[str, Any]) -> None:
    for name, value in state.items():
        setattr(torch.backends.cudnn, name, value)


def _flushes() -> bool:
    """Whether a denormal number counts as 0; torch has no other way to ask."""
    return not bool(torch.full((1,), 1e-310, dtype=torch.float64, device="cpu").mul(2.0))


_REGISTRIES = [
    (owner, name)
    for owner in (modules, optimizers)
    for name in sorted(vars(owner))
    if name.startswith("_global_") and isinstance(getattr(owner, name), dict)
]


def _hooks() -> list[dict[Any, Any]]:
    return [dict(getattr(owner, name)) for owner, name in _REGISTRIES]


def _set_hooks(state: list[dict[Any, Any]]) -> None:
    for (owner, name), hooks in zip(_REGISTRIES, state, strict=True):
        registry = getattr(owner, name)
        registry.clear()
        registry.update(hooks)


# Whose attributes a method could replace for every model after it.
_OWNERS = (
    torch,
    torch.nn.functional,
    torch.nn.init,
    torch.Tensor,
    torch.nn.Module,
    torch.nn.Linear,
    torch.nn.Embedding,
)


def _functions() -> list[dict[str, Any]]:
    """Functions that are there; those that a library adds later are its own."""
    importlib.import_module("torch._dynamo")  # the first optimizer imports it, and it wraps torch.manual_seed
    known = _KNOWN or [{name for name, value in vars(owner).items() if callable(value)} for owner in _OWNERS]
    _KNOWN[:] = known
    return [{name: vars(owner).get(name) for name in names} for owner, names in zip(_OWNERS, known, strict=True)]


_KNOWN: list[set[str]] = []


def _set_functions(state: list[dict[str, Any]]) -> None:
    for owner, functions in zip(_OWNERS, state, strict=True):
        for name, value in functions.items():
            if vars(owner).get(name) is not value:
                setattr(owner, name, value)


def _directory() -> str:
    try:
        return str(Path.cwd())
    except OSError:  # it was removed
        return ""


def _set_directory(path: str) -> None:
    with suppress(OSError):
        os.chdir(path)


_ALARM = getattr(signal, "SIGALRM", None)  # of the fit's clock; ``listening`` puts it back


def _handlers() -> dict[int, Any]:
    if threading.current_thread() is not threading.main_thread():
        return {}
    return {number: signal.getsignal(number) for number in signal.valid_signals() - {_ALARM}}


def _set_handlers(state: Mapping[int, Any]) -> None:
    for number, handler in state.items():
        if handler is not None and signal.getsignal(number) is not handler:
            with suppress(OSError, ValueError):
                signal.signal(number, handler)


def _set_environment(state: Mapping[str, str]) -> None:
    for name in set(os.environ).difference(state):
        del os.environ[name]
    os.environ.update(state)


def _umask() -> int:
    os.umask(now := os.umask(0))
    return now


def _set_filters(state: list[Any]) -> None:
    with suppress(AttributeError):
        warnings.filters[:] = state  # type: ignore[index]  # a list, whatever the stubs say
        warnings._filters_mutated()  # type: ignore[attr-defined]  # else the cache of what was shown stays


def _set_streams(state: tuple[Any, Any]) -> None:
    sys.stdout, sys.stderr = state


TRAITS: Sequence[_Trait] = [
    _Trait("default dtype", torch.get_default_dtype, torch.set_default_dtype),
    _Trait("default device", lambda: str(torch.get_default_device()), torch.set_default_device),
    _Trait("function modes", lambda: len(_get_current_function_mode_stack()), _leave_modes),
    _Trait("gradient mode", torch.is_grad_enabled, torch.set_grad_enabled),
    _Trait("autocast", _autocast, _set_autocast),
    _Trait("anomaly detection", torch.is_anomaly_enabled, torch.set_anomaly_enabled),
    _Trait("deterministic algorithms", torch.are_deterministic_algorithms_enabled, _set_deterministic),
    _Trait("precision of matrix products", torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    _Trait("flags of cuDNN", _cudnn, _set_cudnn),
    _Trait("flushing of denormal numbers", _flushes, torch.set_flush_denormal),
    _Trait("threads of torch", torch.get_num_threads, torch.set_num_threads),
    _Trait("global module hooks", _hooks, _set_hooks),
    _Trait("functions of torch", _functions, _set_functions),
    _Trait("NumPy's handling of errors", np.geterr, lambda value: np.seterr(**value)),
    _Trait("working directory", _directory, _set_directory),
    _Trait("signal handlers", _handlers, _set_handlers),
    _Trait("environment", lambda: dict(os.environ), _set_environment, named=False),
    _Trait("umask", _umask, os.umask),
    _Trait("warning filters", lambda: list(warnings.filters), _set_filters, named=False),
    _Trait("sys.path", lambda: list(sys.path), lambda value: sys.path.__setitem__(slice(None), value)),
    _Trait("recursion limit", sys.getrecursionlimit, sys.setrecursionlimit),
    _Trait("standard streams", lambda: (sys.stdout, sys.stderr), _set_streams),
    _Trait("trace function", sys.gettrace, sys.settrace),
]
