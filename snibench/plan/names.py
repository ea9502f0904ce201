"""Values of ``-m`` and ``--baseline``: a method with its settings, and a rule and a sampler with theirs.

A label that a table prints is such a text, so that it can be given back to the command.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from snibench.base.errors import UsageError
from snibench.base.registry import EXECUTORS, METHODS, RULES, SAMPLERS
from snibench.base.settings import with_texts
from snibench.contracts import Executor

# An installed name, or a class of a file, whose path may hold any sign but brackets.
_NAME = r"[^()+@/\\]+?(?<!\.py)|[^()]+?\.py(?::\w+)?"
_FORM = re.compile(
    rf"(?P<name>{_NAME})\s*(?:\((?P<settings>[^()]*)\))?"
    rf"(?:\+(?P<rule>{_NAME})\s*(?:\((?P<rule_settings>[^()]*)\))?)?"
    rf"(?:@(?P<sampler>{_NAME})\s*(?:\((?P<sampler_settings>[^()]*)\))?)?",
    re.S,
)
_NEXT = re.compile(r",(?=\s*\w[\w.-]*\s*=)")  # a comma inside a value is part of it


@dataclass(frozen=True, slots=True)
class MethodName:
    """``NAME(key=value,...)+RULE(key=value,...)@SAMPLER(key=value,...)``, taken apart; the values are texts."""

    name: str
    settings: Mapping[str, str] = field(default_factory=dict)
    rule: str = ""
    rule_settings: Mapping[str, str] = field(default_factory=dict)
    sampler: str = ""
    sampler_settings: Mapping[str, str] = field(default_factory=dict)


def parse_method(text: str) -> MethodName:
    """``text`` taken apart: ``ours(r=4)``, ``lora+gradvac(beta=0.1)``, ``lora@pike``, ``./mine.py:Mine``.

    A file that defines a single class stands for it.

    Raises:
        UsageError: If it has another form, or a file does not define a single class.
    """
    if (parts := _FORM.fullmatch(text.strip())) is None or not parts["name"].strip():
        raise UsageError(f"A method is NAME, NAME(key=value,...), NAME+RULE or NAME@SAMPLER, but got '{text}'.")
    return MethodName(
        METHODS.full_name(parts["name"].strip()),
        _assignments(parts["settings"], text),
        RULES.full_name((parts["rule"] or "").strip()),
        _assignments(parts["rule_settings"], text),
        SAMPLERS.full_name((parts["sampler"] or "").strip()),
        _assignments(parts["sampler_settings"], text),
    )


def parse_executor(text: str) -> tuple[str, dict[str, str]]:
    """Name and settings of an executor: ``processes``, ``ray(address=auto,gpus=0.5)``.

    Raises:
        UsageError: If it has another form, or no executor has that name.
    """
    parts = _FORM.fullmatch(text.strip())
    if parts is None or parts["rule"] or parts["sampler"]:
        raise UsageError(f"An executor is NAME or NAME(key=value,...), but got '{text}'.")
    name = EXECUTORS.full_name(parts["name"].strip())
    if ".py:" not in name:
        EXECUTORS.entry(name)
    return name, _assignments(parts["settings"], text)


def make_executor(text: str) -> Executor:
    """The executor that ``text`` names, with its settings.

    Raises:
        UsageError: If there is none of that name, or it has no such setting.
    """
    name, texts = parse_executor(text)
    executor_type = EXECUTORS.get(name)
    executor: Executor = executor_type(with_texts(executor_type.Settings(), name, texts))
    return executor


def shown(name: str) -> str:
    """``name`` for tables: a file below the current folder by its path from there, without the machine's folders."""
    path, colon, attribute = name.rpartition(":")
    if not path.endswith(".py"):
        return name
    here, file = Path.cwd().resolve(), Path(path).resolve()
    return f"./{file.relative_to(here).as_posix()}{colon}{attribute}" if file.is_relative_to(here) else name


def setting_prefix(protocol: str) -> str:
    """Part of a protocol's settings before the dot: its name as ``parse_assignments`` leaves it, or a file's class."""
    return protocol.rpartition(":")[2].replace("-", "_")


def _assignments(text: str | None, text_of_method: str) -> dict[str, str]:
    settings = {}
    for pair in _NEXT.split(text) if text and text.strip() else ():
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"Settings in brackets are key=value, but got '{pair.strip()}' in '{text_of_method}'.")
        settings[key.strip().replace("-", "_")] = value.strip()
    return settings
