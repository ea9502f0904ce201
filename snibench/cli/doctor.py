"""``snibench doctor``: whether this machine and this installation can run fits, and what cannot.

What may crash or hang (torch, plugins) is asked in a process of its own, so that the rest is still said.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import click

from snibench.base.errors import SnibenchError, first_line
from snibench.base.reading import is_folder
from snibench.base.registry import Registry, installed_points
from snibench.base.version import __version__
from snibench.base.wording import counted, terminal_safe
from snibench.cli.ls import REGISTRIES
from snibench.cli.output import show_text
from snibench.cli.places import AnyPath

Status = Literal["ok", "note", "broken"]
_PATIENCE = 180.0  # seconds for what runs in a process of its own
_LITTLE_DISK, _LITTLE_MEMORY = 2 * 2**30, 2 * 2**30  # bytes; less is worth a note
_NO_DISK = 50 * 2**20  # bytes; less is broken


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: "broken" keeps runs from ending well, "note" is worth knowing."""

    part: str
    name: str
    status: Status
    text: str


@click.command()
@click.option("-o", "--output-dir", "folder", type=AnyPath(), default="runs", show_default=True, help="Where runs lie.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
@click.pass_context
def doctor(context: click.Context, folder: Path, as_json: bool) -> None:
    """Check versions, devices, disk, memory, folders, caches and plugins.

    Exit code 1 if something is broken. It changes nothing and works without torch.
    """
    of_folders = (*_machine(folder), *_folders(folder), *_caches())
    findings = [*_software(), *device_findings(), *of_folders, *_environment(), *plugin_findings()]
    if as_json:
        show_text(f"{json.dumps([asdict(one) for one in findings], indent=1, ensure_ascii=False)}\n")
    else:
        for line in _lines(findings):
            click.echo(line)
    context.exit(1 if any(one.status == "broken" for one in findings) else 0)


def _lines(findings: Iterable[Finding]) -> Iterator[str]:
    part, broken, notes = "", 0, 0
    for one in findings:
        if one.part != part:
            part = one.part
            yield part
        mark = {"ok": "   ", "note": " ! ", "broken": " X "}[one.status]
        broken, notes = broken + (one.status == "broken"), notes + (one.status == "note")
        yield f"{mark}{terminal_safe(one.name)}: {terminal_safe(one.text)}"
    yield f"{broken} broken (X), {notes} to know (!)."


# --------------------------------------------------------------------------------------- software


def _software() -> Iterator[Finding]:
    part = "Software"
    yield Finding(part, "snibench", "ok", f"{__version__}, Python {platform.python_version()}, {platform.platform()}")
    missing_extra = []
    for name, extra in _required():
        try:
            yield Finding(part, name, "ok", version(name))
        except PackageNotFoundError:
            if extra:
                missing_extra.append(name)
            else:
                yield Finding(
                    part, name, "broken", "is not installed, and snibench needs it. Run: pip install snibench"
                )
    if missing_extra:
        text = f"not installed: {', '.join(missing_extra)}. Tuning needs them: pip install 'snibench[train]'"
        yield Finding(part, "extra 'train'", "note", text)


def _required() -> Iterator[tuple[str, bool]]:
    """(package, whether only the extra ``train`` needs it) of snibench's own requirements."""
    for requirement in requires("snibench") or ():
        name = requirement.partition(";")[0]
        for mark in "<>=!~[( ":
            name = name.partition(mark)[0]
        condition = requirement.partition(";")[2]
        if not condition or "'train'" in condition.replace('"', "'"):
            yield name.strip(), bool(condition)


# Prints one line of JSON; torch may be broken in any way.
ASK_TORCH = """
import json, torch
count = torch.cuda.device_count() if torch.cuda.is_available() else 0
cuda = [{"name": p.name, "memory": p.total_memory} for p in map(torch.cuda.get_device_properties, range(count))]
total = float(torch.ones(64, 64).matmul(torch.ones(64, 64)).sum())
from snibench.engine.backbone import choose_precision
print(json.dumps({
    "version": torch.__version__, "cuda": cuda, "mps": torch.backends.mps.is_available(),
    "threads": torch.get_num_threads(), "right": total == 64.0 ** 3,
    "cpu": choose_precision("auto", "cpu"), "gpu": choose_precision("auto", "cuda") if cuda else "",
}))
"""


def device_findings(program: str = ASK_TORCH) -> Iterator[Finding]:
    """Findings on torch and its devices, by ``program`` in a process of its own."""
    part = "Devices"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if find_spec("torch") is None:
        yield Finding(part, "processor", "ok", f"{platform.machine()}, {cores} cores")
        return
    lines, fault = ask(program)
    if fault:
        yield Finding(part, "torch", "broken", f"cannot be used: {fault}. Install it again.")
        return
    about: dict[str, Any] = json.loads(lines[-1])
    text = f"{platform.machine()}, {cores} cores, {about['threads']} threads of torch, {about['cpu']} by default"
    yield Finding(part, "processor", "ok", text)
    if not about["right"]:
        yield Finding(part, "torch", "broken", "multiplies matrices wrongly. Install it again.")
    for index, one in enumerate(about["cuda"]):
        text = f"{one['name']}, {_size(one['memory'])}, {about['gpu']} by default"
        yield Finding(part, f"cuda:{index}", "ok", text)
    if about["mps"]:
        yield Finding(part, "mps", "ok", "there")
    if not about["cuda"] and not about["mps"]:
        yield Finding(part, "accelerator", "note", f"torch {about['version']} sees none: fits run on the processor")


def ask(program: str, *arguments: str) -> tuple[list[str], str]:
    """The lines that a Python program prints in a process of its own, and why it did not end well, or ""."""
    command = [sys.executable, "-c", program, *arguments]
    try:
        ended = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=_PATIENCE, check=False
        )
    except subprocess.TimeoutExpired as error:
        lines = (error.stdout or b"").decode("utf-8", "replace").splitlines()
        return lines, f"no answer in {_PATIENCE:g} s"
    lines = [line for line in ended.stdout.splitlines() if line.strip()]
    if ended.returncode < 0:
        return lines, f"its process was killed by signal {-ended.returncode}"
    if ended.returncode:
        said = [line for line in ended.stderr.splitlines() if line.strip()]
        return lines, said[-1] if said else f"exit code {ended.returncode}"
    return lines, "" if lines else "no answer"


