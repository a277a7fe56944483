"""`aish sockets`: the named sockets, their readers, and their unread messages."""

from aish.client.hub import Hub
from aish.commands import show_list, wants_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Socket = dict[str, Any]


def sockets(words: "list[str]") -> int:
    """List the named sockets.

    Raises:
        Failure: the words are invalid, or the hub cannot be reached.
    """
    as_json = wants_json(words, "sockets")
    found = Hub().ask("GET", "/api/ai/socket")["sockets"]
    heading = ("NAME", "PEER", "READERS", "WAITING", "HEAD")
    return show_list(found, heading, _row, "No sockets", as_json=as_json)


def _row(socket: "Socket") -> "tuple[str, ...]":
    head = str(socket["head"] or "-")
    return socket["socket_id"], socket["ai"], str(socket["readers"]), str(socket["waiting"]), head


COMMANDS = {"sockets": sockets}
