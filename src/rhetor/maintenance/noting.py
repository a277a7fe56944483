"""Tells a running hub about a command that reads its state, so that the audit has an entry for it."""

from __future__ import annotations

import os
from pathlib import Path

from rhetor.errors import RhetorError
from rhetor.home import Home, accepts_connections
from rhetor.hub_client import NoHub, RequestRejected, ask


class NotNoted(RhetorError):
    """A hub is running, but its audit has no entry, so the command must not run."""

    code, status = "not_noted", 503


def note(folder: Path, action: str, target: str) -> None:
    """Write an entry, if a hub is running in the folder.

    Raises:
        NotNoted: the hub does not answer, or cannot write it.
    """
    socket = Home(folder, os.environ).socket
    if not accepts_connections(socket):
        return
    try:
        ask(socket, "POST", "/api/v2/audit", {"action": action, "target": target[:200]})
    except NoHub as error:
        raise NotNoted(error.detail) from error
    except RequestRejected as error:
        raise NotNoted(f"the hub cannot write to its audit: {error.detail}") from error
