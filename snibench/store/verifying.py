"""A whole results folder, held against its seals."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from snibench.base.errors import StoreError, first_line
from snibench.base.types import FitRecord
from snibench.store import locks, seals
from snibench.store.folder import Store

State = Literal["sealed", "tuned", "begun", "without digests", "under way", "damaged"]


@dataclass(frozen=True, slots=True)
class Held:
    """One fit of a folder, its files held against their digests.

    ``state``: "sealed"; "tuned" and "begun" of a fit that is not finished; "without digests", of an older snibench;
    "under way", where another process works on it now and nothing was held; "damaged", where its record is not what
    was written. ``faults``: differences by file, to be read behind its name. ``unnamed``: files that numbers could be
    read from and no record names. ``files``: how many were held against a digest.
    """

    fit: str
    label: str
    state: State
    files: int = 0
    faults: Mapping[str, str] = field(default_factory=dict)
    unnamed: tuple[str, ...] = ()


def held_folder(root: Path) -> list[Held]:
    """Every fit in ``root``, whichever run asked for it, and every fit that its manifest lists.

    Nothing is written. Adapters and predictions are read in full.

    Raises:
        StoreError: If there is no run in the folder, or its manifest is damaged.
    """
    store = Store(root)
    manifest = store.manifest()
    there = {path.parent.name for name in ("spec", "tuned", "record") for path in root.glob(f"*/{name}.json")}
    return [_held(store, fit, manifest.labels.get(fit, "")) for fit in sorted({*there, *manifest.fits})]


def _held(store: Store, fit: str, label: str) -> Held:
    if not store.begun(fit):
        return Held(fit, label, "damaged", faults={"spec.json": "is missing, and so is all of the fit"})
    faults: dict[str, str] = {}
    try:
        label = label or store.spec(fit).label
    except StoreError as error:
        faults["spec.json"] = _behind(error, store.folder(fit) / "spec.json")
    if not _free(store.folder(fit)):
        return Held(fit, label, "under way")
    records: dict[str, FitRecord] = {}
    for name, read in (("record.json", store.record), ("tuned.json", store.tuned)):
        try:
            if (record := read(fit)) is not None:
                records[name] = record
        except StoreError as error:
            faults[name] = _behind(error, store.folder(fit) / name)
    sealed = records.get("record.json") or records.get("tuned.json")
    if sealed is None:
        return Held(fit, label, "damaged" if faults else "begun", faults=faults)
    faults |= store.faults(sealed, by_size=())
    if not sealed.files:
        return Held(fit, label, "without digests", faults=faults)
    there = seals.sealable(store.folder(fit))
    state: State = "damaged" if "record.json" in faults else "sealed" if "record.json" in records else "tuned"
    unnamed = tuple(sorted(there.keys() - sealed.files.keys())) if state == "sealed" else ()
    return Held(fit, label or sealed.label, state, len(sealed.files), faults, unnamed)


def _free(folder: Path) -> bool:
    with suppress(OSError):  # a folder that takes no lock: nobody works in it
        return locks.is_free(folder)
    return True


def _behind(error: StoreError, path: Path) -> str:
    """The fault alone, to be read behind the file's name."""
    fault = first_line(error).removeprefix(f"{path} ")
    for remedy in ("Repeat the run.", "Delete it and repeat the run."):
        fault = fault.removesuffix(f" {remedy}")
    return fault.rstrip(".")
