"""Files of a store, read: what is damaged is a sentence that names the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snibench.base.errors import StoreError

if TYPE_CHECKING:
    import pandas as pd


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
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StoreError(f"{path} cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise StoreError(f"{path} is not JSON ({error}). Delete it and repeat the run.") from error
