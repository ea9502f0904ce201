"""One run, from its request to its stored results: plan, search, fit, answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import torch

from snibench.base.errors import StoreError
from snibench.base.types import Checked, Manifest, Search, SuiteRef
from snibench.contracts import Executor
from snibench.engine.backbone import choose_device, choose_precision
from snibench.engine.check import check_model
from snibench.fits import processes
from snibench.fits.context import FitProgress, Runtime
from snibench.fits.inline import run_fit
from snibench.fits.joint import check_devices
from snibench.fits.lr_search import Watch, search_rates
from snibench.fits.work import PlannedWork, run_jobs
from snibench.plan.names import make_executor
from snibench.plan.options import RequestOptions, RuntimeOptions, check_runtime
from snibench.plan.plan import FitPlan, Plan, on_device, plan
from snibench.plan.request import Profile, RunRequest, check_names
from snibench.store import Store, StoredRun, load_results


class RunOptions(RequestOptions, RuntimeOptions, total=False):
    """Every option of ``snibench run`` but the methods and the output folder."""


def _silent(*_: object) -> AbstractContextManager[Watch]:
    return nullcontext(lambda index, fit: FitProgress())


@dataclass(frozen=True)
class RunProgress:
    """Callbacks of a run's stages; the default shows nothing.

    ``searching`` and ``fitting`` give a context in which every trial, or every fit, of the plan has its callbacks;
    ``fitting`` is passed how many fits are under way at a time.
    """

    planned: Callable[[Plan], None] = field(default=lambda plan: None)
    searching: Callable[[Plan], AbstractContextManager[Watch]] = field(default=_silent)
    searched: Callable[[Search], None] = field(default=lambda search: None)
    fitting: Callable[[Plan, int], AbstractContextManager[Watch]] = field(default=_silent)


def runtime_from(options: RuntimeOptions, profile: Profile, *, trust_remote_code: bool = False) -> Runtime:
    """Execution options of the fits of a run with ``options``.

    Raises:
        UsageError: If the batch size is no number, there are jobs for the executor that runs one fit at a time, or
            fewer accelerators than one fit is to have.
        ModelError: If the device is not there.
    """
    check_runtime(options)
    size = str(options.get("batch_size", "auto"))
    device = choose_device(options.get("device", "auto"))
    executor, jobs = options.get("executor", "inline"), options.get("jobs")
    together = options.get("distributed", 1)
    if executor in ("auto", "inline", "processes"):  # others run fits on other machines
        check_devices(device, together)
    # Fits side by side have one thread each, whatever the profile.
    threads = 1 if executor not in ("auto", "inline") or jobs else profile.threads
    if threads is None and together > 1:  # all that there are, shared out
        threads = max(1, torch.get_num_threads() // together)
    return Runtime(
        device=device,
        threads=threads if device == "cpu" else None,
        executor="processes" if jobs and executor == "auto" else executor,
        jobs=jobs,
        distributed=together,
        batch_size=None if size == "auto" else int(size),
        conflict=options.get("conflict", "ends"),
        conflict_tasks=profile.conflict_tasks,
        overwrite=options.get("overwrite", "never"),
        fit_timeout=options.get("fit_timeout"),
        trust_remote_code=trust_remote_code,
        report_to=tuple(dict.fromkeys(options.get("report_to", ()))),
    )


def placed(planned: Plan, request: RunRequest, device: str) -> Plan:
    """A plan of ``request`` on ``device``: in the precision that it can, its model held against transformers."""
    precision = choose_precision(request.precision, device, request.model)
    if all(fit.spec.floor for fit in planned.fits):
        return on_device(planned, precision, Checked())
    checked = check_model(planned.model, device=device, trust_remote_code=request.trust_remote_code)
    return on_device(planned, precision, checked)


def run(
    request: RunRequest,
    store: Store,
    runtime: Runtime,
    progress: RunProgress | None = None,
    *,
    planned: Plan | None = None,
) -> StoredRun:
    """Plan, search for learning rates, fit what is not fitted, answer what is not answered; what is stored then.

    ``planned``: the plan of ``request``, where there is one.

    Raises:
        UsageError: If a name or a setting is not known.
        NothingDone: If no fit is done in the end.
        Interrupted: On SIGINT, after the state is saved.
    """
    progress = progress or RunProgress()
    planned, searches = planned_with_rates(request, store, runtime, progress, planned=planned)
    manifest = manifest_of(planned, searches)
    for fit in planned.fits:
        if not store.begun(fit.spec.id):
            store.begin(fit.spec)  # what a run that is stopped did not come to has its name
    store.write_manifest(manifest)
    # Fits that are done, and floors, are looked after here.
    left = [number for number, fit in enumerate(planned.fits) if not (fit.spec.floor or settled(fit, store, runtime))]
    work = PlannedWork(planned, store, runtime, left)
    executor = executor_of(work)
    with progress.fitting(planned, max(1, executor.beside(work))) as watch:
        light = {n: run_fit(planned, n, store, runtime, watch) for n in range(len(planned.fits)) if n not in set(left)}
        outcomes = light | (run_jobs(executor, work, watch) if left else {})
    records = [outcomes[number] for number in range(len(planned.fits))]
    # Not the folder's manifest, which may be another command's by now.
    return load_results(store.root, manifest=manifest, outcomes=records)


def executor_of(work: PlannedWork) -> Executor:
    """The executor that the run asks for; of "auto" the faster of one fit after the other and side by side."""
    name = work.runtime.executor
    if name == "auto":
        requested = work.requested_jobs or processes.default_jobs(work)
        several = len(work.jobs) > 1 and requested > 1 and work.threads
        name = "processes" if several and sum(job.size for job in work.jobs) >= processes.WORTH else "inline"
    executor = make_executor(name)
    executor.check()
    return executor


def settled(fit: FitPlan, store: Store, runtime: Runtime) -> bool:
    """Whether a fit's record stands, its files are what was sealed, and nothing is left to answer."""
    try:
        record = store.record(fit.spec.id)
    except StoreError:
        return False
    if record is None or runtime.overwrite == "always":
        return False
    if record.status != "done":
        return runtime.overwrite == "never"
    answered = all(store.answered(record, one.protocol, one.digest) for one in fit.questions)
    return answered and not store.faults(record, by_size=("adapter/",))


