"""A machine that has joined the hub: what it offers, and what is stored of it."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from msgspec import Meta, Struct
from msgspec.structs import replace

from .peer import Capability, Peer, PeerKind
from .permission import Rules
from .program import OnExit, Program

MACHINE = "machine:"  # cannot collide: the name of a peer has no colon
AT = "@"  # between the name of a peer and that of its machine
MOST_OFFERS = 500
NOT_YET = "it has not connected since this hub started"
LINK_VERSION = 1  # of the protocol between a hub and a machine
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")

Text = Annotated[str, Meta(max_length=4096)]
Name = Annotated[str, Meta(pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,63}\Z")]


FOLDER = "//"


class FilesFailed(Exception):
    """A machine could not take, compare or restore a snapshot of a folder. `kind`: the name of the error.
    `journal`: that of a restore that was undone, as JSON; empty for other errors."""

    def __init__(self, detail: str, kind: str = "OSError", journal: str = "") -> None:
        super().__init__(detail)
        self.detail = detail
        self.kind = kind
        self.journal = journal


def folder_on(machine: str, path: str) -> str:
    """Return how the hub writes a folder of a machine: `//build1/home/ci/site`."""
    return f"{FOLDER}{machine}{path}"


def place_of(folder: str) -> tuple[str, str]:
    """Return the machine of a folder, empty for the hub's own, and its path there."""
    if not folder.startswith(FOLDER):
        return "", folder
    machine, _, path = folder.removeprefix(FOLDER).partition("/")
    return machine, f"/{path}"


def is_machine_name(name: str) -> bool:
    """Return whether a machine can have this name."""
    return _NAME.fullmatch(name) is not None


class Offer(Struct, frozen=True, gc=False):
    """A program that a machine offers, by the name that it has there. How it is started is known only to the
    machine. `cwd`: the folder in which it runs, on the machine. `login`: `yes`, `no` or `unknown`, and how
    that is known. The rest is as in `Peer` and `Program`."""

    name: Name
    driver: Literal["terminal", "stdio", "claude", "codex", "acp", "continue", "cursor"]
    executable: Text
    cwd: Text
    description: Text = ""
    display_name: Text = ""
    capabilities: Annotated[tuple[Capability, ...], Meta(max_length=200)] = ()
    streams: bool = True
    permissions: Rules = Rules()
    delimiter: Text | None = None
    protocol: Literal["text", "aish-json"] = "text"
    prompt: Text | None = None
    on_exit: OnExit = "survive"
    login: tuple[Literal["yes", "no", "unknown"], Text] = ("unknown", "")

    def peer(self, machine: str) -> Peer:
        """Return the program as a peer of the hub."""
        program = Program(
            (self.executable,), self.cwd, self.delimiter, self.protocol, self.prompt, self.on_exit
        )
        return Peer(
            f"{self.name}{AT}{machine}",
            PeerKind.TOOL,
            self.driver,
            self.description,
            capabilities=self.capabilities,
            program=program,
            display_name=f"{self.display_name or self.name}{AT}{machine}",
            permissions=self.permissions,
            streams=self.streams,
            machine=machine,
        )


class OfferedProject(Struct, frozen=True, gc=False):
    """A folder on a machine in which its programs may run."""

    name: Name
    path: Annotated[str, Meta(pattern=r"^/[^\x00]*\Z", max_length=4096)]


class Hello(Struct, frozen=True):
    """What a machine says first on each connection. `machine`: a secret by which it is known again. `session`
    and `received`: what it has of the last session; empty and 0 if there was none. `version`: of the link's
    protocol; `release`: of its program. `hostname`: how the machine calls itself."""

    version: int
    machine: Annotated[str, Meta(min_length=32, max_length=200)]
    release: Annotated[str, Meta(max_length=100)] = ""
    hostname: Annotated[str, Meta(max_length=255)] = ""
    session: Annotated[str, Meta(max_length=100)] = ""
    received: Annotated[int, Meta(ge=0)] = 0
    offers: Annotated[tuple[Offer, ...], Meta(max_length=MOST_OFFERS)] = ()
    projects: Annotated[tuple[OfferedProject, ...], Meta(max_length=MOST_OFFERS)] = ()


class JoinedMachine(Struct, frozen=True):
    """A machine as it is stored. `digest`: of its secret. `seen`: when it was last connected, and `since`:
    when it was first; Unix times in milliseconds. `why`: why it is not connected. `node`: to which it was
    connected last; empty if there was only one."""

    name: str
    digest: str
    since: int
    seen: int
    hostname: str = ""
    release: str = ""
    offers: tuple[Offer, ...] = ()
    projects: tuple[OfferedProject, ...] = ()
    why: str = NOT_YET
    node: str = ""

    def project(self, name: str) -> OfferedProject | None:
        """Return the project of this name; None if the machine offers none."""
        return next((each for each in self.projects if each.name == name), None)

    @property
    def peers(self) -> list[Peer]:
        return [offer.peer(self.name) for offer in self.offers]

    def heard(self, hello: Hello, now: int, node: str = "") -> JoinedMachine:
        """Return the machine with what it has said now. `node`: to which it is connected."""
        return replace(
            self,
            seen=now,
            hostname=hello.hostname,
            release=hello.release,
            offers=hello.offers,
            projects=hello.projects,
            node=node,
        )