# ---------------------------------------------------------------------------------------- machine


def _machine(folder: Path) -> Iterator[Finding]:
    part = "Machine"
    for name, place in {"disk of the results": folder, "disk of temporary files": Path(tempfile.gettempdir())}.items():
        try:
            free = shutil.disk_usage(_nearest(place)).free
        except OSError as error:
            yield Finding(part, name, "broken", f"cannot be asked ({error.strerror})")
            continue
        status: Status = "broken" if free < _NO_DISK else "note" if free < _LITTLE_DISK else "ok"
        yield Finding(part, name, status, f"{_size(free)} free")
    total, free = _memory()
    if total:
        yield Finding(
            part, "memory", "note" if free < _LITTLE_MEMORY else "ok", f"{_size(free)} of {_size(total)} free"
        )


def _memory() -> tuple[int, int]:
    """Bytes of memory in all and free, within the limit of a container; 0 where they are not known."""
    try:
        page = os.sysconf("SC_PAGE_SIZE")
        total, free = os.sysconf("SC_PHYS_PAGES") * page, os.sysconf("SC_AVPHYS_PAGES") * page
    except (AttributeError, ValueError, OSError):
        return 0, 0
    try:
        rows = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines())
        free = int(rows["MemAvailable"].split()[0]) * 1024
    except (OSError, ValueError, KeyError):
        pass
    try:
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii"))
        used = int(Path("/sys/fs/cgroup/memory.current").read_text(encoding="ascii"))
    except (OSError, ValueError):  # no container, or one without a limit
        return total, free
    return min(total, limit), min(free, max(0, limit - used))


def _nearest(folder: Path) -> Path:
    """``folder``, or the nearest folder above it that is there."""
    place = folder.absolute()
    while not is_folder(place) and place != place.parent:
        place = place.parent
    return place


def _size(count: int) -> str:
    return f"{count / 2**30:,.1f} GiB" if count >= 2**30 else f"{count / 2**20:,.0f} MiB"


# ---------------------------------------------------------------------------------------- folders


def _folders(folder: Path) -> Iterator[Finding]:
    from snibench.models.find import home

    part = "Folders"
    for name, place in {"results": folder, "cache": home(), "temporary files": Path(tempfile.gettempdir())}.items():
        near = _nearest(place)
        fault = _write_fault(near)
        made = "" if near == place.absolute() else ", to be made"
        yield Finding(part, name, "broken" if fault else "ok", f"{place}{made}{f': {fault}' if fault else ''}")


