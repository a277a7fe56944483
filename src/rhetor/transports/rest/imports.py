"""Conversations that coding agents have kept themselves: `/api/v2/imports`."""

from __future__ import annotations

from typing import Any

import msgspec

from rhetor.auth.policy import Policy
from rhetor.transports.server.router import Doors

from .bodies import ImportBody
from .dependencies import Here, Who

doors = Doors(tags=["sessions"])


@doors.on("POST", "/api/v2/imports", Policy.OWNER)
async def take_in(body: ImportBody, who: Who, here: Here) -> dict[str, Any]:
    """Take them into the log, each turn once. The hub reads the files; it changes none."""
    found: dict[str, Any] = msgspec.to_builtins(await here.hub.execute(who, body.command()))
    return found
