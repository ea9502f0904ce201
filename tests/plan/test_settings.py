"""Every setting of what comes with the project is refused in a sentence or gives a plan, and no value needs torch."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from snibench.base.errors import PluginError, UsageError
from snibench.base.registry import EXECUTORS, METHODS, PROTOCOLS, RULES, SAMPLERS, SUITES
from snibench.base.types import SuiteData, SuiteRequest
from snibench.plan.choices import method_choices
from snibench.plan.options import check_runtime
from snibench.plan.protocols import protocols_of
from snibench.plan.request import RunRequest

TEXTS = ("-1", "nan", "inf", "0", "2147483647", "1e300", "99999999999999999999", "", "two", "[1]", "none", "true")
VALUES: tuple[Any, ...] = (-1, 0, 2**40, -0.5, float("nan"), float("inf"), True, None, [1], {"a": 1})


@cache
def mini() -> SuiteData:
    suite: SuiteData = SUITES.get("mini")().load(SuiteRequest("mini"))
    return suite


def settings_of(distribution: str) -> Iterator[tuple[str, str, str]]:
    """Group, name and key of every setting of one distribution that can be imported here."""
    for registry in (METHODS, RULES, SAMPLERS, PROTOCOLS, EXECUTORS):
        for entry in registry.entries():
            if entry.distribution == distribution:
                with suppress(PluginError):  # a plugin that needs torch, where there is none
                    settings_type = registry.get(entry.name).Settings
                    for field in dataclasses.fields(settings_type):
                        yield entry.noun, entry.name, field.name


def choose(noun: str, name: str, key: str, value: Any) -> None:
    """Plan with one setting, as far as settings are read."""
    request = RunRequest(("lora",), SuiteRequest("mini"), "tiny", baseline=None)
    if noun == "protocol":
        setting = {f"{name.replace('-', '_')}.{key}": value}
        for protocol in protocols_of(replace(request, protocols=(name,), settings=setting)).values():
            protocol.plan(mini(), 1)
    elif noun == "executor":
        check_runtime({"executor": f"{name}({key}={value})"})
    else:
        method = {"method": name, "rule": f"lora+{name}", "sampler": f"lora@{name}"}[noun]
        setting = {key if noun == "method" else f"{noun}.{key}": value}
        method_choices(replace(request, methods=(method,), settings=setting))


def outcome(noun: str, name: str, key: str, value: Any) -> str:
    """``planned``, ``refused``, or what else came of a value."""
    try:
        choose(noun, name, key, value)
    except UsageError as error:
        return "refused" if str(error).endswith((".", "'")) else f"no sentence: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "planned"


def sweep(distribution: str) -> dict[str, Counter[str]]:
    """What came of all values of all settings, by group."""
    counts: dict[str, Counter[str]] = {}
    for setting in settings_of(distribution):
        for value in (*TEXTS, *VALUES):
            result = outcome(*setting, value)
            faulty = result not in {"planned", "refused"}
            counts.setdefault(setting[0], Counter())[f"{setting} {value!r} {result}" if faulty else result] += 1
    return counts


@pytest.mark.parametrize("package", ["peft", "torchjd", "template"])
def test_a_setting_of_a_plugin_is_refused_in_a_sentence_or_gives_a_plan(package: str) -> None:
    pytest.importorskip(f"snibench_{package}")
    counts = sweep(f"snibench-{package}")
    assert counts
    assert all(set(results) == {"planned", "refused"} for results in counts.values()), counts


def test_a_setting_of_a_built_in_is_refused_in_a_sentence_or_gives_a_plan_without_torch() -> None:
    script = (
        "import json, sys; sys.modules |= dict.fromkeys(('torch', 'transformers', 'peft')); "
        "import test_settings; print(json.dumps(test_settings.sweep('snibench')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=Path(__file__).parent, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout)
    assert set(counts) == {"method", "rule", "sampler", "protocol", "executor"}
    assert all(set(results) == {"planned", "refused"} for results in counts.values()), counts
