"""What the rooms may import, beyond what import-linter checks: no torch where none is needed."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import snibench

ROOT = Path(snibench.__file__).parent
LIGHT = [
    "snibench.base",
    "snibench.cli",
    "snibench.contracts",
    "snibench.data",
    "snibench.formats",
    "snibench.leaderboard",
    "snibench.metrics",
    "snibench.models",
    "snibench.plan",
    "snibench.protocols",
    "snibench.report",
    "snibench.samplers",
    "snibench.stats",
    "snibench.store",
    "snibench.testing",
]


PROBE = """
import importlib, json, sys
for module in json.loads(sys.argv[1]):
    importlib.import_module(module)
    found = sorted({"torch", "transformers", "peft", "accelerate", "datasets"} & sys.modules.keys())
    assert not found, f"{module} imports {found}"
"""


def modules_of(room: str) -> list[str]:
    path = ROOT.joinpath(*room.split(".")[1:])
    names = (file.relative_to(ROOT.parent).with_suffix("").parts for file in sorted(path.rglob("*.py")))
    return [".".join(parts).removesuffix(".__init__") for parts in names] or [room]


def test_the_light_rooms_import_no_torch() -> None:
    modules = [module for room in LIGHT for module in modules_of(room)]
    command = [sys.executable, "-c", PROBE, json.dumps(modules)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_no_room_names_a_method_that_it_should_find_through_the_registry() -> None:
    for file in ROOT.rglob("*.py"):
        if file.parent.name == "methods":
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("snibench.methods"):
                assert node.module == "snibench.methods.base", f"{file}:{node.lineno} imports {node.module}"
