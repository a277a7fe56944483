"""The arguments and lines that Claude Code gets, and the parts of its lines that mean the same everywhere."""

from __future__ import annotations

from typing import Any

import msgspec

from rhetor.domain.output import Permission, Plain, ToolResult
from rhetor.drivers.agents.protocol import Opening
from rhetor.drivers.agents.records import rows, table, text

from .permissions import options_of, questions_of

ARGUMENTS = (
    *("-p", "--input-format", "stream-json", "--output-format", "stream-json", "--verbose"),
    *("--include-partial-messages", "--permission-prompt-tool", "stdio", "--replay-user-messages"),
)
_PLAIN = (
    *("--tools", "", "--strict-mcp-config", "--disable-slash-commands", "--no-session-persistence"),
    *("--setting-sources", "user", "--settings", '{"disableAllHooks": true}'),
)


def arguments(opening: Opening) -> tuple[str, ...]:
    """Return the arguments of the program."""
    known = text(opening.memory, "session_id")
    if known.startswith("-"):
        known = ""  # it would be read as an option
    resume = ("--resume", known) if known else ()
    fork = ("--fork-session", *_until(opening)) if known and opening.fork else ()
    plain = () if opening.persona is None else (*_PLAIN, f"--system-prompt={opening.persona}")
    return (
        *ARGUMENTS,
        *plain,
        *resume,
        *fork,
        *(("--model", opening.model) if opening.model else ()),
    )


def _until(opening: Opening) -> tuple[str, ...]:
    """Return the arguments that leave out what was said in the conversation after it left its memory."""
    last = text(opening.memory, "last")
    return ("--resume-session-at", last) if last and not last.startswith("-") else ()


def refusal(request_id: str) -> bytes:
    """Return the answer to a request that we do not support."""
    error = {"subtype": "error", "request_id": request_id, "error": "not supported"}
    return msgspec.json.encode({"type": "control_response", "response": error})


def permission(id: str, request: dict[str, Any]) -> Permission:
    options, questions = options_of(request), questions_of(request)
    return Permission(id, text(request, "tool_name"), request, options, questions=questions)


def order(request_id: str, what: str) -> bytes:
    request = {"type": "control_request", "request_id": request_id, "request": {"subtype": what}}
    return msgspec.json.encode(request)


def response(request_id: str, answer: dict[str, Any]) -> bytes:
    response = {"subtype": "success", "request_id": request_id, "response": answer}
    return msgspec.json.encode({"type": "control_response", "response": response})


def results_in(found: dict[str, Any]) -> list[Plain]:
    """Return the tool results in a `user` line; its other text comes from the user or the program itself."""
    content = rows(table(found, "message"), "content")
    return [result_of(block) for block in content if text(block, "type").endswith("tool_result")]


def result_of(block: dict[str, Any]) -> ToolResult:
    return ToolResult(text(block, "tool_use_id"), block.get("content"), block.get("is_error") is True)
