"""`aish sockets`: the named sockets, their readers, and their unread messages."""

from aish.client.hub import Hub
from aish.commands import JSON_WORDS, Command, usage_error
from aish.output import print_json, print_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Socket = dict[str, Any]

_FORMS = ("sockets [--json]",)


def sockets(words: "list[str]") -> int:
    """List the named sockets.

    Raises:
        Failure: the words are invalid, or the hub cannot be reached.
    """
    if len(words) > 1 or any(word not in JSON_WORDS for word in words):
        raise usage_error(*_FORMS)
    found = Hub().ask("GET", "/api/ai/socket")["sockets"]
    return print_json(found) if words else print_line(_table(found))


def _table(found: "list[Socket]") -> str:
    from aish.render import cleaned, table

    rows = [("NAME", "PEER", "READERS", "WAITING", "HEAD")]
    for socket in found:
        head = str(socket["head"] or "-")
        rows.append((socket["socket_id"], socket["ai"], str(socket["readers"]), str(socket["waiting"]), head))
    return table([[cleaned(cell) for cell in row] for row in rows])


COMMANDS = {
    "sockets": Command(_FORMS, "List the named sockets, their readers, and their unread messages.", sockets)
}
