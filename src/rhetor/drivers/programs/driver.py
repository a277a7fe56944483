"""The driver of programs: starts them under hosts and finds them again."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, Literal

from rhetor.domain.peer import Peer
from rhetor.domain.program import Exit, Launch, Program
from rhetor.drivers.base import RunningProgram, SavedState
from rhetor.errors import ForkUnsupported, ProgramMissing, ProgramRefused

from .aish_json import JsonProgram
from .host.failures import HostLost, HostSilent
from .host.feed import Feed
from .host.hosts import HostGone, Hosts
from .host.link import HostLink
from .host.spec import Mode, ProgramSpec
from .host.values import HostStatus
from .places import Places
from .program import HostedProgram, exit_of
from .stdio import StdioProgram
from .terminal.shells import MarkedShells

TERM = "xterm-256color"  # what the terminal of a program understands
_UNUSABLE = ("", "dumb")  # without cursor movements, a shell scrolls a long line sideways

Kind = Callable[[Peer, HostLink, Feed, str, Callable[[HostedProgram], None]], HostedProgram]


class Programs:
    """The driver of one kind of program. `mode`: the programs run in a terminal of their own, or on pipes.
    `shells` makes shells mark their commands."""

    sessions: Literal["many", "one"] = "one"
    continues = False

    def __init__(
        self,
        hosts: Hosts | Places,
        kind: Kind,
        mode: Mode,
        shells: MarkedShells | None = None,
    ) -> None:
        self._places = hosts if isinstance(hosts, Places) else Places(hosts)
        self._kind = kind
        self._mode = mode
        self._shells = shells

    async def start(
        self,
        peer: Peer,
        host_id: str,
        launch: Launch,
        memory: dict[str, Any],
        changed: Callable[[RunningProgram], None],
    ) -> RunningProgram:
        link, _ = await self._places.start(self, peer, host_id, launch, memory, self._mode)
        return self._take(peer, link, 0, 0 if self._mode == "pipes" else None, changed)

    async def spec(self, peer: Peer, host_id: str, launch: Launch, memory: dict[str, Any]) -> ProgramSpec:
        """Return what to start on this machine.

        Raises:
            ProgramMissing, ProgramRefused: the program, or its folder, does not exist.
        """
        program = program_of(peer)
        path = executable(program, launch)
        argv: tuple[str, ...] = program.argv
        env: Mapping[str, str] = launch.env
        if self._shells is not None:
            argv, env = self._shells.prepare(peer, launch, host_id)
        if self._mode == "pty" and env.get("TERM", "") in _UNUSABLE:
            env = {**env, "TERM": TERM}
        return ProgramSpec(
            (path, *argv[1:]), launch.cwd, env, self._mode, launch.rows, launch.cols, program.on_exit
        )

    async def find(
        self, peer: Peer, host_id: str, left: SavedState, changed: Callable[[RunningProgram], None]
    ) -> RunningProgram | Exit:
        found = await self._places.find(peer, host_id, self._mode)
        if isinstance(found, HostGone):
            link = found.link()
            if link is not None and self._mode == "pipes":
                return self._take(peer, link, left.offset, None, changed)  # there may be unread output
            return end_of(found)
        status = await first_status(found)
        if status is None:
            program = self._take(peer, found, left.offset, None, changed)
            program.wait_for_host()
            return program
        offset = await resume_offset(found, status, left.offset)
        stderr = status.stderr_total if self._mode == "pipes" else None
        return self._take(peer, found, offset, stderr, changed)

    def memory_of_copy(self, peer: Peer, memory: dict[str, Any]) -> dict[str, Any]:
        raise ForkUnsupported(peer.name)

    def memory_to_keep(self, memory: dict[str, Any]) -> dict[str, Any]:
        return {}

    def memory_at(self, left: dict[str, Any], now: dict[str, Any]) -> dict[str, Any] | None:
        return None

    def remembers(self, memory: dict[str, Any]) -> bool:
        return False

    def forget(self, peer: Peer, host_id: str) -> None:
        self._places.forget(peer, host_id)
        if self._shells is not None and not peer.machine:
            self._shells.forget(host_id)

    def _take(
        self,
        peer: Peer,
        link: HostLink,
        offset: int,
        stderr: int | None,
        changed: Callable[[RunningProgram], None],
    ) -> HostedProgram:
        feed = Feed(link, offset, stderr)
        return self._kind(peer, link, feed, f"host:{link.host_id}", changed)


async def first_status(found: HostLink) -> HostStatus | None:
    """Return the status of a host that was found; None if it does not answer."""
    try:
        return await found.status() if found.connected else None
    except HostSilent:
        return None


async def resume_offset(found: HostLink, status: HostStatus, stored: int) -> int:
    """Return the offset from which to read. The log has the output before `stored`.

    An earlier hub that was killed may not have acknowledged all of that output. If the spool is full, the
    program waits for the acknowledgement, so it is sent now.
    """
    if status.waiting and stored > status.acknowledged:
        await found.acknowledge(min(stored, status.head))
    return max(stored, status.acknowledged)


def in_terminal(peer: Peer, *arguments: Any) -> HostedProgram:
    """Return a program in a terminal. Its modules are imported when the first one is made."""
    from .terminal.program import TerminalProgram

    return TerminalProgram(peer, *arguments)


def on_pipes(peer: Peer, *arguments: Any) -> HostedProgram:
    """Return a program on pipes, which speaks plain text or aish-json."""
    json = peer.program is not None and peer.program.protocol == "aish-json"
    return (JsonProgram if json else StdioProgram)(peer, *arguments)


def end_of(gone: HostGone) -> Exit:
    """Return how the program of a host that is gone ended."""
    return exit_of(gone.exited) if gone.exited else Exit(lost=HostLost(gone.host_id).detail)


def executable(program: Program, launch: Launch) -> str:
    """Return the path of the program's executable, found on its own PATH or relative to its own folder.

    Raises:
        ProgramMissing: there is no such executable.
        ProgramRefused: the program's folder does not exist.
    """
    # unlike pathlib, os.path raises nothing for a path that is too long, unreadable or of an unknown user
    name = program.argv[0]
    if not os.path.isdir(launch.cwd):  # noqa: PTH112
        raise ProgramRefused(f"{launch.cwd} is not a folder", cwd=launch.cwd)
    if os.sep in name:
        path = os.path.join(launch.cwd, os.path.expanduser(name))  # noqa: PTH111, PTH118
        found = path if os.path.isfile(path) and os.access(path, os.X_OK) else None  # noqa: PTH113
    else:
        found = _on_path(name, launch.env.get("PATH", os.defpath))
    if found is None:
        raise ProgramMissing(name, program.hint)
    return found


def _on_path(name: str, path: str) -> str | None:
    """Do the same as `shutil.which`, which takes several times as long, mostly for programs that are missing:
    each list of the peers looks for all of them."""
    for folder in path.split(os.pathsep) if path else ():
        file = f"{folder or os.curdir}/{name}"
        if os.access(file, os.X_OK) and not os.path.isdir(file):  # noqa: PTH112
            return file
    return None


def program_of(peer: Peer) -> Program:
    """Return the program of a peer that has one."""
    assert peer.program is not None
    return peer.program
