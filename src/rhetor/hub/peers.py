"""The peers that are there, by name and by what they can do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from rhetor.domain.peer import Peer, PeerKind, canonical_name
from rhetor.domain.peer_stats import PeerStats
from rhetor.domain.routing import THRESHOLD, Match, rank
from rhetor.domain.socket import HUB_PEER, TEAM
from rhetor.errors import NoCapablePeer, UnknownPeer, UnknownTeam

Reports = Mapping[str, Mapping[str, float]]  # by peer: what its program says, 0 to 1


class Peers:
    def __init__(self, peers: Iterable[Peer], teams: Mapping[str, Sequence[str]] | None = None) -> None:
        self._peers: dict[str, Peer] = {}
        self._configured: dict[str, Peer] = {}
        self._teams: dict[str, Sequence[str]] = {}
        self._configured_teams: frozenset[str] = frozenset()
        self._put: set[str] = set()
        self._stats: Callable[[str], PeerStats] = lambda peer: PeerStats()
        self._reported: Callable[[], Reports] = dict
        self.configure(peers, teams or {})

    def configure(self, peers: Iterable[Peer], teams: Mapping[str, Sequence[str]]) -> None:
        """Put these in the place of those that were configured before. Programs that were announced stay,
        and so do teams that were made, but for those whose name is configured now."""
        announced = {name: self._peers[name] for name in self._put}
        self._configured = {peer.name: peer for peer in peers}
        self._peers = {**self._configured, **announced}
        made = {name: team for name, team in self._teams.items() if name not in self._configured_teams}
        self._configured_teams = frozenset(teams)
        self._teams = made | {name: tuple(members) for name, members in teams.items()}

    def reported_by(self, reports: Callable[[], Reports]) -> None:
        """Let what programs that run say they are good at count before what is configured."""
        self._reported = reports

    def statistics_from(self, stats: Callable[[str], PeerStats]) -> None:
        """Let what was measured decide between peers that are equally good for a capability."""
        self._stats = stats

    def put(self, peer: Peer) -> None:
        """A peer that is not configured: a program that was announced. One of that name is replaced."""
        self._peers[peer.name] = peer
        self._put.add(peer.name)

    def remove(self, name: str) -> None:
        del self._peers[name]
        self._put.discard(name)
        if name in self._configured:  # since it was announced
            self._peers[name] = self._configured[name]

    def is_put(self, name: str) -> bool:
        return name in self._put

    def __iter__(self) -> Iterator[Peer]:
        return iter(self._peers.values())

    def __len__(self) -> int:
        return len(self._peers)

    def __contains__(self, peer: Peer) -> bool:
        return peer.name in self._peers

    def get(self, name: str) -> Peer:
        """The peer of that name; `apollo-ai` and `apollo-ci` are `apollo`. All of a team together are one,
        `team:<name>`, and so is the hub itself.

        Raises:
            UnknownPeer, UnknownTeam: there is none.
        """
        if ":" in name:
            return self._joint(name)
        peer = self._peers.get(name) or self._peers.get(canonical_name(name))
        if peer is None:
            raise UnknownPeer(name)
        return peer

    def resolve(self, target: str) -> tuple[Peer, Match | None]:
        """The peer for a name or for `@capability`; with the match where it was chosen by capability.

        Raises:
            UnknownPeer: no peer has that name.
            NoCapablePeer: none reaches the threshold.
        """
        if not target.startswith("@"):
            return self.get(target), None
        matches = self.ranked(target[1:])
        if not matches:
            raise NoCapablePeer(target[1:])
        return matches[0].peer, matches[0]

    def as_reported(self) -> list[Peer]:
        """All peers, with the capabilities that they have now."""
        reports = self._reported()
        return [peer.reporting(reports.get(peer.name, {})) for peer in self]

    def ranked(self, capability: str, threshold: float = THRESHOLD) -> Sequence[Match]:
        return rank(self.as_reported(), capability.replace("_", "-"), threshold, self._stats)

    def team(self, name: str) -> Sequence[str]:
        """The members of a team; `all` is every specialist.

        Raises:
            UnknownTeam: there is none of that name.
        """
        if name in self._teams:
            return self._teams[name]
        if name == "all":
            return [p.name for p in self._peers.values() if p.kind is PeerKind.SPECIALIST]
        raise UnknownTeam(name)

    @property
    def teams(self) -> Mapping[str, Sequence[str]]:
        return self._teams

    def is_configured_team(self, name: str) -> bool:
        return name in self._configured_teams

    def is_configured(self, name: str) -> bool:
        """Whether the name is the configuration's own: a peer's, a team's, or the hub's."""
        if name.startswith(TEAM):
            team = name.removeprefix(TEAM)
            return team == "all" or self.is_configured_team(team)
        return name == HUB_PEER or name in self._configured

    def put_team(self, name: str, members: Sequence[str]) -> None:
        """A team that is not configured. One of that name is replaced."""
        self._teams[name] = tuple(members)

    def remove_team(self, name: str) -> None:
        del self._teams[name]

    def _joint(self, name: str) -> Peer:
        if name == HUB_PEER:
            return Peer(name, PeerKind.HUB, "hub", "the hub itself", display_name="Rhetor")
        if not name.startswith(TEAM):
            raise UnknownPeer(name)
        members = self.team(name.removeprefix(TEAM))
        return Peer(name, PeerKind.TEAM, "team", ", ".join(members), display_name=name)

    def capabilities(self) -> dict[str, list[str]]:
        """Each capability with the peers that have it, best first."""
        names = sorted({c.name for p in self.as_reported() for c in p.capabilities})
        return {name: [m.peer.name for m in self.ranked(name, 0.0)] for name in names}
