"""What the rooms may import, beyond what import-linter checks: no torch where none is needed."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Container, Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import snibench
from snibench.base.registry import FORMATS, METHODS, PROTOCOLS, RULES, SAMPLERS, SUITES

ROOT = Path(snibench.__file__).parent
LIGHT = [
    "snibench.base",
    "snibench.cli",
    "snibench.contracts",
    "snibench.data",
    "snibench.formats",
    "snibench.leaderboard",
    "snibench.methods",
    "snibench.metrics",
    "snibench.models",
    "snibench.plan",
    "snibench.protocols",
    "snibench.report",
    "snibench.rules",
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
    assert not found, f"{module} imports {found}: take torch from snibench.base.lazy, the engine inside a function"
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


def run_time_imports(tree: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """The imports of a source, those inside functions too, but for types alone."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            waiting += node.orelse
        else:
            waiting += ast.iter_child_nodes(node)


def imported(node: ast.Import | ast.ImportFrom, modules: Container[str]) -> set[str]:
    """The modules among ``modules`` that an import names, ``from PACKAGE import MODULE`` as the module."""
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names if alias.name in modules}
    inside = {f"{node.module}.{alias.name}" for alias in node.names}
    return {name if name in modules else str(node.module) for name in inside}


def test_the_import_graph_of_the_sources_has_no_circle_at_run_time() -> None:
    files = {
        ".".join(file.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__"): file
        for file in ROOT.rglob("*.py")
    }
    graph = {
        name: {
            other
            for node in run_time_imports(ast.parse(file.read_text(encoding="utf-8")))
            for other in imported(node, files)
            if other in files and other != name
        }
        for name, file in files.items()
    }
    assert "snibench.plan.plan" in graph["snibench.cli.run"]
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_no_room_names_a_method_that_it_should_find_through_the_registry() -> None:
    for file in ROOT.rglob("*.py"):
        if file.parent.name == "methods":
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("snibench.methods"):
                assert node.module == "snibench.methods.base", f"{file}:{node.lineno} imports {node.module}"


# Ordinary words of the field: as literals they count only where something is looked up or compared by them.
WORDS = {
    "adapter",
    "answers",
    "own",
    *("full", "majority", "ours", "mean", "sum", "gap", "formats", "combos", "definition", "template", "declarative"),
    *("question", "role", "chat", "json", "imperative", "abstract", "keyword", "uncertainty", "temperature"),
}
# The defaults of a run are names, in one place; the room `testing` checks plugins with built-ins, `api` lists names.
# Comparisons ask the questions of the three built-in protocols, each by a test of its own; `data fetch` fetches sni.
NAMES_ALLOWED = {"plan/defaults.py", "report/comparison.py", "report/questions.py", "cli/data.py"}
OWN_ROOMS = {"methods", "rules", "samplers", "formats", "protocols", "data", "testing", "api"}
LOOK_UP = re.compile(
    r"(method|rule|sampler|format|protocol|suite|METHODS|RULES|SAMPLERS|FORMATS|PROTOCOLS|SUITES|\bname)s?\b[\"'\])]*$"
)


def looked_up(tree: ast.AST) -> Iterator[ast.Constant]:
    """Literals that something is found by in a registry, or that a name is compared with."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            if any(LOOK_UP.search(ast.unparse(side)) for side in sides):
                yield from (one for side in sides for one in ast.walk(side) if isinstance(one, ast.Constant))
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and LOOK_UP.search(ast.unparse(node.func.value))
        ):
            yield from (one for one in node.args if isinstance(one, ast.Constant))


def names_in(source: str, names: set[str]) -> list[tuple[int, str]]:
    """Line and name of every literal that is a name of ``names``."""
    tree = ast.parse(source)
    constants = [one for one in ast.walk(tree) if isinstance(one, ast.Constant)]
    found = [one for one in constants if one.value in names - WORDS]
    found += [one for one in looked_up(tree) if one.value in names & WORDS]
    return sorted({(one.lineno, str(one.value)) for one in found})


def test_no_stage_knows_a_method_rule_sampler_format_protocol_or_suite_by_name() -> None:
    registries = (METHODS, RULES, SAMPLERS, FORMATS, PROTOCOLS, SUITES)
    names = {entry.name for one in registries for entry in one.entries() if entry.distribution == "snibench"}
    assert {"untuned", "tk_definition", "gap", "pcgrad", "deck", "mini"} <= names
    found = {
        f"{file.relative_to(ROOT)}:{line} {name}"
        for file in ROOT.rglob("*.py")
        if file.relative_to(ROOT).parts[0] not in OWN_ROOMS and str(file.relative_to(ROOT)) not in NAMES_ALLOWED
        for line, name in names_in(file.read_text(encoding="utf-8"), names)
    }
    assert not found


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('beside = ("untuned", "x")', ["untuned"]),
        ('if spec.method == "full": pass', ["full"]),
        ('rows = answers[answers["protocol"] == "gap"]', ["gap"]),
        ('if name in {"combos", "x"}: pass', ["combos"]),
        ('PROTOCOLS.get("formats")', ["formats"]),
        ('Column("gap", "Gap")', []),
        ('task["definition"]', []),
    ],
)
def test_a_name_that_came_back_would_be_seen(source: str, expected: list[str]) -> None:
    assert [
        name for _, name in names_in(source, {"untuned", "full", "gap", "combos", "formats", "definition"})
    ] == expected
