"""Reading the settings: flags, then `RHETOR_*` variables, then `config.yaml`, then what is built in.

A file that does not hold up is refused with its line, key and reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from rhetor.errors import InvalidSettings

from .peers import peers_of
from .places import line_of, text_of, values_of, variable_of
from .sections import HubSettings, Settings


def state_home(environment: Mapping[str, str]) -> Path:
    """The folder that all state lives in: RHETOR_HOME, else `rhetor` in the user's state folder."""
    if home := environment.get("RHETOR_HOME"):
        return Path(home).expanduser().absolute()
    base = (
        environment.get("XDG_STATE_HOME")
        or Path(environment.get("HOME") or "~").expanduser() / ".local/state"
    )
    return Path(base) / "rhetor"


def read_settings(file: Path | None, flags: Mapping[str, Any] | None = None) -> Settings:
    """The settings in force. `flags`: values for `hub` keys, where given.

    Raises:
        InvalidSettings: the file or a variable does not hold up; says where.
    """
    text = text_of(file)
    loaded = values_of(file, text)
    try:
        settings = Settings(**loaded)
    except (ValidationError, TypeError) as error:
        raise InvalidSettings(_explained(error, file, text)) from error
    try:
        peers_of(settings)
    except InvalidSettings as error:
        raise InvalidSettings(_located(error.detail, file, text)) from error
    given = {key: value for key, value in (flags or {}).items() if value is not None}
    try:
        return settings.model_copy(update={"hub": HubSettings(**{**settings.hub.model_dump(), **given})})
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        raise InvalidSettings(f"hub.{fault['loc'][0]}: {fault['msg']}") from error


def _located(detail: str, file: Path | None, text: str) -> str:
    """What is wrong with values that do not hold together, with its line; it begins with the key."""
    line = line_of(text, list(detail.partition(":")[0].split(".")))
    return f"{file}: line {line}: {detail}" if line else detail


def _explained(error: ValidationError | TypeError, file: Path | None, text: str) -> str:
    """The first fault with its line and key."""
    if isinstance(error, TypeError):
        return f"{file}: keys must be text: {error}"
    fault = error.errors(include_url=False)[0]
    path = [part for part in fault["loc"] if not (isinstance(part, str) and part.endswith("]"))]
    key = ".".join(str(part) for part in path)
    reason = "there is no such setting" if fault["type"] == "extra_forbidden" else _reason(fault["msg"])
    line = line_of(text, path)
    variable = variable_of(key)
    where = f"{file}: line {line}: " if line else f"{variable}: " if variable else ""
    return f"{where}{key}: {reason}"


def _reason(message: str) -> str:
    """As somebody says it who writes YAML."""
    return (
        message.removeprefix("Value error, ")
        .partition(" or instance of ")[0]
        .replace("valid tuple", "list")
        .replace("valid dictionary", "mapping")
    )
