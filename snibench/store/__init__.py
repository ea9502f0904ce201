"""Layout of fits and answers on disk.

::

    runs/
      manifest.json                     what the last `run` asked for: fits and question sets
      <fit>/
        spec.json                       the FitSpec
        checkpoint.safetensors          only while tuning; beside it the one before, checkpoint.previous.safetensors
        adapter/                        trainable parameters (peft's layout where peft made them)
        trace.parquet                   one row per step
        conflict/<share>.json|parquet   gradient conflict at a share of the training, and its task pairs
        tasks.parquet                   one row per task of the suite
        tuned.json                      the record as it stands after tuning: answering goes on from there
        record.json                     written last: seals the fit with the digests of its files
        .lock, .holder.json             who works on the fit now
        error.log                       the traceback of a method that failed
        predictions/<n>.parquet         immutable: what the fit answered to which prompt
        answers/<protocol>-<set>.parquet  immutable: one row per Question, with its scores

Every file is written beside its place, flushed to the disk and renamed, so that a reader sees all of it
or nothing, whatever was killed. A lock per fit keeps two writers from doing the same work twice.
"""

from __future__ import annotations

from snibench.store.folder import ANSWER_COLUMNS, Store
from snibench.store.reading import read_frame, read_json
from snibench.store.results import NothingDone, StoredRun, load_results, what_to_do
from snibench.store.writing import require_file_place, require_folder_place, write_frame, write_json, write_whole

__all__ = [
    "ANSWER_COLUMNS",
    "NothingDone",
    "Store",
    "StoredRun",
    "load_results",
    "read_frame",
    "read_json",
    "require_file_place",
    "require_folder_place",
    "what_to_do",
    "write_frame",
    "write_json",
    "write_whole",
]
