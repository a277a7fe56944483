"""The protocols of all coding agents, by the name of their driver in the configuration.

Each is imported when its first conversation begins, because most hubs use only one or two of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from .protocol import AgentProtocol, Opening


def _claude(opening: Opening) -> AgentProtocol:
    from .claude.protocol import ClaudeCode

    return ClaudeCode(opening)


def _codex(opening: Opening) -> AgentProtocol:
    from .codex.protocol import Codex

    return Codex(opening)


def _acp(opening: Opening) -> AgentProtocol:
    from .acp.protocol import Acp

    return Acp(opening)


def _cursor(opening: Opening) -> AgentProtocol:
    from .acp.cursor import Cursor

    return Cursor(opening)


def _continue(opening: Opening) -> AgentProtocol:
    from .continue_dev.serve import ContinueServe

    return ContinueServe(opening)


PROTOCOLS: Mapping[str, Callable[[Opening], AgentProtocol]] = {
    "claude": _claude,
    "codex": _codex,
    "acp": _acp,
    "continue": _continue,
    "cursor": _cursor,
}
