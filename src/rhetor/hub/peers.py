"""The current peers and teams, found by name or by capability."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy

from rhetor.domain.lines import LINE_DRIVER, LINE_PEER
from rhetor.domain.machine import AT
from rhetor.domain.peer import Peer, PeerKind, canonical_name
from rhetor.domain.peer_stats import PeerStats
from rhetor.domain.routing import THRESHOLD, Match, rank
from rhetor.domain.schedule import SCHEDULE_DRIVER, SCHEDULE_PEER
from rhetor.domain.socket import HUB_PEER, TEAM
from rhetor.errors import AmbiguousPeer, NoCapablePeer, UnknownPeer, UnknownTeam

Reports = Mapping[str, Mapping[str, float]]  # capability scores from 0 to 1 that programs report, by peer


class Peers:
    """The peers and teams of one hub: those in the configuration, and those added at run time."""

    def __init__(self, peers: Iterable[Peer], teams: Mapping[str, Sequence[str]] | None = None) -> None:
        self._peers: dict[str, Peer] = {}
        self._names: dict[str, str] = {}  # by the name in lower case
        self._configured: dict[str, Peer] = {}
        self._teams: dict[str, Sequence[str]] = {}
        self._configured_teams: frozenset[str] = frozenset()
        self._announced: dict[str, str] = {}  # the owner of each; empty if everybody may use it
        self._elsewhere: dict[str, tuple[str, str]] = {}  # those of other nodes: the node, and the program
        self._stats: Callable[[str], PeerStats] = lambda peer: PeerStats()
        self._reported: Callable[[], Reports] = dict
        self._on_change: Callable[[], None] = lambda: None
        self._joined: dict[str, Peer] = {}  # those on other machines
        self._places: dict[str, list[str]] = {}  # their names, by the name without the machine, in lower case
        self._is_installed: Callable[[Peer], bool] = lambda peer: True
        self._is_connected: Callable[[str], bool] = lambda machine: True
        self._may_omit_machine = False
        self.configure(peers, teams or {})

    def configure(self, peers: Iterable[Peer], teams: Mapping[str, Sequence[str]]) -> None:
        """Replace the configured peers and teams.

        Announced programs stay. Teams added at run time stay, unless the configuration now has their name.
        """
        announced = {name: self._peers[name] for name in self._announced}
        self._configured = {peer.name: peer for peer in peers}
        self._peers = {**self._configured, **announced, **self._joined}
        self._index()
        added = {name: team for name, team in self._teams.items() if name not in self._configured_teams}
        self._configured_teams = frozenset(teams)
        self._teams = added | {name: tuple(members) for name, members in teams.items()}
        self._on_change()

    def on_change(self, on_change: Callable[[], None]) -> None:
        """Call `on_change` whenever peers or teams are added, replaced or removed."""
        self._on_change = on_change

    def use_reports(self, reports: Callable[[], Reports]) -> None:
        """Let the capability scores that running programs report override the configured ones."""
        self._reported = reports

    def use_statistics(self, stats: Callable[[str], PeerStats]) -> None:
        """Let measured statistics decide between peers with equal scores for a capability."""
        self._stats = stats

    def put(self, peer: Peer, owner: str = "") -> None:
        """Add an announced program. It replaces a peer of the same name. `owner`: who may use it; everybody
        if it is empty."""
        self._elsewhere.pop(peer.name, None)
        self._peers[peer.name] = peer
        self._announced[peer.name] = owner
        self._index()
        self._on_change()

    def remove(self, name: str) -> None:
        """Remove an announced program. A configured peer of the same name becomes visible again."""
        del self._peers[name]
        self._announced.pop(name, None)
        self._elsewhere.pop(name, None)
        if name in self._configured:  # the name was configured after the program was announced
            self._peers[name] = self._configured[name]
        self._index()
        self._on_change()

    def put_elsewhere(self, peer: Peer, owner: str, node: str, program: str) -> bool:
        """Add a program that was announced at another node, unless another peer has its name. Return whether
        it was added. `program`: the id of its row; empty if it has ended."""
        known = self.known_as(peer.name)
        if known is not None and known not in self._elsewhere:
            return False
        if known is not None and (self._peers[known], self._elsewhere[known]) == (peer, (node, program)):
            return True
        if known is not None:
            self.remove(known)
        self.put(peer, owner)
        self._elsewhere[peer.name] = node, program
        return True

    def remove_elsewhere(self, program: str) -> None:
        """Remove the peer of a program of another node, which has ended; no effect if there is none."""
        for name, (_, known) in list(self._elsewhere.items()):
            if known == program:
                self.remove(name)

    def end_elsewhere(self, program: str) -> None:
        """Note that a program of another node has ended. Its peer stays until `remove`."""
        for name, (node, known) in self._elsewhere.items():
            if known == program:
                self._elsewhere[name] = node, ""

    @property
    def ended_elsewhere(self) -> list[tuple[str, str]]:
        """The peers whose programs have ended at other nodes, each with its node."""
        return [(name, node) for name, (node, program) in self._elsewhere.items() if not program]

    def node_of(self, name: str) -> str:
        """Return the other node at which a program was announced; empty for all other peers."""
        return self._elsewhere.get(name, ("", ""))[0]

    @property
    def programs_elsewhere(self) -> list[str]:
        """The ids of the programs that were announced at other nodes."""
        return [program for _, program in self._elsewhere.values() if program]

    def join(self, machine: str, peers: Iterable[Peer]) -> None:
        """Replace the peers of a machine that has joined."""
        before = {name: peer for name, peer in self._joined.items() if peer.machine == machine}
        after = {peer.name: peer for peer in peers}
        if before == after:
            return
        self._joined = {name: peer for name, peer in self._joined.items() if name not in before} | after
        self._peers = {name: peer for name, peer in self._peers.items() if name not in before} | self._joined
        self._index()
        self._on_change()

    def use_installed(self, is_installed: Callable[[Peer], bool]) -> None:
        """Let `is_installed` say whether a program of the hub's own machine is installed."""
        self._is_installed = is_installed

    def use_connections(self, is_connected: Callable[[str], bool]) -> None:
        """Let `is_connected` say whether a machine is connected."""
        self._is_connected = is_connected

    def for_callers(self) -> Peers:
        """Return the peers as callers name them: the machine may be left out of a name, if only one machine
        has a peer of that name, and the hub itself has no such peer, or has not installed its program."""
        if not self._joined:
            return self
        named = copy(self)
        named._may_omit_machine = True
        return named

    @property
    def has_machines(self) -> bool:
        """Whether there are peers on other machines."""
        return bool(self._joined)

    @property
    def has_wrapped(self) -> bool:
        """Whether there are announced programs that only their owners may use."""
        return any(self._announced.values())

    def seen_by(self, subject: str) -> Peers:
        """Return the peers that a subject may use: all but the announced programs of other owners."""
        hidden = {name for name, owner in self._announced.items() if owner not in ("", subject)}
        if not hidden:
            return self
        seen = copy(self)
        known = {name: peer for name, peer in self._peers.items() if name not in hidden}
        seen._peers = {**known, **{n: self._configured[n] for n in hidden if n in self._configured}}
        seen._index()
        return seen

    def owner_of(self, name: str) -> str:
        """Return who may use an announced program; empty if everybody may."""
        return self._announced.get(name, "")

    def is_announced(self, name: str) -> bool:
        """Whether the peer is an announced program rather than a configured peer."""
        return name in self._announced

    def __iter__(self) -> Iterator[Peer]:
        return iter(self._peers.values())

    def __len__(self) -> int:
        return len(self._peers)

    def __contains__(self, peer: Peer) -> bool:
        return peer.name in self._peers

    def get(self, name: str) -> Peer:
        """Return the peer of this name, in upper or lower case.

        `apollo-ai` and `apollo-ci` are other names of `apollo`. `team:<name>` is a peer that stands for a
        whole team, and the hub itself is a peer, too.

        Raises:
            UnknownPeer: there is no peer of this name.
            UnknownTeam: there is no team of this name.
            AmbiguousPeer: the name has no machine, and several machines have such a peer.
        """
        if ":" in name:
            return self._built_in(name)
        peer = self._peers.get(name)
        if peer is None:
            known = self.known_as(name) or self.known_as(canonical_name(name.lower()))
            peer = self._peers[known] if known else None
        if self._may_omit_machine and (there := self._places.get(name.lower())):
            peer = self._on_machine(peer, name, there)
        if peer is None:
            raise UnknownPeer(name)
        return peer

    def _on_machine(self, own: Peer | None, name: str, there: Sequence[str]) -> Peer:
        """Return the peer for a name without a machine. `own`: the hub's own peer of this name; `there`:
        those of machines."""
        if own is not None and (own.program is None or self._is_installed(own)):
            return own
        if len(there) > 1:
            raise AmbiguousPeer(name, there)
        return self._peers[there[0]]

    def has(self, name: str) -> bool:
        """Return whether `get` finds a peer of this name."""
        try:
            self.get(name)
        except UnknownPeer:
            return False
        except AmbiguousPeer:
            return True
        return True

    def known_as(self, name: str) -> str | None:
        """Return how the peer is written that has this name in upper or lower case; None if there is none."""
        return self._names.get(name.lower())

    def _index(self) -> None:
        self._names = {name.lower(): name for name in self._peers}
        self._places = {}
        for name in sorted(self._joined):
            self._places.setdefault(name.partition(AT)[0].lower(), []).append(name)

    def resolve(self, target: str) -> tuple[Peer, Match | None]:
        """Return the peer for a name or for `@capability`, and the match if it was chosen by capability.

        Raises:
            UnknownPeer: there is no peer of this name.
            UnknownTeam: there is no team of this name.
            NoCapablePeer: no peer's score for the capability reaches the threshold.
        """
        if not target.startswith("@"):
            return self.get(target), None
        matches = self.ranked(target[1:])
        if not matches:
            raise NoCapablePeer(target[1:])
        return matches[0].peer, matches[0]

    def as_reported(self) -> list[Peer]:
        """Return all peers, with the capabilities that their programs report now."""
        reports = self._reported()
        return [peer.reporting(reports.get(peer.name, {})) for peer in self]

    def ranked(self, capability: str, threshold: float = THRESHOLD) -> Sequence[Match]:
        """Return the peers whose score for the capability reaches the threshold (0 to 1), best first."""
        there = [peer for peer in self.as_reported() if not peer.machine or self._is_connected(peer.machine)]
        return rank(there, capability.replace("_", "-"), threshold, self._stats)

    def team(self, name: str) -> Sequence[str]:
        """Return the names of a team's members. The team `all` has every specialist.

        Raises:
            UnknownTeam: there is no team of this name.
        """
        name = self._written_team(name)
        if name in self._teams:
            return self._teams[name]
        if name == "all":
            return [p.name for p in self._peers.values() if p.kind is PeerKind.SPECIALIST]
        raise UnknownTeam(name)

    @property
    def teams(self) -> Mapping[str, Sequence[str]]:
        """The members of each team except `all`, by team name."""
        return self._teams

    def is_configured_team(self, name: str) -> bool:
        """Whether the team is in the configuration, so that clients may not change it."""
        return name in self._configured_teams

    def is_configured(self, name: str) -> bool:
        """Whether the name belongs to a configured peer or team, to the team `all`, or to the hub itself."""
        if name.startswith(TEAM):
            team = name.removeprefix(TEAM)
            return team == "all" or self.is_configured_team(team)
        return name == HUB_PEER or name in self._configured

    def put_team(self, name: str, members: Sequence[str]) -> None:
        """Add a team at run time. It replaces a team of the same name."""
        self._teams[name] = tuple(members)
        self._on_change()

    def remove_team(self, name: str) -> None:
        """Remove a team."""
        del self._teams[name]
        self._on_change()

    def _built_in(self, name: str) -> Peer:
        if name == HUB_PEER:
            return Peer(name, PeerKind.HUB, "hub", "the hub itself", display_name="Rhetor")
        if name == SCHEDULE_PEER:
            return Peer(name, PeerKind.HUB, SCHEDULE_DRIVER, "lines at set times", display_name="Schedule")
        if name == LINE_PEER:
            return Peer(name, PeerKind.HUB, LINE_DRIVER, "a line of the grammar", display_name="Line")
        if not name.startswith(TEAM):
            raise UnknownPeer(name)
        members = self.team(name.removeprefix(TEAM))
        name = TEAM + self._written_team(name.removeprefix(TEAM))
        return Peer(name, PeerKind.TEAM, "team", ", ".join(members), display_name=name)

    def _written_team(self, name: str) -> str:
        """Return how the team is written that has this name in upper or lower case."""
        if name in self._teams:
            return name
        written = {each.lower(): each for each in ("all", *self._teams)}
        return written.get(name.lower(), name)

    def capabilities(self) -> dict[str, list[str]]:
        """Return the names of the peers with each capability, best first."""
        names = sorted({c.name for p in self.as_reported() for c in p.capabilities})
        return {name: [m.peer.name for m in self.ranked(name, 0.0)] for name in names}
