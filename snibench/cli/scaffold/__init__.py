"""A plugin package of a given sort, written from the examples of docs/plugins.md; ``snibench plugin new``."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from snibench.base.errors import UsageError
from snibench.base.registry import EXECUTORS, FORMATS, METHODS, METRICS, PROTOCOLS, RULES, SAMPLERS, SUITES

# What a plugin may be, by the noun for it, and where it is registered.
REGISTRIES = {one.noun: one for one in (METHODS, RULES, SAMPLERS, FORMATS, PROTOCOLS, SUITES, METRICS, EXECUTORS)}
_NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")
_LONGEST = 60


@dataclass(frozen=True, slots=True)
class Scaffold:
    """The files of a package, by their paths in it, and the folder's own name."""

    folder: str
    files: dict[str, str]


def scaffold(sort: str, name: str) -> Scaffold:
    """A package with one plugin called ``name``: pyproject, code, a test that proves its contract, README.

    Raises:
        UsageError: If the name cannot be one of a package.
    """
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        raise UsageError(
            f"'{name}' cannot name a plugin. Take lower-case letters and digits, joined by '-' or '_', such as my-lora."
        )
    package = f"snibench_{name.replace('-', '_')}"
    owner = "".join(part.capitalize() for part in re.split("[-_]", name))
    code, test = _parts(example(sort), sort, name, owner, package)
    group, use = REGISTRIES[sort].group, _USES[sort].format(name=name)
    distribution = f"snibench-{name.replace('_', '-')}"
    return Scaffold(
        distribution,
        {
            "pyproject.toml": _PYPROJECT.format(
                name=name,
                distribution=distribution,
                package=package,
                sort=sort,
                group=group,
                owner=owner,
            ),
            "README.md": _README.format(name=name, distribution=distribution, sort=sort, use=use),
            f"src/{package}/__init__.py": code,
            f"tests/test_{package}.py": test,
        },
    )


def example(sort: str) -> str:
    """The example of docs/plugins.md, as it stands there."""
    return (files("snibench.cli.scaffold") / f"{sort}.py.txt").read_text("utf-8")


def write(package: Scaffold, parent: Path) -> Path:
    """Write ``package`` into a new folder below ``parent``; the folder.

    Raises:
        UsageError: If the folder is there already, or cannot be written.
    """
    folder = parent / package.folder
    try:
        folder.mkdir(parents=True)
        for path, text in package.files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
    except FileExistsError:
        raise UsageError(f"'{folder}' is there already. Choose another name, or remove it.") from None
    except OSError as error:
        raise UsageError(f"'{folder}' cannot be written: {error.strerror}.") from None
    return folder


def _parts(source: str, sort: str, name: str, owner: str, package: str) -> tuple[str, str]:
    """The example's code and its test apart, its class and its own name replaced."""
    tree = ast.parse(source)
    plugin = _plugin(tree, sort)
    for old, new in _renamed(tree, plugin, sort, name, owner):
        source = re.sub(rf"(?<![\w.]){re.escape(old)}(?!\w)", new, source)
    tree = ast.parse(source)
    lines = source.splitlines()
    code: list[str] = []
    test: list[str] = []
    end = 0
    for node in tree.body:
        testing = isinstance(node, ast.ImportFrom) and node.module == "snibench.testing"
        testing |= isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
        (test if testing else code).extend(lines[end : node.end_lineno])
        end = node.end_lineno or end
    used = {node.id for one in tree.body if getattr(one, "name", "").startswith("test_") for node in ast.walk(one)
            if isinstance(node, ast.Name)}  # fmt: skip
    defined = [one.name for one in tree.body if isinstance(one, ast.ClassDef | ast.FunctionDef) and one.name in used]
    doors = ["SuiteRequest"] if "SuiteRequest" in used else []
    imports = [*(f"from snibench.api import {door}" for door in doors)]
    head = [*imports, test[0].lstrip(), "", f"from {package} import {', '.join(sorted(defined))}"]
    docstring = f'"""The {sort} `{name}` of snibench."""\n\n'
    body = re.sub(r"\n{3,}", "\n\n\n", "\n".join(code)).strip()
    if "SuiteRequest" in doors:
        body = body.replace(
            "from snibench.api import Example, Instance, Suite, SuiteRequest, ",
            "from snibench.api import Example, Instance, Suite, ",
        )
    return docstring + body + "\n", "\n".join(head) + "\n\n\n" + "\n".join(test[1:]).strip() + "\n"


def _plugin(tree: ast.Module, sort: str) -> str:
    """The class that is the plugin: the one that the example's test hands to its check."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    check = next(call for call in calls if isinstance(call.func, ast.Name) and call.func.id == f"check_{sort}")
    handed = check.args[0].func if isinstance(check.args[0], ast.Call) else check.args[0]
    assert isinstance(handed, ast.Name)
    return handed.id


def _renamed(tree: ast.Module, plugin: str, sort: str, name: str, owner: str) -> list[tuple[str, str]]:
    """Old and new names: of the class and its settings, and the plugin's own name where the code says it."""
    classes = [node.name for node in tree.body if isinstance(node, ast.ClassDef)]
    renames = [(one, one.replace(plugin, owner)) for one in classes if plugin in one]
    if sort in {"protocol", "suite"}:
        renames += [(f'"{plugin.lower()}"', f'"{name}"'), (f"{plugin.lower()}.", f"{name}.")]
    return renames


_USES = {
    "method": "snibench run -m {name}",
    "rule": "snibench run -m lora --rule {name}",
    "sampler": "snibench run -m lora --sampler {name}",
    "format": "snibench run -m lora --formats definition,{name}",
    "protocol": "snibench run -m lora --protocol {name}",
    "suite": "snibench run -m lora --suite {name}",
    "metric": "snibench show {name}",
    "executor": "snibench run -m lora --executor {name}",
}
_PYPROJECT = """\
[build-system]
requires = ["hatchling>=1.27"]
build-backend = "hatchling.build"

[project]
name = "{distribution}"
version = "0.1.0"
description = "A {sort} for snibench"
readme = "README.md"
requires-python = ">=3.11"
dependencies = ["snibench>=0.1"]

[project.optional-dependencies]
test = ["pytest>=8.3", "snibench[train]"]

[project.entry-points."{group}"]
{name} = "{package}:{owner}"

[tool.hatch.build.targets.wheel]
packages = ["src/{package}"]

[tool.pytest.ini_options]
testpaths = ["tests"]
pythonpath = ["src"]
"""
_README = """\
# {distribution}

The {sort} `{name}` for snibench.

    pip install -e '.[test]'          # in the environment that has snibench
    snibench plugin check {name}      # does it keep the contract?
    {use}
    pytest

The code starts as an example; docs/plugins.md of snibench says what every hook is given and must return.
"""
