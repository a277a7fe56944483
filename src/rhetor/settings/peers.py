"""The peers that the settings make: specialists and tools, built in or the user's own."""

from __future__ import annotations

from dataclasses import replace

from rhetor.coding_agents import CODING_AGENTS
from rhetor.domain.peer import Capability, Peer, PeerKind
from rhetor.domain.permission import Rules
from rhetor.domain.program import Program
from rhetor.domain.rules import RESERVED
from rhetor.errors import InvalidSettings
from rhetor.specialists import BUILT_IN

from .sections import PermissionSettings, Settings, SpecialistSettings, ToolSettings

STREAMING = "streaming"  # of the configured capabilities the one that is no score


def peers_of(settings: Settings) -> list[Peer]:
    """The specialists: built-in ones, with what the user changed, without what the user took away; and the
    tools.

    Raises:
        InvalidSettings: a team has a member that is no peer, a specialist a server that is not configured,
            or a score is out of its range.
    """
    names = [*BUILT_IN, *(name for name in settings.specialists if name not in BUILT_IN)]
    kept = [n for n in names if not (n in settings.specialists and settings.specialists[n] is None)]
    peers = [
        _specialist(name, settings.specialists.get(name) or SpecialistSettings(), settings) for name in kept
    ]
    for peer in peers:
        if missing := [name for name in peer.mcp_servers if name not in settings.mcp_servers]:
            raise InvalidSettings(f"specialists.{peer.name}.mcp_servers: mcp_servers has no {missing[0]!r}")
    tools = tools_of(settings)
    peers += [_tool(name, tool) for name, tool in tools.items()]
    peers = [replace(peer, permissions=peer.permissions + _rules(settings.permissions)) for peer in peers]
    own = [("specialists", name) for name in kept if name not in BUILT_IN]
    own += [("tools", name) for name in tools if name not in CODING_AGENTS]
    if taken := [(section, name) for section, name in own if name in RESERVED]:
        section, name = taken[0]
        raise InvalidSettings(f"{section}.{name}: it is the name of a command")
    if twice := [name for name in tools if name in kept]:
        raise InvalidSettings(f"tools.{twice[0]}: there is a specialist of that name")
    for team, members in settings.teams.items():
        if unknown := [m for m in members if m not in kept and m not in tools]:
            raise InvalidSettings(f"teams.{team}: no peer is called {unknown[0]!r}")
    return peers


def tools_of(settings: Settings) -> dict[str, ToolSettings]:
    """The programs that can be launched by name: the coding agents that are known, with what the user
    changed, without what the user took away; and the user's own.

    Raises:
        InvalidSettings: one has no executable.
    """
    found = {name: ToolSettings(**entry) for name, entry in CODING_AGENTS.items()}
    for name, own in settings.tools.items():
        if own is None:
            found.pop(name, None)
            continue
        base = found.get(name)
        said = {key: getattr(own, key) for key in own.model_fields_set}
        found[name] = base.model_copy(update=said) if base else own
        if not found[name].executable:
            raise InvalidSettings(f"tools.{name}.executable: it is missing")
    return found


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
        tuple(_capability(f"specialists.{name}", c, score, c in primary) for c, score in scores.items()),
        own.mcp_servers,
        permissions=_rules(own.permissions),
    )


def _tool(name: str, own: ToolSettings) -> Peer:
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
    capabilities = tuple(
        _capability(f"tools.{name}", c, score, c in own.primary) for c, score in scores.items()
    )
    return Peer(
        name,
        PeerKind.TOOL,
        own.driver,
        own.description or own.display_name or own.executable,
        capabilities=capabilities,
        program=program,
        display_name=own.display_name,
        streams=own.capabilities.get(STREAMING) is not False,
        permissions=_rules(own.permissions),
    )


def _rules(own: PermissionSettings) -> Rules:
    return Rules(own.allow, own.ask, own.deny)


def _capability(where: str, name: str, score: float | bool, primary: bool) -> Capability:
    value = 1.0 if score is True else float(score)
    if not 0 <= value <= 1:
        raise InvalidSettings(f"{where}.capabilities.{name}: a score is from 0 to 1, not {value}")
    return Capability(name.replace("_", "-"), value, primary)
