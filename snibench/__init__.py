"""A benchmark harness for instruction-tuning methods over Super-NaturalInstructions.

``run`` and ``load`` give a run as a value; nothing heavy is imported before they are called.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from snibench.base.version import __version__

if TYPE_CHECKING:
    from typing import Unpack

    from snibench.fits.run import RunOptions
    from snibench.report.results import Results


__all__ = ["__version__", "load", "run"]


def run(methods: str | Sequence[str], output_dir: Path | str = "runs", **options: Unpack[RunOptions]) -> Results:
    """Run ``methods`` as ``snibench run`` does, and return what is stored then; a finished run is only read.

    Args:
        methods: What ``-m`` takes, one or several.
        output_dir: Folder of the results.
        options: The long options of ``snibench run``, with underscores: ``seeds=[0, 1]``, ``per_step=(8, 4)``,
            ``baseline=None`` for ``--no-baseline``, ``settings={"r": 4}`` for ``--set``.

    Raises:
        SnibenchError: If a name, option, file or model cannot be used, or no fit is done in the end.
    """
    from snibench.base.errors import unknown
    from snibench.fits import run as fits
    from snibench.plan.options import check_runtime, request_from
    from snibench.plan.plan import plan
    from snibench.plan.request import check_names
    from snibench.report.results import Results
    from snibench.store import Store

    known = fits.RunOptions.__annotations__
    for name in options:
        if name not in known:
            raise unknown("option of snibench.run", name, known)
    request = request_from([methods] if isinstance(methods, str) else methods, options)
    check_names(request)
    check_runtime(options)
    planned = plan(request)
    profile = planned.request.profile
    runtime = fits.runtime_from(options, profile, trust_remote_code=request.trust_remote_code)
    return Results(fits.run(planned.request, Store(Path(output_dir)), runtime, planned=planned))


def load(folder: Path | str = "runs") -> Results:
    """Results stored in ``folder``: the last run, and fits of earlier ones with its suite, model and recipe.

    Raises:
        StoreError: If the folder holds no run, or something in it is unreadable; names the file.
    """
    from snibench.report.results import load

    return load(folder)
