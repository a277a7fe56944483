"""Which peers are there, as the configuration changes beside programs that are announced."""

from __future__ import annotations

import pytest

from rhetor.domain.peer import Peer, PeerKind
from rhetor.errors import UnknownTeam
from rhetor.hub.peers import Peers


def specialist(name: str) -> Peer:
    return Peer(name, PeerKind.SPECIALIST, "chat", name)


def names(peers: Peers) -> set[str]:
    return {peer.name for peer in peers}


def test_what_is_configured_anew_takes_the_place_of_what_was_and_what_was_announced_stays() -> None:
    peers = Peers([specialist("a"), specialist("b")])
    box = Peer("box", PeerKind.TERMINAL, "terminal", "a shell")
    peers.put(box)
    peers.configure([specialist("b"), specialist("c"), specialist("box")], {})
    assert names(peers) == {"b", "c", "box"}
    assert peers.get("box") is box
    peers.remove("box")
    assert peers.get("box") == specialist("box")


def test_teams_that_were_made_stay_and_those_that_were_configured_go() -> None:
    peers = Peers([specialist("a"), specialist("b")], {"old": ["a"]})
    peers.put_team("made", ["b"])
    peers.put_team("both", ["b"])
    peers.configure([specialist("a"), specialist("b")], {"new": ["a"], "both": ["a"]})
    assert {name: tuple(peers.team(name)) for name in ("made", "new", "both")} == {
        "made": ("b",),
        "new": ("a",),
        "both": ("a",),
    }
    with pytest.raises(UnknownTeam):
        peers.team("old")
    assert peers.is_configured_team("both")
