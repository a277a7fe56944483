"""`aish list [type greek|terminal|project|tool|team] [json]`: the peers, by kind."""

from aish import exits
from aish.client.hub import Hub
from aish.commands import usage
from aish.output import STDOUT, write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Peer = dict[str, Any]

# What people type → the kind as the hub says it. The specialists have Greek names.
HOW = "aish list [type greek|terminal|project|tool|team] [json]"
_KINDS = {"greek": "specialist", "terminal": "terminal", "project": "project", "tool": "tool", "team": "team"}
_SHOWN_TYPE = {kind: typed for typed, kind in _KINDS.items()}


def run(words: "list[str]") -> int:
    """Raises:
    Failure: the words do not hold together, or the hub cannot be reached.
    """
    kind, as_json = _wishes(words)
    peers = [peer for peer in Hub().ask("GET", "/api/v2/ai")["peers"] if kind in (None, peer["kind"])]
    peers.sort(key=lambda peer: (peer["kind"], peer["id"]))
    text = _json(peers) if as_json else _table(peers)
    write(STDOUT, f"{text}\n".encode("utf-8", "replace"))
    return exits.DONE


def _wishes(words: "list[str]") -> tuple[str | None, bool]:
    kind: str | None = None
    as_json = False
    left = list(words)
    while left:
        word = left.pop(0)
        if word in ("json", "--json"):
            as_json = True
        elif word == "type" and left and left[0] in _KINDS:
            kind = _KINDS[left.pop(0)]
        else:
            raise usage(HOW)
    return kind, as_json


def _json(peers: "list[Peer]") -> str:
    import json

    return json.dumps([_shown(peer) for peer in peers], indent=2, ensure_ascii=False)


def _shown(peer: "Peer") -> "Peer":
    kept = ("description", "status", "port", "pid", "capabilities", "sessions", "forwards")
    first = {"name": peer["id"], "type": _SHOWN_TYPE.get(peer["kind"], peer["kind"])}
    return {**first, **{name: peer.get(name) for name in kept}}


def _table(peers: "list[Peer]") -> str:
    from aish.render import cleaned, status, table

    if not peers:
        return "No peers"
    rows = [("NAME", "TYPE", "STATUS", "AT", "DESCRIPTION")]
    for peer in peers:
        place = (
            f"pid {peer['pid']}" if peer.get("pid") else f"port {peer['port']}" if peer.get("port") else ""
        )
        forwards = "".join(f" → {name}" for name in peer.get("forwards") or ())
        kind = _SHOWN_TYPE.get(peer["kind"], peer["kind"])
        described = f"{peer.get('description') or ''}{forwards}"
        rows.append((str(peer["id"]), str(kind), status(peer), place, described))
    return table([[cleaned(cell) for cell in row] for row in rows])
