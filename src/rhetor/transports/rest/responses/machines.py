"""Machines that have joined."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from .common import Time


class MachineProject(Struct):
    """A folder in which agents of the machine may work. `path`: null without the scope admin."""

    name: str
    path: str | None


class Machine(Struct):
    """A machine that has joined. `since`: when `status` changed; `seen_at`: when it was last connected.
    `release`: the version of its `rhetor`. `peers`: the names of what it offers."""

    name: str
    status: Literal["online", "offline"]
    evidence: str
    since: Time
    seen_at: Time
    joined_at: Time
    hostname: str
    release: str
    peers: list[str]
    projects: list[MachineProject]


class Machines(Struct):
    machines: list[Machine]


class MachineRemoved(Struct):
    name: str
    status: Literal["removed"]
