"""Fixtures of every room, and which rooms' tests need ``snibench[train]``."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from snibench import metrics
from snibench.base import registry

# Without torch these are left out, and all others must pass.
collect_ignore = [] if find_spec("torch") else ["engine", "fits", "methods", "plan", "rules"]
# Fixtures for every room: tasks in the official layout, and small random models (`pythonpath` in pyproject.toml).
pytest_plugins = ["official", *(["small_models"] if find_spec("torch") else [])]

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
    registries = [one for one in vars(registry).values() if isinstance(one, registry.Registry)]

    def forget() -> None:
        metrics.metric.cache_clear()
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


# ------------------------------------------------------------------------------------- a browser

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "chrome")
# Without a network, a profile, or anything that is sent home.
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--remote-debugging-pipe"),
)


class Browser:
    """A headless Chromium with one page, spoken to in the DevTools protocol over a pipe."""

    def __init__(self, program: str, profile: Path) -> None:
        to_us, from_us = os.pipe(), os.pipe()

        def plumb() -> None:  # Chromium reads from 3 and writes to 4
            os.dup2(from_us[0], 30)
            os.dup2(to_us[1], 31)
            os.dup2(30, 3)
            os.dup2(31, 4)

        self._process = subprocess.Popen(
            [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            preexec_fn=plumb,
            close_fds=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(from_us[0])
        os.close(to_us[1])
        self._in, self._out = os.fdopen(to_us[0], "rb"), os.fdopen(from_us[1], "wb")
        self._number = 0
        self._session = ""
        self.events: list[dict[str, Any]] = []
        pages = [one for one in self.call("Target.getTargets")["targetInfos"] if one["type"] == "page"]
        found = self.call("Target.attachToTarget", targetId=pages[0]["targetId"], flatten=True)
        self._session = found["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The answer to one command."""
        self._number += 1
        session = {"sessionId": self._session} if self._session else {}
        message = {"id": self._number, "method": method, "params": parameters, **session}
        self._out.write(json.dumps(message).encode() + b"\0")
        self._out.flush()
        while (answer := self._next()).get("id") != self._number:
            self.events.append(answer)
        assert "error" not in answer, answer
        return dict(answer["result"])

    def _next(self) -> dict[str, Any]:
        parts = []
        while (byte := self._in.read(1)) != b"\0":
            assert byte, "the browser is gone"
            parts.append(byte)
        return dict(json.loads(b"".join(parts)))

    def open(self, path: Path) -> None:
        """Show a file, and wait until it is loaded."""
        self.events.clear()
        self.call("Page.navigate", url=path.as_uri())
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._next())

    def run(self, script: str) -> Any:
        """The value of a script in the page."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def told(self, *methods: str) -> list[dict[str, Any]]:
        """What the page reported since it was opened, by the names of the events."""
        self.run("0")  # whatever came before has arrived now
        return [event["params"] for event in self.events if event.get("method") in methods]

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._in.close()
        self._out.close()


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A Chromium; the test is skipped where there is none, but not in CI."""
    program = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if program is None:
        if os.environ.get("CI") == "true":
            pytest.fail("CI needs Chromium for this test, and there is none on PATH.")
        pytest.skip("no Chromium on PATH")
    found = Browser(program, tmp_path_factory.mktemp("browser"))
    yield found
    found.close()
