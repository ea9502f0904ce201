"""Files of a store, read: what is damaged is a sentence that names the file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from snibench.base import reading
from snibench.base.errors import StoreError

if TYPE_CHECKING:
    import pandas as pd

_LARGEST_JSON = 256 * 2**20  # bytes of a spec, record or manifest


def read_frame(path: Path) -> pd.DataFrame:
    """The Parquet file ``path``.

    Raises:
        StoreError: If it cannot be read; names it.
    """
    import pandas as pd
    import pyarrow as pa

    try:
        return pd.read_parquet(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise StoreError(f"{path} cannot be read ({error}). Delete it and repeat the run.") from error


def read_json(path: Path) -> Any:
    """The JSON value in ``path``.

    Raises:
        StoreError: If the file is missing or not JSON; names it.
    """
    try:
        return reading.read_json(path, _LARGEST_JSON, finite=True)
    except reading.Unreadable as error:
        raise StoreError(f"{path} {error}. Delete it and repeat the run.") from error
