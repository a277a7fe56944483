"""The MCP server: what the library calls, and how the hub's results and errors become its answers.

Everything here needs the library, which takes half a second to import. It is loaded for the first client.
"""

from __future__ import annotations

from typing import Any

import mcp_types as types
import msgspec
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from rhetor.errors import NotFound, RhetorError

from . import resources
from .arguments import schema
from .caller import McpCaller, Outcome, Report
from .calling import called
from .tools import BY_NAME, TOOLS

RESOURCE_NOT_FOUND = -32002  # up to 2025-11-25; later revisions use INVALID_PARAMS
JSON = "application/json"
INSTRUCTIONS = """\
rhetor is a hub in which every AI is a named peer: specialists, coding agents, wrapped programs, teams.
List the peers with list_peers, or find one with find_capability. Ask one with ask_peer. Use create_session
first if it should remember earlier messages. run_line passes answers from one peer to the next."""
Context = ServerRequestContext[Any, Any]


def build(version: str) -> Server[Any]:
    """Return the server that serves all clients of the hub."""
    server: Server[Any] = Server(
        "rhetor",
        version=version,
        title="rhetor",
        description="A hub in which every AI is a named peer",
        instructions=INSTRUCTIONS,
        get_tool_input_schema=SCHEMAS.get,
        on_list_tools=_list_tools,
        on_call_tool=_call_tool,
        on_list_resources=_list_resources,
        on_list_resource_templates=_list_templates,
        on_read_resource=_read_resource,
        on_list_prompts=_list_prompts,
        on_get_prompt=_get_prompt,
    )
    server.middleware.clear()  # it traces each message for OpenTelemetry, which the hub does not use
    return server


SCHEMAS = {tool.name: schema(tool.arguments) for tool in TOOLS}
LISTED = types.ListToolsResult(
    tools=[
        types.Tool(
            name=tool.name,
            title=tool.title,
            description=tool.description,
            input_schema=SCHEMAS[tool.name],
            annotations=types.ToolAnnotations(
                read_only_hint=not tool.changes,
                destructive_hint=tool.name == "cancel_session",
                open_world_hint=tool.changes,
            ),
        )
        for tool in TOOLS
    ]
)


async def _list_tools(context: Context, params: Any) -> types.ListToolsResult:
    return LISTED


async def _call_tool(context: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
    if params.name not in BY_NAME:
        raise MCPError(types.INVALID_PARAMS, f"Unknown tool: {params.name[:100]}")
    return _result(await called(_caller(context), params.name, params.arguments))


def _result(outcome: Outcome) -> types.CallToolResult:
    return types.CallToolResult(
        content=[types.TextContent(type="text", text=outcome.text)],
        structured_content=msgspec.to_builtins(outcome.data),
        is_error=outcome.is_error,
    )


class HubTools:
    """The same tools for requests that the library does not see."""

    names = BY_NAME.keys()
    listed = LISTED

    async def call(
        self, caller: McpCaller | None, name: str, arguments: dict[str, Any], report: Report | None
    ) -> dict[str, Any]:
        assert caller is not None, "the route is not public"
        outcome = await called(McpCaller(caller.who, caller.node, report), name, arguments)
        content = [{"type": "text", "text": outcome.text}]
        return {"content": content, "structuredContent": outcome.data, "isError": outcome.is_error}


async def _list_resources(context: Context, params: Any) -> types.ListResourcesResult:
    found = resources.RESOURCES.items()
    return types.ListResourcesResult(
        resources=[
            types.Resource(uri=uri, name=name, description=text, mime_type=JSON)
            for uri, (name, text) in found
        ]
    )


async def _list_templates(context: Context, params: Any) -> types.ListResourceTemplatesResult:
    template = types.ResourceTemplate(
        uri_template=resources.SESSION,
        name="session",
        description="One session, with its messages",
        mime_type=JSON,
    )
    return types.ListResourceTemplatesResult(resource_templates=[template])


async def _read_resource(
    context: Context, params: types.ReadResourceRequestParams
) -> types.ReadResourceResult:
    uri = str(params.uri)
    try:
        text = await resources.read(_caller(context), uri)
    except NotFound as error:
        is_modern = context.protocol_version in MODERN_PROTOCOL_VERSIONS
        code = types.INVALID_PARAMS if is_modern else RESOURCE_NOT_FOUND
        raise MCPError(code, error.detail, {"uri": uri}) from None
    except RhetorError as error:
        raise _refusal(error) from None
    return types.ReadResourceResult(contents=[types.TextResourceContents(uri=uri, mime_type=JSON, text=text)])


async def _list_prompts(context: Context, params: Any) -> types.ListPromptsResult:
    message = types.PromptArgument(name="message", description="What to ask", required=False)
    return types.ListPromptsResult(
        prompts=[
            types.Prompt(name=peer.name, title=peer.title, description=peer.description, arguments=[message])
            for peer in resources.specialists(_caller(context))
        ]
    )


async def _get_prompt(context: Context, params: types.GetPromptRequestParams) -> types.GetPromptResult:
    given = params.arguments or {}
    try:
        about, text = resources.prompt_of(_caller(context), params.name, given.get("message", ""))
    except NotFound as error:
        raise _refusal(error) from None
    content = types.TextContent(type="text", text=text)
    return types.GetPromptResult(
        description=about, messages=[types.PromptMessage(role="user", content=content)]
    )


def _refusal(error: RhetorError) -> MCPError:
    return MCPError(error.rpc, error.detail, msgspec.to_builtins({**error.data, "code": error.code}))


def _caller(context: Context) -> McpCaller:
    """Return who sent the request: what the transport says of it, with a way to report progress."""
    request: Any = context.request
    known: McpCaller = request if isinstance(request, McpCaller) else request.scope["state"]["mcp.caller"]
    if (context.meta or {}).get("progress_token") is None:
        return known
    return McpCaller(known.who, known.node, _reporter(context))


def _reporter(context: Context) -> Report:
    count = 0

    async def report(text: str) -> None:
        nonlocal count
        count += 1
        await context.session.report_progress(count, message=text)

    return report
