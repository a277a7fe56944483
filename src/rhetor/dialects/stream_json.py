"""The objects of Claude Code's stream-json, made from the events of any peer.

Front ends that were written for Claude Code show these objects. For Claude Code itself, its own lines are
sent instead. An unknown number is null, never 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

Object = dict[str, Any]


def init(session_id: str, peer: str, model: str | None) -> Object:
    """Return the line that begins a turn."""
    return {
        "type": "system",
        "subtype": "init",
        "session_id": session_id,
        "model": model or peer,
        "cwd": "",
        "tools": [],
        "mcp_servers": [],
        "slash_commands": [],
        "permissionMode": "default",
        "apiKeySource": "none",
    }


def text_block(text: str) -> Object:
    return {"type": "text", "text": text}


def thinking_block(text: str) -> Object:
    return {"type": "thinking", "thinking": text, "signature": ""}


def tool_use_block(call_id: str, name: str, arguments: Any) -> Object:
    input = arguments if isinstance(arguments, dict) else {"arguments": arguments}
    return {"type": "tool_use", "id": call_id, "name": name, "input": input}


def assistant(session_id: str, id: str, model: str, content: Sequence[Object]) -> Object:
    """Return the line of one message of the model, or of a part of it. `id`: of the line."""
    message: Object = {
        "id": id,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {},
    }
    return {"type": "assistant", "message": message, "parent_tool_use_id": None, "session_id": session_id}


def tool_result(session_id: str, call_id: str, result: Any, is_error: bool) -> Object:
    """Return the line of a tool's result."""
    block = {
        "type": "tool_result",
        "tool_use_id": call_id,
        "content": _content(result),
        "is_error": is_error,
    }
    message = {"role": "user", "content": [block]}
    return {"type": "user", "message": message, "parent_tool_use_id": None, "session_id": session_id}


def _content(result: Any) -> str | list[Any]:
    """Return a result as content: text, or blocks if it consists of them."""
    if isinstance(result, str):
        return result
    if isinstance(result, list) and all(
        isinstance(b, dict) and isinstance(b.get("type"), str) for b in result
    ):
        return result
    return msgspec.json.encode(result).decode()


def success(
    session_id: str,
    text: str,
    finish_reason: str,
    usage: Mapping[str, Any] | None,
    cost: str | None,
    seconds: float,
) -> Object:
    """Return the last line of a turn that completed."""
    return {
        **_result(session_id, text, is_error=False, subtype="success"),
        "duration_ms": round(seconds * 1000),
        "duration_api_ms": round(seconds * 1000),
        "num_turns": 1,
        "stop_reason": finish_reason,
        "total_cost_usd": None if cost is None else float(cost),
        "usage": _usage(usage),
    }


def failure(session_id: str, detail: str) -> Object:
    """Return the last line of a turn that did not complete."""
    found = _result(session_id, detail, is_error=True, subtype="error_during_execution")
    unknown = {"duration_ms": None, "duration_api_ms": None, "num_turns": None, "total_cost_usd": None}
    return {**found, **unknown, "usage": {}, "errors": [detail]}


def _result(session_id: str, text: str, *, is_error: bool, subtype: str) -> Object:
    return {
        "type": "result",
        "subtype": subtype,
        "is_error": is_error,
        "result": text,
        "session_id": session_id,
    }


def _usage(usage: Mapping[str, Any] | None) -> Object:
    if usage is None:
        return {}
    found = {"input_tokens": usage["input_tokens"], "output_tokens": usage["output_tokens"]}
    cached = usage.get("cached_tokens")
    return found if cached is None else {**found, "cache_read_input_tokens": cached}
