"""The peers that the settings define: specialists and tools, built in or the user's own."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from rhetor.coding_agents import CODING_AGENTS
from rhetor.domain.peer import Capability, Peer, PeerKind
from rhetor.domain.permission import Rules
from rhetor.domain.program import Program
from rhetor.domain.quota import HANDOVER
from rhetor.domain.rules import PERSONS, RESERVED
from rhetor.drivers.base import require_pattern
from rhetor.specialists import BUILT_IN

from .sections import PermissionSettings, Settings, SpecialistSettings, ToolSettings
from .validation import InvalidValue, convert

STREAMING = "streaming"  # the one configured capability that is not a score


def peers_of(settings: Settings) -> list[Peer]:
    """Return the specialists (the built-in ones with the user's changes, and the user's own) and the tools.

    Raises:
        InvalidValue: values that are valid by themselves contradict each other.
    """
    tools = tools_of(settings)
    specialists = _specialists(settings)
    peers = [_specialist(name, own, settings) for name, own in specialists.items()]
    peers += [_tool(name, tool) for name, tool in tools.items()]
    _require_own_names(specialists, tools)
    for team, members in settings.teams.items():
        if unknown := [m for m in members if m not in specialists and m not in tools]:
            raise InvalidValue(("teams", team), f"no peer is called {unknown[0]!r}")
    _require_known_guests(settings, {peer.name: peer for peer in peers})
    rules = _rules(settings.permissions)
    return [replace(peer, permissions=peer.permissions + rules) for peer in peers]


def _require_known_guests(settings: Settings, peers: Mapping[str, Peer]) -> None:
    """Check that each `handover:PEER` names another peer."""
    entries: list[tuple[tuple[str, ...], str, str]] = [((), "", settings.quota.on_pause or "")]
    for section, names in (("specialists", settings.specialists), ("tools", settings.tools)):
        entries += [((section, name), name, peers[name].on_pause) for name in names if name in peers]
    for keys, name, on_pause in entries:
        other = on_pause.removeprefix(HANDOVER)
        if on_pause.startswith(HANDOVER) and (other not in peers or other == name):
            why = "is the peer itself" if other == name else "is not a peer"
            raise InvalidValue((*keys, "quota", "on_pause"), f"{other!r} {why}")


def tools_of(settings: Settings) -> dict[str, ToolSettings]:
    """Return the programs that can be launched by name: the known coding agents with the user's changes, and
    the user's own.

    Raises:
        InvalidValue: an entry has no executable.
    """
    found = {name: convert(entry, ToolSettings) for name, entry in CODING_AGENTS.items()}
    for name, own in settings.tools.items():
        if own is None:
            found.pop(name, None)
            continue
        if not own.executable:
            raise InvalidValue(("tools", name, "executable"), "must be set to the name or path of a program")
        found[name] = own
    return found


def _specialists(settings: Settings) -> dict[str, SpecialistSettings]:
    found = dict.fromkeys(BUILT_IN, SpecialistSettings())
    for name, own in settings.specialists.items():
        if own is None:
            found.pop(name, None)
        else:
            found[name] = own
    return found


def _require_own_names(specialists: Mapping[str, object], tools: Mapping[str, object]) -> None:
    own = [("specialists", name) for name in specialists if name not in BUILT_IN]
    own += [("tools", name) for name in tools if name not in CODING_AGENTS]
    for keys in own:
        if keys[1] in RESERVED:
            raise InvalidValue(keys, "this is the name of a command; choose another one")
        if keys[1].casefold() in PERSONS:
            raise InvalidValue(keys, "this name could be mistaken for a person; choose another one")
    for name in tools:
        if name in specialists:
            raise InvalidValue(("tools", name), "a specialist has the same name; choose another one")


def _specialist(name: str, own: SpecialistSettings, settings: Settings) -> Peer:
    base = BUILT_IN.get(name)
    role = own.role or (base.role if base else "specialist")
    scores = own.capabilities if own.capabilities is not None else (base.capabilities if base else {})
    primary = own.primary if own.primary is not None else (base.primary if base else ())
    return Peer(
        name,
        PeerKind.SPECIALIST,
        "chat",
        own.description or role,
        role,
        own.prompt or (base.prompt if base else f"You are {name}, {role}."),
        own.model or settings.models.default,
        tuple(_capability(c, score, c in primary) for c, score in scores.items()),
        own.mcp_servers,
        permissions=_rules(own.permissions),
        on_pause=own.quota.on_pause or "",
    )


def _tool(name: str, own: ToolSettings) -> Peer:
    try:
        require_pattern(own.prompt)
    except ValueError as error:
        raise InvalidValue(("tools", name, "prompt"), f"must be a regular expression: {error}") from error
    program = Program(
        (own.executable, *own.args),
        own.cwd,
        own.delimiter,
        own.protocol,
        own.prompt,
        own.on_exit,
        own.install,
    )
    scores = {c: score for c, score in own.capabilities.items() if c != STREAMING}
    return Peer(
        name,
        PeerKind.TOOL,
        own.driver,
        own.description or own.display_name or own.executable,
        capabilities=tuple(_capability(c, score, c in own.primary) for c, score in scores.items()),
        program=program,
        display_name=own.display_name,
        streams=own.capabilities.get(STREAMING) is not False,
        permissions=_rules(own.permissions),
        on_pause=own.quota.on_pause or "",
    )


def _rules(own: PermissionSettings) -> Rules:
    return Rules(own.allow, own.ask, own.deny)


def _capability(name: str, score: float | bool, primary: bool) -> Capability:
    return Capability(name.replace("_", "-"), float(score), primary)
