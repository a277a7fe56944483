"""Changes of the configuration while announced programs and added teams exist."""

from __future__ import annotations

import pytest

from rhetor.domain.peer import Peer, PeerKind
from rhetor.errors import UnknownPeer, UnknownTeam
from rhetor.hub.peers import Peers


def specialist(name: str) -> Peer:
    return Peer(name, PeerKind.SPECIALIST, "chat", name)


def names(peers: Peers) -> set[str]:
    return {peer.name for peer in peers}


def test_a_new_configuration_replaces_configured_peers_and_keeps_announced_ones() -> None:
    peers = Peers([specialist("a"), specialist("b")])
    box = Peer("box", PeerKind.TERMINAL, "terminal", "a shell")
    peers.put(box)
    peers.configure([specialist("b"), specialist("c"), specialist("box")], {})
    assert names(peers) == {"b", "c", "box"}
    assert peers.get("box") is box
    peers.remove("box")
    assert peers.get("box") == specialist("box")


def test_a_new_configuration_replaces_only_configured_teams() -> None:
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


def test_names_ignore_case() -> None:
    peers = Peers([specialist("apollo"), specialist("Numa")], {"Reviewers": ["apollo"]})
    assert [peers.get(name).name for name in ("Apollo", "APOLLO-AI", "apollo-CI", "numa", "NUMA")] == [
        *("apollo", "apollo", "apollo", "Numa", "Numa")
    ]
    assert peers.get("team:reviewers").name == "team:Reviewers"
    assert peers.get("team:ALL").name == "team:all"
    peers.put(Peer("Box", PeerKind.TERMINAL, "terminal", "a shell"))
    assert peers.get("box").name == peers.known_as("BOX") == "Box"
    peers.remove("Box")
    for name in ("box", "nobody"):
        with pytest.raises(UnknownPeer, match=name):
            peers.get(name)
    with pytest.raises(UnknownTeam, match="Nobody"):
        peers.get("team:Nobody")
