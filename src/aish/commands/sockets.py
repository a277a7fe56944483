"""`aish sockets [--json]`: the sockets that can be written to, who reads them, and what waits in them."""

from aish import exits
from aish.client.hub import Hub
from aish.commands import usage
from aish.output import STDOUT, write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Socket = dict[str, Any]

HOW = "aish sockets [--json]"


def run(words: "list[str]") -> int:
    """Raises:
    Failure: the words do not hold together, or the hub cannot be reached.
    """
    if words not in ([], ["json"], ["--json"]):
        raise usage(HOW)
    sockets = Hub().ask("GET", "/api/ai/socket")["sockets"]
    text = _json(sockets) if words else _table(sockets)
    write(STDOUT, f"{text}\n".encode("utf-8", "replace"))
    return exits.DONE


def _json(sockets: "list[Socket]") -> str:
    import json

    return json.dumps(sockets, indent=2, ensure_ascii=False)


def _table(sockets: "list[Socket]") -> str:
    from aish.render import cleaned, table

    rows = [("NAME", "PEER", "READERS", "WAITING", "HEAD")]
    for socket in sockets:
        head = (socket["head"] or "").partition(":")[2] or "-"
        rows.append((socket["socket_id"], socket["ai"], str(socket["readers"]), str(socket["waiting"]), head))
    return table([[cleaned(cell) for cell in row] for row in rows])
