"""Values of ``-m`` and ``--baseline``: a method, its settings, and a rule with its own.

A label that a table prints is such a text, so that it can be given back to the command.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from snibench.base.errors import UsageError

_FORM = re.compile(
    r"(?P<name>[^()]*?)(?:\((?P<settings>[^()]*)\))?(?:\+(?P<rule>[^()+/]+)(?:\((?P<rule_settings>[^()]*)\))?)?", re.S
)
_NEXT = re.compile(r",(?=\s*\w[\w.-]*\s*=)")  # a comma inside a value is part of it


@dataclass(frozen=True, slots=True)
class MethodName:
    """``NAME(key=value,...)+RULE(key=value,...)``, taken apart; the values are texts."""

    name: str
    settings: Mapping[str, str] = field(default_factory=dict)
    rule: str = ""
    rule_settings: Mapping[str, str] = field(default_factory=dict)


def parse_method(text: str) -> MethodName:
    """``text`` taken apart: ``ours``, ``ours(r=4)``, ``lora(r=4)+gradvac(beta=0.1)``, ``./mine.py:Mine``.

    Raises:
        UsageError: If it has another form.
    """
    if (parts := _FORM.fullmatch(text.strip())) is None or not parts["name"]:
        raise UsageError(f"A method is NAME, NAME(key=value,...) or NAME+RULE, but got '{text}'.")
    return MethodName(
        parts["name"].strip(),
        _assignments(parts["settings"], text),
        (parts["rule"] or "").strip(),
        _assignments(parts["rule_settings"], text),
    )


def _assignments(text: str | None, whole: str) -> dict[str, str]:
    found = {}
    for pair in _NEXT.split(text) if text and text.strip() else ():
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"Settings in brackets are key=value, but got '{pair.strip()}' in '{whole}'.")
        found[key.strip().replace("-", "_")] = value.strip()
    return found