def _write_fault(folder: Path) -> str:
    """Why a file cannot be written, renamed and locked in ``folder``; "" where it can."""
    from filelock import FileLock

    try:
        with tempfile.TemporaryDirectory(prefix=".snibench-doctor.", dir=folder) as holder:
            written = Path(holder) / "a"
            written.write_bytes(b"a" * 4096)
            written.replace(Path(holder) / "b")
            with FileLock(Path(holder) / "lock", timeout=5):
                pass
    except Exception as error:  # a lock has errors of its own
        return f"cannot be written ({getattr(error, 'strerror', None) or first_line(error)})"
    return ""


def _caches() -> Iterator[Finding]:
    from snibench.models.find import home

    hub = Path(os.environ.get("HF_HUB_CACHE") or Path(os.environ.get("HF_HOME") or "~/.cache/huggingface") / "hub")
    for name, place in {"converted models": home() / "converted", "models of the hub": hub.expanduser()}.items():
        count, size = 0, 0
        if is_folder(place):
            count = sum(one.is_dir() and not one.name.startswith(".") for one in place.iterdir())
            size = sum(one.stat().st_size for one in place.rglob("*") if one.is_file() and not one.is_symlink())
        held = f"{counted(count, 'entry')}, {_size(size)}" if count else "empty"
        yield Finding("Caches", name, "ok", f"{place}: {held}")


def _environment() -> Iterator[Finding]:
    from snibench.cli.run_options import OPTIONS

    part = "Environment"
    known = {f"SNIBENCH_RUN_{option.name}".upper() for options in OPTIONS.values() for option in options}
    known |= {
        f"SNIBENCH_RUN_{name.removeprefix('--').replace('-', '_')}".upper()
        for options in OPTIONS.values()
        for option in options
        for name in option.opts
    }
    for name, value in sorted(os.environ.items()):
        if name.startswith("SNIBENCH_RUN_") and name not in known:
            yield Finding(part, name, "note", "is no option of `snibench run`, so nothing reads it")
        elif name.startswith("SNIBENCH_") or name in {"OMP_NUM_THREADS", "HF_HUB_OFFLINE", "CUDA_VISIBLE_DEVICES"}:
            yield Finding(part, name, "ok", value)


# ---------------------------------------------------------------------------------------- plugins

# Loads every name given as GROUP NAME; says "begin" before each, so that a crash has an owner.
_LOAD_PLUGINS = """
import json, sys
from snibench.cli.doctor import loaded
for group, name in json.loads(sys.argv[1]):
    print(json.dumps(["begin", group, name]), flush=True)
    print(json.dumps(["end", group, name, loaded(group, name)]), flush=True)
"""


def loaded(group: str, name: str) -> str:
    """Why the plugin cannot be loaded, or ""."""
    try:
        REGISTRIES[group].get(name)
    except SnibenchError as error:
        return str(error)
    return ""


def plugin_findings(registries: Mapping[str, Registry] = REGISTRIES) -> Iterator[Finding]:
    """The plugins of ``registries`` that cannot be loaded, with the cause, and their number."""
    part = "Plugins"
    for one in {item.distribution: item for item in installed_points("snibench.methods")[1]}.values():
        text = f"its entry points cannot be read ({one.cause}), so that none of them is found. Install it again."
        yield Finding(part, one.distribution, "broken", text)
    asked = [(group, name) for group, registry in registries.items() for name in _loadable(registry)]
    lines, fault = ask(_LOAD_PLUGINS, json.dumps(asked))
    begun: tuple[str, str] | None = None
    faults: dict[tuple[str, str], str] = {}
    for event, group, name, *said in map(json.loads, (line for line in lines if line.startswith("["))):
        begun = (group, name) if event == "begin" else None
        if event == "end" and said[0]:
            faults[group, name] = said[0]
    if fault and begun:
        faults[begun] = f"loading it ends the process: {fault}"
    elif fault:
        yield Finding(part, "all", "broken", f"cannot be loaded: {fault}")
    for (group, name), text in faults.items():
        yield Finding(part, f"{group.removesuffix('s')} {name}", "broken", text)
    for group, registry in registries.items():
        owners = sorted({entry.distribution for entry in registry.entries()})
        yield Finding(part, group, "ok", f"{len(registry.names())} of {', '.join(owners)}")


def _loadable(registry: Registry) -> list[str]:
    """Names that can be loaded here: without torch none of those that may need it."""
    if find_spec("torch") is not None:
        return registry.names()
    return [] if registry.noun in {"method", "rule"} else registry.names()
