"""A peer or session that the request names does not exist, is busy, or does not support the request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .base import INVALID_PARAMS, LIMIT_REACHED, TIMED_OUT, RhetorError

JSON_ANSWER = "response_schema"  # what `Unsupported` names if the answer cannot be JSON


class UnknownPeer(RhetorError):
    code, status, rpc = "unknown_peer", 404, INVALID_PARAMS

    def __init__(self, peer: str) -> None:
        super().__init__(f"no peer is called {peer!r}", peer=peer)


class NoCapablePeer(RhetorError):
    code, status, rpc = "no_capable_peer", 404, INVALID_PARAMS

    def __init__(self, capability: str) -> None:
        super().__init__(f"No AI found for capability: {capability}", capability=capability)


class UnknownTeam(UnknownPeer):
    code = "unknown_team"

    def __init__(self, team: str) -> None:
        RhetorError.__init__(self, f"no team is called {team!r}", team=team)


class UnknownModel(RhetorError):
    """No provider knows the model that the caller named; `data["hint"]` names one that exists."""

    code, status, rpc = "unknown_model", 422, INVALID_PARAMS


class NotFound(RhetorError):
    """A session, plan, turn or the like does not exist, or belongs to another caller. Callers cannot tell the
    two cases apart."""

    code, status, rpc, close = "not_found", 404, INVALID_PARAMS, 4003

    def __init__(self, kind: str, id: str) -> None:
        super().__init__(f"there is no {kind} {id!r}", kind=kind, id=id)


class SessionOver(RhetorError):
    """The session was stopped or has expired. It can still be read, but accepts no messages."""

    code, status, rpc = "session_over", 409, INVALID_PARAMS
    hint = "start a new session; this one can only be read"

    def __init__(self, session_id: str, state: str) -> None:
        super().__init__(f"session {session_id} is {state}", session_id=session_id, state=state)


class NameTaken(RhetorError):
    code, status, rpc = "name_taken", 409, INVALID_PARAMS
    hint = "choose another name"

    def __init__(self, kind: str, name: str) -> None:
        article = "an" if kind[:1] in "aeiou" else "a"
        super().__init__(f"{article} {kind} called {name!r} already exists", kind=kind, name=name)


class TeamConfigured(RhetorError):
    """The team is defined in the configuration and can be changed only there."""

    code, status, rpc = "team_configured", 409, INVALID_PARAMS

    def __init__(self, team: str) -> None:
        super().__init__(f"team {team!r} is defined in the configuration; change it there", team=team)


class ToolServerConfigured(RhetorError):
    """The MCP server is defined in the configuration and can be changed only there."""

    code, status, rpc = "tool_server_configured", 409, INVALID_PARAMS

    def __init__(self, server: str) -> None:
        super().__init__(
            f"the MCP server {server!r} is defined in the configuration; change it there", server=server
        )


class BudgetConfigured(RhetorError):
    """The budget is defined in the configuration and can be removed only there."""

    code, status, rpc = "budget_configured", 409, INVALID_PARAMS

    def __init__(self, budget: str) -> None:
        super().__init__(
            f"the budget {budget!r} is defined in the configuration; remove it there", budget=budget
        )


class TextOnly(RhetorError):
    """Binary content was sent to a peer that accepts text only. The content was not kept."""

    code, status, rpc = "text_only", 415, INVALID_PARAMS

    def __init__(self, peer: str) -> None:
        super().__init__(f"{peer} accepts text only, not binary content", peer=peer)


class Unsupported(RhetorError):
    """The peer, or its model, does not take a part of the message, or cannot give the answer that the message
    asks for. Nothing was sent. `data["unsupported"]` names it; `data["takes"]` lists what it takes."""

    code, status, rpc = "unsupported", 422, INVALID_PARAMS
    hint = "aish models shows what each model takes"

    def __init__(
        self, peer: str, by: str, unsupported: str, shown: str, takes: Sequence[str], hint: str = ""
    ) -> None:
        data = {"peer": peer, "by": by, "unsupported": unsupported, "takes": list(takes)}
        who = peer if by == peer else f"{by}, the model of {peer},"
        super().__init__(f"{who} {shown}", **data, **({"hint": hint} if hint else {}))


class PeerBusy(RhetorError):
    """A turn is running or queued, and the caller did not want to wait; or too many messages are queued."""

    code, status, rpc = "peer_busy", 409, LIMIT_REACHED
    retryable = True
    hint = "wait until it is idle, or send with if_busy: queue or interrupt (aish: --queue, --interrupt)"

    def __init__(
        self,
        peer: str,
        turn_id: str = "",
        why: str = "a message is queued",
        hint: str = hint,
        retry_after: float | None = None,
    ) -> None:
        why = f"with turn {turn_id}" if turn_id else f"({why})"
        also: dict[str, Any] = {"turn_id": turn_id} if turn_id else {}
        if retry_after is not None:
            also["retry_after"] = retry_after
        super().__init__(f"{peer} is busy {why}", peer=peer, hint=hint, **also)


class NotAnswered(RhetorError):
    """The answer was not complete within the time that the caller wanted to wait."""

    code, status, rpc = "answer_timeout", 504, TIMED_OUT
    retryable = True

    def __init__(self, peer: str, seconds: float, **data: Any) -> None:
        super().__init__(f"{peer} has not answered within {seconds:g} s", **data)


class ProgramMissing(RhetorError):
    """The program is not on the PATH; `data["hint"]`: how to install it."""

    code, status, rpc = "program_missing", 422, INVALID_PARAMS
    hint = "install it, or put it on the PATH"

    def __init__(self, executable: str, hint: str = "") -> None:
        detail = f"no program {executable!r} on the PATH"
        super().__init__(f"{detail}; {hint}" if hint else detail, executable=executable, hint=hint)


class ProgramRefused(RhetorError):
    """The operating system refused to start the program; `detail` says why."""

    code, status, rpc = "program_refused", 422, INVALID_PARAMS
    hint = "check that the program runs in a terminal, in the same folder"


class TranscriptUnreadable(RhetorError):
    """The file is not readable, or is not the transcript of a conversation."""

    code, status, rpc = "transcript_unreadable", 422, INVALID_PARAMS

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path} cannot be read: {reason}", path=path, reason=reason)


class NotRunning(RhetorError):
    """`is_configured`: the hub can start the peer's program; otherwise it was wrapped at a terminal."""

    code, status, rpc = "not_running", 409, INVALID_PARAMS
    hint = "wrap it again with aish ci-terminal or aish ci-tool"

    def __init__(self, peer: str, *, is_configured: bool = False) -> None:
        hint = f"start it with aish tools launch {peer}" if is_configured else self.hint
        super().__init__(f"no program is running for {peer}", peer=peer, hint=hint)


class ForkUnsupported(RhetorError):
    """The peer's program cannot continue a copy of a conversation."""

    code, status, rpc = "fork_unsupported", 409, INVALID_PARAMS
    hint = "start a new session with it"

    def __init__(self, peer: str) -> None:
        super().__init__(f"{peer} cannot continue a copy of a conversation", peer=peer)


class NoTerminal(RhetorError):
    """Only a program in a terminal can be attached to."""

    code, status, rpc = "no_terminal", 409, INVALID_PARAMS
    hint = "send it messages; only a program that was started in a terminal can be attached to"

    def __init__(self, peer: str) -> None:
        super().__init__(f"{peer} has no terminal", peer=peer)
