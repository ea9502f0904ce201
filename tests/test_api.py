"""The door for authors: one list of names, and our own plugins come through it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import snibench
from snibench import api

PLUGINS = Path(snibench.__file__).parents[1] / "plugins"
DOORS = ("snibench.api", "snibench.testing")


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Methud'"):
        api.Methud  # noqa: B018


def test_every_name_of_the_door_leads_somewhere() -> None:
    pytest.importorskip("torch")
    assert {"Method", "BaseMethod", "Rule", "Format", "Protocol", "Suite"} <= set(dir(api))
    for name in dir(api):
        assert getattr(api, name) is not None


def test_our_own_plugins_import_nothing_else() -> None:
    if not PLUGINS.is_dir():
        pytest.skip("installed without its plugins")
    sources = sorted(PLUGINS.glob("*/src/**/*.py"))
    assert sources
    for source in sources:
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            modules = (
                [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else []
            )
            for module in modules:
                inside = module.split(".")[0] == "snibench"
                assert not inside or module.startswith(DOORS), f"{source}:{node.lineno} imports {module}"
