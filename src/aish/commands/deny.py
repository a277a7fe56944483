"""`aish deny ID`: a no to a request for permission."""

from aish import exits
from aish.client.hub import Hub
from aish.commands import usage
from aish.output import STDOUT, write
from aish.turns.permissions import answer, found, option_of_kind

HOW = "aish deny ID"


def run(words: "list[str]") -> int:
    """Raises:
    Failure: the words do not hold together, no such request waits, or somebody was first."""
    if len(words) != 1 or words[0].startswith("-"):
        raise usage(HOW)
    hub = Hub()
    request = found(hub, words[0])
    option = option_of_kind(request, "reject_once", "reject_always")
    write(STDOUT, f"✓ {answer(hub, request, option)}\n".encode("utf-8", "replace"))
    return exits.DONE
