"""`aish ci-terminal -n NAME -- CMD…`: a terminal program as a peer, here in this terminal."""

import os

from aish import exits
from aish.client.hub import Hub, quote
from aish.commands.wrap import read_wishes, register, tell_running
from aish.exits import Failure
from aish.output import STDOUT, write
from aish.terminal.tty import window_size

HOW = "aish ci-terminal -n NAME [-d DELIM] [--detach] [--on-exit survive|reap] [--prompt PATTERN] -- CMD…"
_STDIN = 0


def run(words: "list[str]") -> int:
    """As `attach`, where it has the terminal to itself; else it says that the program runs.

    Raises:
        Failure: the words do not hold together, the program cannot be run, or the hub refuses.
    """
    wishes, program = read_wishes(words, {"--prompt": "prompt"}, {"--detach": "detach"}, HOW)
    stays_away = "detach" in wishes or not _has_terminal()
    wishes.pop("detach", None)
    rows, columns = window_size(STDOUT)
    hub, name = Hub(), wishes["name"]
    peer = register(hub, "terminal", wishes, program, rows=rows, cols=columns)
    if stays_away:
        tell_running(name, peer)
        return exits.DONE
    from aish.terminal.attach import attach

    try:
        return attach(hub, name)
    except Failure as failure:
        if failure.problem != "not_running":
            raise
        return _was_faster(hub, name)


def _has_terminal() -> bool:
    """Whether a person sits here, and this run was not sent to the background with `&`."""
    if not (os.isatty(_STDIN) and os.isatty(STDOUT)):
        return False
    try:
        return os.tcgetpgrp(_STDIN) == os.getpgrp()
    except OSError:
        return True  # a terminal that controls nobody


def _was_faster(hub: Hub, name: str) -> int:
    """The program has ended before anybody could look: what it had shown, and how it ended."""
    from aish.render import cleaned
    from aish.terminal.attach import Ended, told

    status = hub.ask("GET", f"/api/v2/ai/{quote(name)}/status")
    shown = "\n".join(status.get("screen") or ()).rstrip()
    if shown:
        write(STDOUT, f"{cleaned(shown)}\n".encode("utf-8", "replace"))
    return told(name, Ended(status.get("exit_code"), status.get("signal")))
