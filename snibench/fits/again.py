"""A stored fit, planned and run once more in another folder, from what its folder says of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from snibench.base.errors import DataError, StoreError
from snibench.base.types import FitRecord, FitSpec, Manifest
from snibench.fits.context import FitProgress, Runtime
from snibench.fits.run import placed
from snibench.fits.run_one import run_one
from snibench.plan.plan import FitPlan, Plan, plan
from snibench.plan.request import RunRequest, request_again
from snibench.store import Store, read_frame

if TYPE_CHECKING:
    import pandas as pd


def stored_rows(store: Store, fit: str, manifest: Manifest) -> dict[str, pd.DataFrame]:
    """Answers of ``fit`` by protocol, of the question sets that the folder's manifest lists.

    Raises:
        StoreError: If there are none.
    """
    asked = {**manifest.earlier.get(fit, {}), **manifest.question_sets.get(fit, {})}
    paths = {protocol: store.answers_path(fit, protocol, digest) for protocol, digest in asked.items()}
    rows = {protocol: read_frame(path) for protocol, path in paths.items() if path.exists()}
    if not rows:
        raise StoreError(f"{store.folder(fit)} has no answers that its manifest lists. Repeat the run first.")
    return rows


def run_again(
    spec: FitSpec,
    manifest: Manifest,
    rows: Mapping[str, pd.DataFrame],
    store: Store,
    runtime: Runtime,
    watch: Callable[[FitPlan], FitProgress],
) -> tuple[FitSpec, FitRecord]:
    """Tune and ask the fit of ``spec`` again into ``store``: the spec of now, and its record.

    Raises:
        DataError: If the suite of now, or the model, is not the one of ``spec``: its numbers could not be the same.
    """
    planned, fit = _planned(spec, manifest, rows, runtime)
    if planned.suite.digest != spec.suite_digest:
        raise DataError(
            f"Suite {spec.suite.name} here has the digest {planned.suite.digest[:12]}, but the fit was made with "
            f"{spec.suite_digest[:12]}: these are other tasks or instances. Bring back the data of the fit."
        )
    if (
        planned.model.ref.digest != spec.model.digest
        or planned.model.ref.tokenizer_digest != spec.model.tokenizer_digest
    ):
        raise DataError(
            f"The model '{spec.model.spec}' here has the digest {planned.model.ref.digest[:12]}, but the fit was made "
            f"with {spec.model.digest[:12]}. Bring back the model of the fit."
        )
    store.prepare()
    record = run_one(fit, planned.suite, planned.model, store, runtime, watch(fit))
    return fit.spec, record


def _planned(
    spec: FitSpec, manifest: Manifest, rows: Mapping[str, pd.DataFrame], runtime: Runtime
) -> tuple[Plan, FitPlan]:
    """The plan of now that has the fit, asked as many questions as it answered; of several the nearest."""
    wanted = {protocol: set(frame["prompt_sha"]) for protocol, frame in rows.items()}
    best: tuple[int, Plan, FitPlan] | None = None
    for limit in possible_limits(rows):
        request = _request(spec, manifest, rows, limit)
        planned = placed(plan(request), request, runtime.device)
        fit = next((one for one in planned.fits if one.spec.mixture == spec.mixture), planned.fits[0])
        asked = {part.protocol: {one.prompt_sha for one in part.rendered} for part in fit.questions}
        apart = sum(len(shas ^ asked.get(protocol, set())) for protocol, shas in wanted.items())
        if best is None or apart < best[0]:
            best = apart, planned, fit
        if not apart:
            break
    assert best is not None  # there is always the plan without a limit
    return best[1:]


def possible_limits(rows: Mapping[str, pd.DataFrame]) -> Iterator[int | None]:
    """Values that ``--limit`` may have had: it is not stored, but bounds how often a task was asked."""
    counts = {
        int(frame.groupby(["task", "format", "variant", "stream"], dropna=False).size().max())
        for frame in rows.values()
    }
    yield from sorted(counts, reverse=True)
    yield None


def _request(spec: FitSpec, manifest: Manifest, rows: Mapping[str, pd.DataFrame], limit: int | None) -> RunRequest:
    return request_again(
        spec.method,
        suite=spec.suite,
        model=spec.model.spec,
        rule=spec.rule,
        sampler=spec.sampler,
        settings=spec.settings,
        rule_settings=spec.rule_settings,
        sampler_settings=spec.sampler_settings,
        protocol_settings=manifest.protocol_settings,
        protocols=tuple(rows),
        train_format=spec.train_format,
        seeds=(spec.seed,),
        recipe=spec.recipe,
        limit=limit,
        precision=spec.precision,
        rank_labels=any("ranked" in frame for frame in rows.values()),
    )
