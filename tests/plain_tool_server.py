"""`python -m tests.plain_tool_server`: the small MCP server over stdio without an SDK, so that it starts
quickly. It answers like the server of the SDK (MCP 2025-11-25)."""

from __future__ import annotations

import inspect
import json
import sys
import threading
from typing import Any

from tests.small_tools import TOOLS, be_noisy

PROTOCOL = "2025-11-25"
METHOD_NOT_FOUND = -32601
_KINDS = {"int": "integer", "float": "number", "dict[str, object]": "object"}
_writing = threading.Lock()


def _described() -> list[dict[str, Any]]:
    found = []
    for tool in TOOLS:
        parameters = inspect.signature(tool).parameters.values()
        properties = {one.name: {"type": _KINDS[one.annotation]} for one in parameters}
        schema = {"type": "object", "properties": properties, "required": list(properties)}
        output = {"type": "object", "properties": {"result": {}}, "required": ["result"]}
        described = {"name": tool.__name__, "description": tool.__doc__}
        found.append({**described, "inputSchema": schema, "outputSchema": output})
    return found


def _called(params: dict[str, Any]) -> dict[str, Any]:
    tool = next(tool for tool in TOOLS if tool.__name__ == params["name"])
    try:
        result = tool(**(params.get("arguments") or {}))
    except ValueError as error:  # like the SDK: the model reads it
        return {"content": [{"type": "text", "text": f"Error: {error}"}], "isError": True}
    text = {"type": "text", "text": json.dumps(result)}
    return {"content": [text], "structuredContent": {"result": result}, "isError": False}


def _answer(call: dict[str, Any]) -> None:
    told: dict[str, Any] = {}
    match call["method"]:
        case "initialize":
            server = {"name": "small", "version": "1"}
            told["result"] = {
                "protocolVersion": PROTOCOL,
                "capabilities": {"tools": {}},
                "serverInfo": server,
            }
        case "ping":
            told["result"] = {}
        case "tools/list":
            told["result"] = {"tools": _described()}
        case "tools/call":
            told["result"] = _called(call["params"])
        case method:
            told["error"] = {"code": METHOD_NOT_FOUND, "message": f"unknown method {method}"}
    with _writing:
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", "id": call["id"], **told}) + "\n")
        sys.stdout.flush()


def main() -> None:
    if "noisy" in sys.argv:
        be_noisy()
    for line in sys.stdin:
        call = json.loads(line)
        if "id" in call and "method" in call:  # a slow call does not delay the next one
            threading.Thread(target=_answer, args=(call,), daemon=True).start()


if __name__ == "__main__":
    main()
