"""Files of a store, read: what is damaged is a sentence that names the file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snibench.base import reading
from snibench.base.errors import StoreError, first_line

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_LARGEST_JSON = 256 * 2**20  # bytes of a spec, record or manifest


def read_frame(path: Path) -> pd.DataFrame:
    """The Parquet file ``path``.

    Raises:
        StoreError: If it cannot be read; names it.
    """
    frame: pd.DataFrame = read_parquet(path).to_pandas()
    return frame


def read_parquet(path: Path) -> pa.Table:
    """The Parquet file ``path``, its pages held against their checksums, as a table of Arrow.

    Raises:
        StoreError: If it cannot be read; names it.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:  # a third of the time of read_table
            return file.read(use_threads=False)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise StoreError(f"{path} cannot be read ({first_line(error)}). Delete it and repeat the run.") from error


def distinct_files(paths: Iterable[Path]) -> list[Path]:
    """``paths`` without those whose bytes an earlier one has, too.

    Raises:
        StoreError: If one cannot be read; names it.
    """
    first: dict[bytes, Path] = {}
    for path in paths:
        try:
            first.setdefault(path.read_bytes(), path)
        except OSError as error:
            raise StoreError(f"{path} cannot be read ({first_line(error)}). Repeat the run.") from error
    return list(first.values())


def read_json(path: Path) -> Any:
    """The JSON value in ``path``.

    Raises:
        StoreError: If the file is missing or not JSON; names it.
    """
    try:
        return reading.read_json(path, _LARGEST_JSON, finite=True)
    except reading.Unreadable as error:
        raise StoreError(f"{path} {error}. Delete it and repeat the run.") from error
