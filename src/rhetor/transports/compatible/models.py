"""The models of a client: `/v1/models`. They are the specialists, agents and teams that it may use."""

from __future__ import annotations

from typing import Any

from rhetor.domain.peer import Peer, PeerKind
from rhetor.domain.timestamps import timestamp
from rhetor.errors import UnknownPeer
from rhetor.hub.programs.ownership import peers_for
from rhetor.transports.server import vendor
from rhetor.transports.server.call import Call
from rhetor.transports.views.peers import peer_status

from .asking import place_in
from .shapes import ModelsQuery


async def list_models(call: Call, query: ModelsQuery) -> dict[str, Any]:
    """List the specialists, agents and teams, in the shape of OpenAI; with the header `anthropic-version`, in
    that of Anthropic."""
    peers = peers_for(call.hub.state, call.who)
    teams = [peers.get(f"team:{name}") for name in sorted({*peers.teams, "all"})]
    found = [*(peer for peer in peers.as_reported() if _is_model(call, peer)), *teams]
    if not vendor.is_anthropic(call.scope):
        return {"object": "list", "data": [_openai(call, peer) for peer in found]}
    return _page([_anthropic(call, peer) for peer in found], query)


async def one_model(call: Call, id: str) -> dict[str, Any]:
    """Return one model. `@CAPABILITY` is the model that has it now."""
    peer = peers_for(call.hub.state, call.who).resolve(id)[0]
    if not (_is_model(call, peer) or peer.kind is PeerKind.TEAM):
        raise UnknownPeer(id)
    return (_anthropic if vendor.is_anthropic(call.scope) else _openai)(call, peer)


def _is_model(call: Call, peer: Peer) -> bool:
    """Whether a peer is a specialist, or a program that is installed."""
    if peer.kind is PeerKind.TOOL:
        return peer_status(call.node, peer).state != "missing"
    return peer.kind is PeerKind.SPECIALIST


def _openai(call: Call, peer: Peer) -> dict[str, Any]:
    return {
        "id": peer.name,
        "object": "model",
        "created": call.node.started_at // 1000,
        "owned_by": "rhetor",
        **_more(peer),
    }


def _anthropic(call: Call, peer: Peer) -> dict[str, Any]:
    return {
        "type": "model",
        "id": peer.name,
        "display_name": peer.title,
        "created_at": timestamp(call.node.started_at),
        **_more(peer),
    }


def _more(peer: Peer) -> dict[str, Any]:
    scores = {each.name: each.score for each in peer.capabilities}
    return {"kind": peer.kind.value, "description": peer.description or peer.role, "capabilities": scores}


def _page(found: list[dict[str, Any]], query: ModelsQuery) -> dict[str, Any]:
    """Return the first models after `after_id`, or the last ones before `before_id`. `has_more` says whether
    more of them follow, or come before."""
    ids = [each["id"] for each in found]
    begin = 0 if query.after_id is None else place_in(ids, query.after_id, "after_id") + 1
    end = len(ids) if query.before_id is None else place_in(ids, query.before_id, "before_id")
    within = found[begin:end]
    is_backwards = query.before_id is not None and query.after_id is None
    shown = within[-query.limit :] if is_backwards else within[: query.limit]
    return {
        "data": shown,
        "has_more": len(shown) < len(within),
        "first_id": shown[0]["id"] if shown else None,
        "last_id": shown[-1]["id"] if shown else None,
    }
