"""The fixtures of MCP's conformance suite that need input from the client before they answer (2026-07-28).

Such a tool answers with requests. The client calls it again with its responses to them, and with the state
that the answer had. The library seals that state, so that a client cannot change it.
"""

from __future__ import annotations

import json
from typing import Any

import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError

Context = ServerRequestContext[Any, Any]
Params = types.CallToolRequestParams | types.GetPromptRequestParams
Answer = types.CallToolResult | types.InputRequiredResult
PREFIX = "test_input_required_result_"
PROMPT = f"{PREFIX}prompt"
NEEDS_SAMPLING, STREAMS, LOGS = "test_missing_capability", "test_streaming_elicitation", "test_logging_tool"
ROUNDS = tuple(
    PREFIX + name
    for name in (
        "elicitation",
        "sampling",
        "list_roots",
        "request_state",
        "multiple_inputs",
        "multi_round",
        "tampered_state",
        "capabilities",
    )
)


def said(text: str) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(type="text", text=text)])


def question(message: str, name: str, kind: str = "string") -> types.ElicitRequest:
    schema = {"type": "object", "properties": {name: {"type": kind}}, "required": [name]}
    return types.ElicitRequest(params=types.ElicitRequestFormParams(message=message, requested_schema=schema))


def sample(prompt: str) -> types.CreateMessageRequest:
    message = types.SamplingMessage(role="user", content=types.TextContent(type="text", text=prompt))
    return types.CreateMessageRequest(
        params=types.CreateMessageRequestParams(messages=[message], max_tokens=100)
    )


def required(requests: types.InputRequests, state: Any = None) -> types.InputRequiredResult:
    kept = None if state is None else json.dumps(state)
    return types.InputRequiredResult(input_requests=requests, request_state=kept)


def responses(params: Params) -> types.InputResponses:
    return params.input_responses or {}


def given(params: Params, key: str, name: str) -> Any:
    """Return what the client answered to a question; None if it did not."""
    found = responses(params).get(key)
    return (found.content or {}).get(name) if isinstance(found, types.ElicitResult) else None


NAME = {"user_name": question("What is your name?", "name")}
CONFIRM = {"confirm": question("Please confirm", "ok", "boolean")}
CAPITAL: types.InputRequests = {"capital_question": sample("What is the capital of France?")}
ROOTS: types.InputRequests = {"client_roots": types.ListRootsRequest()}


async def call(context: Context, params: types.CallToolRequestParams) -> Answer:
    match params.name.removeprefix(PREFIX):
        case "elicitation":
            name = given(params, "user_name", "name")
            return said(f"Hello, {name}!") if name else required({**NAME})
        case "sampling":
            return said("Paris") if responses(params) else required(CAPITAL)
        case "list_roots":
            return said("the roots") if responses(params) else required(ROOTS)
        case "request_state":
            return said("state-ok") if params.request_state else required({**CONFIRM}, {"kind": "state"})
        case "multiple_inputs":
            wanted: types.InputRequests = {**NAME, **CAPITAL, **ROOTS}
            is_whole = params.request_state and wanted.keys() <= responses(params).keys()
            return said("all of them") if is_whole else required(wanted, {"kind": "several"})
        case "multi_round":
            return later_round(params)
        case "tampered_state":
            return said("integrity-ok") if params.request_state else required({**CONFIRM}, {"kind": "sealed"})
        case "capabilities":
            return within_capabilities(context, params)
        case _:
            return await diagnosed(context, params.name)


def later_round(params: types.CallToolRequestParams) -> Answer:
    state = json.loads(params.request_state or '{"round": 0}')
    name = given(params, "step1", "name") or state.get("name")
    if state["round"] == 2 and (color := given(params, "step2", "color")):
        return said(f"{name} likes {color}")
    if state["round"] >= 1 and name:
        asked = {"step2": question("Step 2: What is your favorite color?", "color")}
        return required({**asked}, {"round": 2, "name": name})
    return required({"step1": question("Step 1: What is your name?", "name")}, {"round": 1})


def within_capabilities(context: Context, params: types.CallToolRequestParams) -> Answer:
    """Ask only for what the client has said that it can do."""
    able = context.session.client_capabilities or types.ClientCapabilities()
    requests: types.InputRequests = {}
    if able.elicitation is not None:
        requests |= NAME
    if able.sampling is not None:
        requests |= CAPITAL
    return said("enough") if responses(params) or not requests else required(requests)


async def diagnosed(context: Context, name: str) -> types.CallToolResult:
    session = context.session
    if name == NEEDS_SAMPLING:
        sampling = types.ClientCapabilities(sampling=types.SamplingCapability())
        if not session.check_client_capability(sampling):
            data: dict[str, Any] = {"requiredCapabilities": {"sampling": {}}}
            raise MCPError(types.MISSING_REQUIRED_CLIENT_CAPABILITY, "this tool needs sampling", data)
    elif name == STREAMS:
        await session.report_progress(50, 100)
    elif name == LOGS:
        await session.send_log_message("info", "evaluated", related_request_id=context.request_id)
    else:
        raise MCPError(types.INVALID_PARAMS, f"Unknown tool: {name}")
    return said("done")


def prompt(params: types.GetPromptRequestParams) -> types.GetPromptResult | types.InputRequiredResult:
    context = given(params, "user_context", "context")
    if context is None:
        return required({"user_context": question("What context should the prompt use?", "context")})
    content = types.TextContent(type="text", text=f"Prompt with context: {context}")
    return types.GetPromptResult(messages=[types.PromptMessage(role="user", content=content)])
