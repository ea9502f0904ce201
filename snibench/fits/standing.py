"""A stored fit as it stands before it is worked on: its record, held against its files.

What can be made again from the rest (spec, tasks, answers, predictions, forgetting) is dropped where it is not what was
sealed, and made again. What only tuning makes is never dropped in silence: another tuning may end in other weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from snibench.base.errors import StoreError, first_line
from snibench.base.types import FitRecord
from snibench.fits.context import Runtime
from snibench.store import Store
from snibench.store.seals import FORGETTING, TUNED


@dataclass(frozen=True)
class Standing:
    """Stored state of a fit.

    ``sealed``: the record that stands, None where the fit is to be worked on from its start or from where it failed.
    ``tuned``: its record after tuning. ``incomplete``: predictions were dropped and are to be asked again.
    ``unmeasured``: the forgetting was dropped and is to be measured again.
    """

    sealed: FitRecord | None = None
    tuned: FitRecord | None = None
    incomplete: bool = False
    unmeasured: bool = False


def standing(fit: str, store: Store, runtime: Runtime, say: Callable[[str], None]) -> Standing:
    """State of ``fit`` by those of its files that are intact; ``say`` is passed a sentence for each that is not."""
    if runtime.overwrite == "always":
        store.clear(fit)
        return Standing()
    sealed, broken = _read(store.record, fit)
    tuned, broken_tuned = _read(store.tuned, fit)
    if broken and tuned is not None:
        say(f"{broken} It is written again, from tuned.json and the predictions.")
        store.unseal(fit)
    if sealed is None and tuned is None:
        for sentence in filter(None, (broken, broken_tuned)):
            say(f"{sentence} The fit begins anew.")
        store.restart(fit, whole=bool(broken or broken_tuned))
        return Standing()
    failed = sealed is not None and sealed.status != "done"
    if failed and runtime.overwrite == "never":
        return Standing(sealed)
    if failed:
        if tuned is None:
            store.clear(fit)
            return Standing()
        store.unseal(fit)  # only answering failed: what was tuned is kept
        sealed = None
    record = sealed or tuned
    return Standing() if record is None else _held(record, sealed is not None, store, runtime, say)


def _held(record: FitRecord, sealed: bool, store: Store, runtime: Runtime, say: Callable[[str], None]) -> Standing:
    """``record`` without the files that are not what it sealed."""
    fit = record.fit
    # Predictions are always held against their digests, an adapter where it is about to be used.
    again = runtime.overwrite == "failed" or not sealed
    faults = store.faults(record, by_size=() if again else ("adapter/",))
    if FORGETTING in faults:  # measured again from the adapter, where that is intact
        faults |= store.faults(record, only="adapter/", by_size=())
    beyond = any(name.startswith("adapter/") for name in faults)
    only_tuned = (*TUNED, FORGETTING) if beyond else TUNED
    lost = {name: fault for name, fault in faults.items() if name.startswith(only_tuned)}
    if lost and again:
        say(f"{_named(fit, lost)}. It is tuned again.")
        store.clear(fit)
        return Standing()
    if lost:
        say(f"{_named(fit, lost)}. Its answers stand; only tuning makes it again: --overwrite failed.")
    if dropped := {name: fault for name, fault in faults.items() if name not in lost}:
        say(f"{_named(fit, dropped)}. What it held is made again from what is intact.")
    incomplete = any(name.startswith("predictions/") for name in dropped)
    record = store.drop(record, dropped)
    return Standing(record if sealed else None, record, incomplete, FORGETTING in dropped)


def _named(fit: str, faults: dict[str, str]) -> str:
    return f"{fit}: " + "; ".join(f"{name} {fault}" for name, fault in faults.items())


def _read(read: Callable[[str], FitRecord | None], fit: str) -> tuple[FitRecord | None, str]:
    """The record, or why it cannot be read."""
    try:
        return read(fit), ""
    except StoreError as error:
        return None, first_line(error).removesuffix(" Repeat the run.")


def adapter_fault(record: FitRecord, store: Store) -> str:
    """Why the stored parameters of a fit cannot be used, "" if they are what was sealed."""
    faults = store.faults(record, only="adapter/", by_size=())
    return _named(record.fit, faults) if faults else ""
