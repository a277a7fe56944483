"""What this machine offers to a hub: the programs of its configuration that are installed, and projects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from rhetor.domain.machine import Offer, OfferedProject
from rhetor.domain.peer import Peer
from rhetor.domain.program import Launch
from rhetor.errors import InvalidSettings, OnOtherMachine, UnknownPeer
from rhetor.settings import Settings, peers_of, tools_of
from rhetor.tool_catalog import ConfiguredPrograms


class Offered(Struct, frozen=True):
    """The programs and projects that the hub may use, by name."""

    peers: Mapping[str, Peer]
    projects: Mapping[str, str]
    catalog: ConfiguredPrograms

    def offers(self) -> tuple[Offer, ...]:
        """Return the programs that are installed now, as the hub is to list them."""
        return tuple(self._offer(peer) for peer in self.peers.values() if self.catalog.place(peer))

    def offered_projects(self) -> tuple[OfferedProject, ...]:
        return tuple(OfferedProject(name, path) for name, path in self.projects.items())

    def peer(self, name: str) -> Peer:
        """Return the peer of a program that is offered.

        Raises:
            UnknownPeer: this machine does not offer it.
        """
        try:
            return self.peers[name]
        except KeyError:
            raise UnknownPeer(name) from None

    def launch(self, peer: Peer, cwd: str) -> Launch:
        """Return how the program is started. `cwd`: the folder that the hub asks for.

        Raises:
            OnOtherMachine: the program may not run in that folder.
        """
        own = self.catalog.launch(peer)
        if not cwd or cwd == own.cwd:
            return own
        place = Path(cwd).resolve()
        if not self.in_project(place):
            raise OnOtherMachine(
                f"{cwd} is in no project of this machine",
                machine="",
                hint="add the folder to join.projects in the machine's configuration",
            )
        return Launch(str(place), own.env)

    def in_project(self, folder: Path) -> bool:
        """Return whether a folder, without symbolic links, is in a project."""
        return any(folder.is_relative_to(Path(root).resolve()) for root in self.projects.values())

    def _offer(self, peer: Peer) -> Offer:
        program, login = peer.program, self.catalog.login(peer)
        assert program is not None
        return Offer(
            peer.name,
            peer.driver,  # type: ignore[arg-type]  # one of `tools:`
            Path(program.argv[0]).name,
            self.catalog.launch(peer).cwd,
            peer.description,
            peer.display_name,
            peer.capabilities,
            peer.streams,
            peer.permissions,
            program.delimiter,
            program.protocol,
            program.prompt,
            program.on_exit,
            (login["known"], ""),  # type: ignore[arg-type]  # how it is known would name files
        )


def offered(settings: Settings, environment: Mapping[str, str], only: Sequence[str] = ()) -> Offered:
    """Return what the settings offer. `only`: the names of the programs, unless all are offered.

    Raises:
        InvalidSettings: a name is not that of a program, or a project is no folder.
    """
    tools = tools_of(settings)
    names = tuple(only) or settings.join.offer or tuple(tools)
    for name in names:
        if name not in tools:
            raise InvalidSettings(f"{name} is not in tools:, so it cannot be offered")
    peers = {peer.name: peer for peer in peers_of(settings) if peer.name in names and peer.program}
    projects = {name: str(Path(path).expanduser()) for name, path in settings.join.projects.items()}
    for name, path in projects.items():
        if not Path(path).is_dir():
            raise InvalidSettings(f"join.projects.{name}: {path} is not a folder")
    return Offered(peers, projects, ConfiguredPrograms(tools, environment))
