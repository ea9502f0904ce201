"""The examples of the documentation run as they stand, keep the contract, and import the one door alone."""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
KINDS = ("method", "rule", "sampler", "format", "protocol", "suite", "metric")
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "plugins").glob("*/README.md")])
DOORS = {"snibench", "snibench.api", "snibench.testing"}


def blocks_of(document: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", document.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)


def example(name: str) -> str:
    """The block under the heading of one kind in docs/plugins.md."""
    text = (ROOT / "docs" / "plugins.md").read_text("utf-8")
    found = re.search(rf"^### A {name}\n\n```python\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    assert found, f"docs/plugins.md has no example of a {name}"
    return found[1]


def imported(source: str) -> set[str]:
    """Modules of snibench that a source names."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name for name in names if name.split(".")[0] == "snibench"}


@pytest.mark.parametrize("name", KINDS)
def test_an_example_of_the_manual_keeps_the_contract(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name in {"method", "rule", "sampler"}:
        pytest.importorskip("torch")
    source, file = example(name), tmp_path / f"example_{name}.py"
    assert imported(source) == {"snibench.api", "snibench.testing"}
    assert f"check_{name}(" in source
    file.write_text(source, "utf-8")
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec
    assert spec.loader
    module: Any = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, file.stem, module)
    spec.loader.exec_module(module)
    tests = [value for key, value in vars(module).items() if key.startswith("test_")]
    assert len(tests) == 1
    tests[0]()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_documents_show_imports_the_one_door(document: Path) -> None:
    for block in blocks_of(document):
        assert imported(block) <= DOORS, block
