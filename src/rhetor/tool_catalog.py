"""The configured programs: how each is started, and whether it is installed, works and is logged in."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import asdict

from rhetor.domain.peer import Peer
from rhetor.domain.program import Launch
from rhetor.drivers.agents.logins import login_of
from rhetor.drivers.programs.driver import executable
from rhetor.errors import ProgramMissing, ProgramRefused
from rhetor.settings import ToolSettings

# variables that every program receives; no other variable of the hub reaches a program by default
PASSED = (
    "HOME",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "LOGNAME",
    "PATH",
    "SHELL",
    "TERM",
    "TMPDIR",
    "TZ",
    "USER",
    "XDG_RUNTIME_DIR",
)
CHECK_SECONDS = 1.2  # `aish doctor` takes at most 2 s
SHOWN_BYTES = 4096
_NUMBER = re.compile(r"\d+\.\d+")


class ConfiguredPrograms:
    """The entries of `tools:`, by the name of the peer. `environment` is the hub's own; from it, a program
    receives only the variables of `PASSED` and of its `pass_env`."""

    def __init__(self, entries: Mapping[str, ToolSettings], environment: Mapping[str, str]) -> None:
        self._entries = entries
        self._environment = environment
        self._launches: dict[str, Launch] = {}  # of the peers, in no sender's folder

    def has(self, peer: Peer) -> bool:
        """Return whether the peer's program has an entry."""
        return peer.name in self._entries

    def launch(self, peer: Peer, cwd: str | None = None) -> Launch:
        """Return the folder and the environment of the peer's program. `cwd`: the sender's own folder, for
        programs that run there."""
        if cwd:
            return self._launch(peer, cwd)
        if peer.name not in self._launches:  # each list of the peers asks for all of them
            self._launches[peer.name] = self._launch(peer, None)
        return self._launches[peer.name]

    def _launch(self, peer: Peer, cwd: str | None) -> Launch:
        entry = self._entries[peer.name]
        names = (*PASSED, *entry.pass_env)
        env = {name: self._environment[name] for name in names if name in self._environment}
        env = {"TERM": "xterm-256color", "PATH": os.defpath, **env, **entry.env}
        place = cwd if entry.cwd == "caller" and cwd else "~" if entry.cwd == "caller" else entry.cwd
        home = Path(env.get("HOME") or os.path.expanduser("~"))  # noqa: PTH111  # never raises
        home = home if home.is_absolute() else Path("/")  # the user has no entry in passwd
        folder = home / place[2:] if place.startswith("~/") else home if place == "~" else Path(place)
        return Launch(os.path.expanduser(folder), env)  # noqa: PTH111

    def place(self, peer: Peer) -> str | None:
        """Return the path of the program's executable; None if it, or the program's folder, is missing."""
        assert peer.program is not None
        try:
            return executable(peer.program, self.launch(peer))
        except (ProgramMissing, ProgramRefused):
            return None

    def is_usable(self, peer: Peer) -> bool:
        """Return whether the peer's program is installed, or is not one of these."""
        return not self.has(peer) or self.place(peer) is not None

    def login(self, peer: Peer) -> dict[str, str]:
        """Return whether the program is logged in: `{known: yes | no | unknown, how}`."""
        entry, launch = self._entries[peer.name], self.launch(peer)
        found = login_of(self.place(peer) or entry.executable, launch.env, entry.args, launch.cwd)
        return asdict(found)

    async def checked(self, peers: Sequence[Peer]) -> list[dict[str, Any]]:
        """Check the programs concurrently. Return `{name, installed, path, how_to_install, login, health}`
        for each, in the order of `peers`."""
        healths = await asyncio.gather(*map(self.health, peers))
        return [
            {"name": peer.name, **self.found(peer), "health": health}
            for peer, health in zip(peers, healths, strict=True)
        ]

    def found(self, peer: Peer) -> dict[str, Any]:
        """Return what is known without running the program: `{installed, path, how_to_install, login}`."""
        assert peer.program is not None
        place = self.place(peer)
        return {
            "installed": place is not None,
            "path": place,
            "how_to_install": peer.program.hint or None,
            "login": self.login(peer),
        }

    async def health(self, peer: Peer) -> dict[str, Any]:
        """Run the entry's health check and return its result: `{check, ok, detail, version}`."""
        entry, path = self._entries[peer.name], self.place(peer)
        given = entry.health_check
        check = given if isinstance(given, str) else shlex.join(given)
        if path is None:
            missing = ProgramMissing(entry.executable, entry.install)
            return {"check": check, "ok": False, "detail": missing.detail, "version": None}
        if check in ("status", "ping"):
            return {"check": check, "ok": True, "detail": f"{path} is executable", "version": None}
        argv = [path, "--version"] if check == "version" else shlex.split(check)
        ok, output = await _run(argv, self.launch(peer))
        version = _version(output) if ok and check == "version" else None
        return {"check": check, "ok": ok, "detail": output, "version": version}


def _version(output: str) -> str:
    """Return the first line that contains a version number, because some programs print warnings first."""
    lines = [line.strip() for line in output.splitlines()]
    return next((line for line in lines if _NUMBER.search(line)), lines[0] if lines else "")


async def _run(argv: list[str], launch: Launch) -> tuple[bool, str]:
    """Run a command for at most `CHECK_SECONDS`. Return whether it exits with 0, and its output.

    Only the first 4 KiB are read; a command that writes more counts as successful.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *argv, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT, env=launch.env, cwd=launch.cwd
        )
    except OSError as error:
        return False, f"{argv[0]}: {error.strerror}"
    assert process.stdout is not None
    output = bytearray()
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            while len(output) < SHOWN_BYTES and (
                piece := await process.stdout.read(SHOWN_BYTES - len(output))
            ):
                output += piece
            code = await process.wait() if len(output) < SHOWN_BYTES else 0
    except TimeoutError:
        # the command may have exited and left a child behind that keeps the pipe open
        if process.returncode is None:
            return False, f"no result within {CHECK_SECONDS:g} s"
        code = process.returncode
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return code == 0, output.decode(errors="replace").strip()
