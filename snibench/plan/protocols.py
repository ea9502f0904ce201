"""The protocols of a run with their settings, and whose setting each ``--set`` is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from snibench.base.errors import UsageError
from snibench.base.registry import PROTOCOLS
from snibench.base.settings import with_texts
from snibench.contracts import Protocol
from snibench.plan.names import setting_prefix
from snibench.plan.request import RunRequest


def protocols_of(request: RunRequest) -> dict[str, Protocol]:
    """Every protocol that is asked, under its name, with its settings.

    Raises:
        UsageError: If a setting is not the protocol's, or names what is not installed.
    """
    protocols: dict[str, Protocol] = {}
    for name in request.protocols:
        protocol_type = PROTOCOLS.get(name)
        settings = protocol_type.Settings() if request.profile.full else protocol_type.quick
        protocols[name] = protocol_type(with_texts(settings, name, settings_for(name, request.settings)))
        protocols[name].check()
    return protocols


def settings_for(protocol: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of ``protocol`` among ``settings``: their keys begin with its name and a dot."""
    start = f"{setting_prefix(protocol)}."
    return {key.removeprefix(start): value for key, value in settings.items() if key.startswith(start)}


def settings_of_methods(request: RunRequest) -> dict[str, Any]:
    """The settings of the request without those of its protocols.

    Raises:
        UsageError: If one is of an installed protocol that is not asked.
    """
    asked = {setting_prefix(name) for name in request.protocols}
    installed = {setting_prefix(name): name for name in PROTOCOLS.names()}
    kept = {}
    for key, value in request.settings.items():
        prefix, dot, _ = key.partition(".")
        if dot and prefix in asked:
            continue
        if dot and prefix in installed:
            name = installed[prefix]
            raise UsageError(
                f"'{key}' is a setting of protocol '{name}', which is not asked. Add it: --protocol {name}"
            )
        kept[key] = value
    return kept