def planned_with_rates(
    request: RunRequest, store: Store, runtime: Runtime, progress: RunProgress, *, planned: Plan | None = None
) -> tuple[Plan, tuple[Search, ...]]:
    """The plan of ``request`` with the learning rates that were found for it, and what was tried."""
    check_names(request)
    store.prepare()
    planned = planned or plan(request)
    planned = placed(planned, planned.request, runtime.device)
    progress.planned(planned)
    with progress.searching(planned) as watch:
        planned, searches = search_rates(planned, request.trials, store, runtime, watch, steps=request.trial_steps)
    for search in searches:
        progress.searched(search)
    return planned, searches


def manifest_of(planned: Plan, searches: Sequence[Search]) -> Manifest:
    """Manifest of a plan and of the searches for its learning rates, for reports."""
    return Manifest(
        fits=tuple(fit.spec.id for fit in planned.fits),
        labels={fit.spec.id: fit.spec.label for fit in planned.fits},
        controls=planned.controls,
        question_sets={fit.spec.id: {part.protocol: part.digest for part in fit.questions} for fit in planned.fits},
        protocol_versions={part.protocol: part.version for fit in planned.fits for part in fit.questions},
        protocol_settings=planned.protocol_settings,
        limit=planned.limit,
        suite=SuiteRef(planned.suite.name, planned.suite.digest, planned.suite.notes),
        baseline=planned.baseline,
        searches=tuple(search for search in searches if search.trials),
        notes=planned.aliases,
    )
