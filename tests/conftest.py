"""Fixtures of every room, and which rooms' tests need ``snibench[train]``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from snibench import registry

# Without torch these are left out, and all others must pass.
collect_ignore = [] if find_spec("torch") else ["engine", "methods", "rules"]

# A busy machine is slow, not wrong.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

Install = Callable[..., Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """``install(name, entry_points, modules)``: put a made-up distribution on ``sys.path`` until the test ends.

    ``entry_points``: group -> {name: "module:attribute"}. ``modules``: file -> source. Returns the folder.
    """
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(site)
    registries = (registry.METHODS, registry.RULES, registry.FORMATS, registry.PROTOCOLS, registry.SUITES)

    def forget() -> None:
        for one in registries:
            vars(one).pop("_entries", None)

    def put(name: str, entry_points: dict[str, dict[str, str]], modules: dict[str, str] | None = None) -> Path:
        info = site / f"{name.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
        groups = (
            "\n".join([f"[{group}]", *(f"{key} = {value}" for key, value in names.items())])
            for group, names in entry_points.items()
        )
        (info / "entry_points.txt").write_text("\n".join(groups), encoding="utf-8")
        for file, source in (modules or {}).items():
            (site / file).parent.mkdir(parents=True, exist_ok=True)
            (site / file).write_text(source, encoding="utf-8")
        forget()
        return site

    yield put
    forget()
