"""Principals: the callers of the hub, and the scopes that say what they may do."""

from __future__ import annotations

from msgspec import Struct

from rhetor.errors import Forbidden

from .event import Cause

READ = "read"
SEND = "send"
APPROVE = "approve"
ADMIN = "admin"
NODE = "node"  # of machines that join; such a caller has no other scope
AGENT = "agent"  # of callers that were started by a peer's program; such a caller has no other scope
ALL = frozenset({READ, SEND, APPROVE, ADMIN})  # of the hub's owner
AGENT_MAY = frozenset({READ, SEND})  # in its own sessions

UNKNOWN_PROGRAM = "unknown"  # the peer of a program's process if the program is no longer known
UNIDENTIFIED = "unidentified"  # the same, if nothing is known about the caller's process

_AGENT_PREFIX = f"{AGENT}:"
_AGENT_SCOPES = frozenset({AGENT})


class Answering(Struct, frozen=True, gc=False):
    """What a peer's program is answering while it calls the hub. `via`: the peers that its question has
    passed through, with the peer itself. `cause`: of messages that follow from it."""

    via: tuple[str, ...]
    cause: Cause | None


class Principal(Struct, frozen=True, gc=False):
    """The caller of a command. Two principals with the same `subject` are the same caller.

    `scopes`: from the verified credential, never from what the client declares. `local`: the caller uses the
    owner's Unix socket. `address`: where the call comes from, as in `unix pid 123` and `127.0.0.1:5555`.
    `credential`: the kind and name of the credential, as in `token`, `socket`, `cookie`, `jwt NAME` and
    `cookie jwt NAME` (a login that was requested with that token); never the secret itself. `answering`: of a
    peer's program that runs at another node; only that node knows it.
    """

    subject: str
    scopes: frozenset[str] = frozenset()
    local: bool = False
    address: str = ""
    credential: str = ""
    answering: Answering | None = None

    @classmethod
    def person(
        cls, subject: str, *, local: bool = False, address: str = "", credential: str = ""
    ) -> Principal:
        """Return a person who has all scopes, as the hub's owner does."""
        return cls(subject, ALL, local, address, credential)

    @classmethod
    def agent(cls, peer: str, *, local: bool, address: str = "", credential: str = "") -> Principal:
        """Return the caller that a process of this peer's program is."""
        return cls(agent_subject(peer), _AGENT_SCOPES, local, address, credential)

    def has(self, scope: str) -> bool:
        """Return whether the caller may do what needs `scope`. A peer's program may do what needs `read` or
        `send`."""
        return scope in self.scopes or (AGENT in self.scopes and scope in AGENT_MAY)

    def require(self, scope: str) -> None:
        """Check that the caller may do what needs `scope`.

        Raises:
            Forbidden: it may not.
        """
        if self.has(scope):
            return
        if self.is_agent:
            raise Forbidden.to_agents(self.subject)
        if self.is_machine:
            raise Forbidden.to_machines(self.subject)
        raise Forbidden.without(scope)

    @property
    def is_agent(self) -> bool:
        """Whether a peer's program is the caller.

        Such a caller cannot approve requests, start programs, or see the sessions of others.
        """
        return AGENT in self.scopes

    @property
    def is_machine(self) -> bool:
        """Whether a machine that joins the hub is the caller. It may do nothing else."""
        return NODE in self.scopes

    @property
    def is_limited(self) -> bool:
        """Whether the limits of callers apply. They do not on the owner's Unix socket, except to a peer's
        program."""
        return not self.local or AGENT in self.scopes

    @property
    def peer(self) -> str | None:
        """The peer whose program is the caller; None for a person."""
        return self.subject.removeprefix(_AGENT_PREFIX) if self.is_agent else None


def is_agent_subject(subject: str) -> bool:
    """Return whether a subject is that of the programs of a peer."""
    return subject.startswith(_AGENT_PREFIX)


def agent_subject(peer: str) -> str:
    """Return the subject of the programs of a peer. No person has such a subject."""
    return f"{_AGENT_PREFIX}{peer}"
