"""What agents report about themselves: the names of models, modes, commands and tools, limited in number.

Each function returns what a message reports: `model` and `mode` (text); `models`, `modes`, `commands` and
`tools` (lists of names). Keys that the message does not report are missing.
"""

from __future__ import annotations

from typing import Any

from .acp.updates import model_of, model_option
from .records import rows, table, text

MAX_NAMES = 100
MAX_NAME = 100  # characters

Report = dict[str, str | list[str]]


def of_claude(init: dict[str, Any]) -> Report:
    """Return what a `system/init` of Claude Code reports."""
    return _said(
        model=text(init, "model"),
        mode=text(init, "permissionMode"),
        commands=_texts(init.get("slash_commands")),
        tools=_texts(init.get("tools")),
    )


def of_codex(result: dict[str, Any]) -> Report:
    """Return what the answer to `thread/start`, `thread/resume` or `thread/fork` reports."""
    return _said(model=text(result, "model"), mode=text(result, "approvalPolicy"))


def of_acp(result: dict[str, Any]) -> Report:
    """Return what the answer that opened a session, or an update of its options, reports."""
    models, modes = table(result, "models"), table(result, "modes")
    return _said(
        model=model_of(result) or "",
        models=_keys(rows(models, "availableModels"), "modelId")
        or _keys(rows(model_option(result), "options"), "value"),
        mode=text(modes, "currentModeId"),
        modes=_keys(rows(modes, "availableModes"), "id"),
    )


def of_acp_update(update: dict[str, Any]) -> Report:
    """Return what an update of a session reports."""
    match text(update, "sessionUpdate"):
        case "available_commands_update":
            return _said(commands=_keys(rows(update, "availableCommands"), "name"))
        case "current_mode_update":
            return _said(mode=text(update, "currentModeId"))
        case "config_option_update":
            return of_acp(update)
    return {}


def _said(**found: str | list[str]) -> Report:
    return {
        key: value[:MAX_NAME] if isinstance(value, str) else [name[:MAX_NAME] for name in value[:MAX_NAMES]]
        for key, value in found.items()
        if value
    }


def _texts(values: Any) -> list[str]:
    return [value for value in values if isinstance(value, str)] if isinstance(values, list) else []


def _keys(found: list[dict[str, Any]], key: str) -> list[str]:
    return [value for row in found if (value := text(row, key))]
