"""`aish shutdown`: end the hub, and wait until it is gone."""

import fcntl
import os
import select
from time import monotonic

from aish import exits
from aish.client import NO_HUB, Hub
from aish.commands import usage
from aish.exits import Failure
from aish.output import STDOUT, write

_PATIENCE = 30.0
_FIRST_LOOK, _LONGEST_WAIT = 0.01, 0.25


def run(words: "list[str]") -> int:
    """Raises:
    Failure: the hub refuses, or is still there after half a minute.
    """
    if words:
        raise usage("aish shutdown")
    hub = Hub(may_start=False)
    hub.deadline = monotonic() + _PATIENCE
    try:
        hub.ask("POST", "/api/v2/shutdown")
    except Failure as failure:
        if failure.problem != NO_HUB:
            raise
        write(STDOUT, b"No hub is running\n")
        return exits.DONE
    _wait_until_gone(hub.home)
    write(STDOUT, b"The hub has ended\n")
    return exits.DONE


def _wait_until_gone(home: str) -> None:
    """The hub holds a lock on its pid file until its store is closed. Nothing tells of a lock that is let
    go, so it is tried, ever more rarely."""
    deadline, pause = monotonic() + _PATIENCE, _FIRST_LOOK
    while _is_locked(home + "/hub.pid"):
        if monotonic() > deadline:
            raise Failure(f"the hub still runs after {_PATIENCE:.0f} s", exits.FAILED)
        select.select([], [], [], pause)
        pause = min(pause * 2, _LONGEST_WAIT)


def _is_locked(path: str) -> bool:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
