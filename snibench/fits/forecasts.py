"""Forecasts of fits, kept beside them, and compared with what each fit took in a note of its record."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from snibench.base.codec import from_json, to_json
from snibench.base.errors import StoreError
from snibench.base.types import FitRecord
from snibench.store import Store, read_json, write_json

FILE = "forecasts.json"


@dataclass(frozen=True, slots=True)
class Forecast:
    """Estimated cost of one fit, from a real step and a real batch of answers, without conflict and scoring."""

    loading: float  # seconds, attaching among them
    tuning: float  # seconds
    answering: float  # seconds
    memory: int  # bytes, the peak so far
    disk: int  # bytes in its folder once it is done
    checkpoint: int  # bytes more while it is tuned

    @property
    def seconds(self) -> float:
        """From its beginning to its end."""
        return self.loading + self.tuning + self.answering


def keep(store: Store, forecasts: Mapping[str, Forecast]) -> None:
    """Write what was foreseen, by fit; other fits' stays."""
    known = {fit: to_json(one) for fit, one in _stored(store).items()}
    write_json(store.root / FILE, {**known, **{fit: to_json(one) for fit, one in forecasts.items()}})


def compared(record: FitRecord, store: Store) -> FitRecord:
    """``record`` with a note of what was foreseen and what it took, if it was probed and has just been tuned."""
    forecast = _stored(store).get(record.fit)
    if forecast is None or record.status != "done" or any(note.startswith("foreseen") for note in record.notes):
        return record
    disk = sum(path.stat().st_size for path in store.folder(record.fit).rglob("*") if path.is_file())
    note = (
        f"foreseen by --probe: {forecast.tuning:.1f} s of tuning, {_mib(forecast.memory)} of memory, "
        f"{_mib(forecast.disk)} on disk; it took {record.seconds:.1f} s, {_mib(record.peak_memory)}, {_mib(disk)}"
    )
    return replace(record, notes=(*record.notes, note))


def _mib(count: int) -> str:
    return f"{count / 2**20:,.1f} MiB"


def _stored(store: Store) -> dict[str, Forecast]:
    """Stored estimates by fit; none where the file is missing or damaged, as nothing depends on them."""
    path: Path = store.root / FILE
    with suppress(StoreError):
        if path.exists():
            return from_json(dict[str, Forecast], read_json(path), path, remedy="")
    return {}
