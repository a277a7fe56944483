"""`aish unforward SRC`: what it says is no longer passed on."""

from aish import exits
from aish.client.hub import Hub, quote
from aish.commands import usage
from aish.output import STDOUT, write

HOW = "aish unforward SRC"


def run(words: "list[str]") -> int:
    """Raises:
    Failure: the words do not hold together, it was not forwarded, or the hub refuses.
    """
    if len(words) != 1 or words[0][:1] == "-":
        raise usage(HOW)
    forward = Hub().ask("DELETE", f"/api/v2/forwards/{quote(words[0])}")
    text = f"✓ Stopped forwarding {forward['from']} (was going to {forward['to']})\n"
    write(STDOUT, text.encode("utf-8", "replace"))
    return exits.DONE
