"""The configuration: `/api/v2/config`."""

from __future__ import annotations

from typing import Any

from rhetor.transports.server.call import Call
from rhetor.transports.server.node import ConfigChange

from .bodies import ConfigBody, ConfigTextBody


async def show(call: Call) -> dict[str, Any]:
    """Return the settings in force, and where each value comes from. Secrets are masked."""
    configuration, mask = call.node.configuration, call.hub.state.secrets.mask
    values = [
        {"key": key, "value": mask(value) if isinstance(value, str) else value, "origin": origin}
        for key, value, origin in configuration.values()
    ]
    return {"path": configuration.path, "config": values}


async def schema(call: Call) -> dict[str, Any]:
    """Return what the value of each setting must be, its default and what it means."""
    return {"settings": call.node.configuration.described()}


async def change(call: Call, body: ConfigBody) -> dict[str, Any]:
    """Change values in the configuration file, as a JSON Merge Patch does (RFC 7396): null removes an entry.

    The result is checked as a whole, also with the providers of the models that it names. An invalid one
    changes nothing. Comments and everything else in the file stay as they are.
    """
    return _changed(call, await call.node.configuration.patch(body.patch()))


async def read_text(call: Call) -> dict[str, Any]:
    """Return the text of the configuration file, which may contain secrets."""
    text, digest = await call.node.configuration.text()
    return {"path": call.node.configuration.path, "text": text, "digest": digest}


async def put_text(call: Call, body: ConfigTextBody) -> dict[str, Any]:
    """Replace the text of the configuration file. An invalid one changes nothing."""
    return _changed(call, await call.node.configuration.put(body.text, body.digest))


def _changed(call: Call, change: ConfigChange) -> dict[str, Any]:
    call.acting.detail = change.summary
    return {
        "path": call.node.configuration.path,
        "changed": change.changed,
        "needs_restart": change.needs_restart,
        "overridden": [{"key": key, "variable": variable} for key, variable in change.overridden],
    }
