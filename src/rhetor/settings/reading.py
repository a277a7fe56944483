"""Reads the settings: flags override `RHETOR_…` variables, those `config.yaml`, that the built-in defaults.

An error names the file and the line, or the variable, that the invalid value comes from.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec.structs import asdict, replace

from rhetor.coding_agents import CODING_AGENTS
from rhetor.errors import InvalidSettings

from .budgets import budgets_of
from .config_file import ConfigFile
from .models import require_models
from .notifications import recipients_of
from .peers import peers_of, tools_of
from .sections import HubSettings, Settings
from .validation import InvalidValue, Keys, convert
from .variables import merged, values_in, variable_of


def read_settings(
    path: Path | None, flags: Mapping[str, Any] | None = None, text: str | None = None
) -> Settings:
    """Return the settings in force. `flags`: values for keys of `hub`; None means that a flag is not set.
    `text`: what to read instead of the file.

    Raises:
        InvalidSettings: the file, a variable or a flag is invalid; `detail` says where.
    """
    file = ConfigFile.read(path, text)
    values = merged(file.values, values_in(os.environ))
    values["tools"] = _completed(values.get("tools", {}))
    try:
        settings = convert(values, Settings)
        budgets_of(settings, peers_of(settings))
        require_models(settings, tools_of(settings))
        recipients_of(settings)
    except InvalidValue as error:
        raise InvalidSettings(_source(error, file) + error.detail, problems=error.data["problems"]) from error
    given = {key: value for key, value in (flags or {}).items() if value is not None}
    if not given:
        return settings
    try:
        return replace(settings, hub=convert({**asdict(settings.hub), **given}, HubSettings))
    except InvalidValue as error:
        problems = [{**each, "key": f"hub.{each['key']}"} for each in error.data["problems"]]
        raise InvalidSettings(f"hub.{error.detail}", problems=problems) from error


def invalid(path: Path | None, keys: Keys, reason: str, text: str | None = None) -> InvalidSettings:
    """Return the error for a value that only the running hub can check; it says where the value is from."""
    error = InvalidValue(keys, reason)
    detail = _source(error, ConfigFile.read(path, text)) + error.detail
    return InvalidSettings(detail, problems=error.data["problems"])


def _completed(tools: Any) -> Any:
    """Return `tools` with the keys that entries leave out added from the built-in entries of that name."""
    if not isinstance(tools, dict):
        return tools
    return {
        name: {**CODING_AGENTS.get(name, {}), **_with_args(own)} if isinstance(own, dict) else own
        for name, own in tools.items()
    }


def _with_args(own: dict[str, Any]) -> dict[str, Any]:
    """Return the entry with `launch_args`, another name of `args`, replaced by `args`."""
    if "launch_args" not in own or "args" in own:
        return own
    return {"args" if key == "launch_args" else key: value for key, value in own.items()}


def _source(error: InvalidValue, file: ConfigFile) -> str:
    depth, line = file.located(error.keys)
    # a value that is missing has no variable, but the entry that it is missing from may have one
    for size in (len(error.keys), *range(len(error.keys) - 1, depth, -1)):
        if variable := variable_of(error.keys[:size]):
            return f"{variable}: "
    return f"{file.path}: line {line}: " if line else ""
