"""`aish shutdown`: end the hub, and wait until its process is gone."""

import os
import select
from time import monotonic

from aish import exits
from aish.client.connection import connect, server_of
from aish.client.hub import NO_HUB, Hub
from aish.commands import usage
from aish.exits import Failure
from aish.output import STDOUT, write

HOW = "aish shutdown"
_PATIENCE = 30.0
_FIRST_LOOK, _LONGEST_WAIT = 0.01, 0.25


def run(words: "list[str]") -> int:
    """Raises:
    Failure: the hub refuses, or is still there after half a minute.
    """
    if words:
        raise usage(HOW)
    hub = Hub(may_start=False)
    hub.deadline = monotonic() + _PATIENCE
    process = _process(hub.home)
    try:
        hub.ask("POST", "/api/v2/shutdown")
        is_gone = _ended(process, hub.deadline) if process is not None else _closed(hub.home, hub.deadline)
    except Failure as failure:
        if failure.problem != NO_HUB:
            raise
        write(STDOUT, b"No hub is running\n")
        return exits.DONE
    finally:
        if process is not None:
            os.close(process)
    if not is_gone:
        raise Failure(f"the hub still runs after {_PATIENCE:.0f} s", exits.FAILED)
    write(STDOUT, b"The hub has ended\n")
    return exits.DONE


def _process(home: str) -> int | None:
    """A descriptor that tells when the hub's process ends; None where no hub runs, or no system has such."""
    try:
        connection = connect(home)
    except OSError:
        return None
    server = server_of(connection)
    connection.close()
    if server is None or not hasattr(os, "pidfd_open"):
        return None
    try:
        return os.pidfd_open(server[0])
    except OSError:
        return None


def _ended(process: int, deadline: float) -> bool:
    return bool(select.select([process], [], [], max(deadline - monotonic(), 0))[0])


def _closed(home: str, deadline: float) -> bool:
    """Nothing tells when a socket goes, so it is looked for, ever more rarely."""
    pause = _FIRST_LOOK
    while monotonic() < deadline:
        try:
            connect(home).close()
        except OSError:
            return True
        select.select([], [], [], pause)
        pause = min(pause * 2, _LONGEST_WAIT)
    return False
