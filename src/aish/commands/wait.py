"""`aish wait [--any|--all] PEER… [--timeout S]`: until they are idle."""

from time import monotonic

from aish import exits
from aish.client.hub import Hub
from aish.commands import usage
from aish.output import STDOUT, write

HOW = "aish wait [--any|--all] PEER… [--timeout S]"
_HUB_SECONDS = 5.0  # the hub keeps the time; where it does not answer, nobody waits much longer


def run(words: "list[str]") -> int:
    """Prints those that are idle, one a line; 124 where the time was over before.

    Raises:
        Failure: the words do not hold together, a peer is unknown, or the hub cannot be reached.
    """
    mode, timeout, peers = _wishes(words)
    hub = Hub()
    asked: dict[str, object] = {"peers": peers, "mode": mode}
    if timeout is not None:
        asked["timeout"] = timeout
        hub.deadline = monotonic() + timeout + _HUB_SECONDS
    found = hub.ask("POST", "/api/v2/wait", asked)
    write(STDOUT, "".join(f"{name}\n" for name in found["idle"]).encode("utf-8", "replace"))
    return exits.TIMED_OUT if found["timed_out"] else exits.DONE


def _wishes(words: "list[str]") -> "tuple[str, float | None, list[str]]":
    mode, timeout = "all", None
    peers: list[str] = []
    left = list(words)
    while left:
        word, given, value = left.pop(0).partition("=")
        if word in ("--any", "--all") and not given:
            mode = word[2:]
        elif word == "--timeout" and (given or left):
            timeout = _seconds(value if given else left.pop(0))
        elif word[:1] == "-" or given:
            raise usage(HOW)
        else:
            peers.append(word)
    if not peers:
        raise usage(HOW)
    return mode, timeout, peers


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise usage(HOW)
    return seconds
