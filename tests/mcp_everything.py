"""`python -m tests.mcp_everything --port N`: the fixtures of MCP's conformance suite at `/mcp`, tokenless.

They run on the hub's own transport: its gate, its router and its endpoint. tests/interop/test_mcp.py runs the
suite. The cases that fail, and the reason of each, are in tests/interop/mcp_conformance.yaml.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.server.subscriptions import (
    InMemorySubscriptionBus,
    ListenHandler,
    PromptsListChanged,
    ToolsListChanged,
)
from mcp.shared.exceptions import MCPError

from rhetor.auth.access_tokens import AccessTokens
from rhetor.auth.addresses import Addresses
from rhetor.auth.limits import Attempts
from rhetor.auth.logins import Logins
from rhetor.auth.policy import Policy
from rhetor.auth.process_tree import Processes
from rhetor.auth.tokens import TokenFile
from rhetor.auth.verifier import Verifier
from rhetor.hub.catalog.identities import load_keys
from rhetor.hub.core.ids import wall_clock
from rhetor.hub.opening import open_hub
from rhetor.hub.peers import Peers
from rhetor.store.memory import MemoryStore
from rhetor.transports.mcp.caller import McpCaller, Report
from rhetor.transports.mcp.endpoint import Endpoint
from rhetor.transports.server.gate import Gate
from rhetor.transports.server.node import Node
from rhetor.transports.server.router import AppRoute, Router
from rhetor.transports.server.server import HubServer, tcp_listener
from tests import mcp_rounds as rounds
from tests.served import CONSOLE, KnownProviders

Context = ServerRequestContext[Any, Any]
CHANGES = InMemorySubscriptionBus()
# an image of one pixel and a sound of one sample
IMAGE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
AUDIO = base64.b64encode(
    b"RIFF\x26\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x40\x1f\0\0\x80\x3e\0\0\2\0\x10\0data\2\0\0\0\0\0"
).decode()
TEXT: dict[str, Any] = {"type": "object", "properties": {}}
JSON_2020 = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {"name": {"type": "string"}, "address": {"$ref": "#/$defs/address"}},
    "additionalProperties": False,
    "allOf": [{"anyOf": [{"required": ["name"]}, {"required": ["address"]}]}],
    "if": {"properties": {"name": {"const": "x"}}, "required": ["name"]},
    "then": {"required": ["name"]},
    "else": {},
}


def text(said: str) -> types.TextContent:
    return types.TextContent(type="text", text=said)


def said(message: str) -> types.CallToolResult:
    return types.CallToolResult(content=[text(message)])


def image() -> types.ImageContent:
    return types.ImageContent(type="image", data=IMAGE, mime_type="image/png")


def resource(uri: str, said: str, kind: str = "text/plain") -> types.EmbeddedResource:
    contents = types.TextResourceContents(uri=uri, mime_type=kind, text=said)
    return types.EmbeddedResource(type="resource", resource=contents)


def one_of(name: str, *options: tuple[str, str]) -> list[dict[str, str]]:
    return [{name: value, "title": title} for value, title in options]


DEFAULTS = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
        "verified": {"type": "boolean", "default": True},
    },
    "required": [],
}
WORDS = [("option1", "First Option"), ("option2", "Second Option"), ("option3", "Third Option")]
VALUES = [("value1", "First Choice"), ("value2", "Second Choice"), ("value3", "Third Choice")]
ENUMS = {
    "type": "object",
    "properties": {
        "untitledSingle": {"type": "string", "enum": [value for value, _ in WORDS]},
        "titledSingle": {"type": "string", "oneOf": one_of("const", *VALUES)},
        "legacyEnum": {
            "type": "string",
            "enum": ["opt1", "opt2", "opt3"],
            "enumNames": ["Option One", "Option Two", "Option Three"],
        },
        "untitledMulti": {
            "type": "array",
            "items": {"type": "string", "enum": [value for value, _ in WORDS]},
        },
        "titledMulti": {"type": "array", "items": {"anyOf": one_of("const", *VALUES)}},
    },
    "required": [],
}


async def log(context: Context, *lines: str) -> None:
    for line in lines:
        await context.session.send_log_message("info", line, related_request_id=context.request_id)
        await asyncio.sleep(0.05)


async def sampled(context: Context, prompt: str) -> str:
    asked = types.SamplingMessage(role="user", content=text(prompt))
    answer = await context.session.create_message(
        messages=[asked], max_tokens=100, related_request_id=context.request_id
    )
    return f"LLM response: {getattr(answer.content, 'text', '')}"


async def elicited(context: Context, message: str, schema: dict[str, Any], words: str) -> str:
    found = await context.session.elicit_form(message, schema, context.request_id)
    return f"{words}: action={found.action}, content={json.dumps(found.content or {})}"


RESPONSE = {
    "type": "object",
    "properties": {"username": {"type": "string"}, "email": {"type": "string"}},
    "required": ["username", "email"],
}


async def call(context: Context, params: types.CallToolRequestParams) -> rounds.Answer:
    """Call a tool as the library does: those that use the session of the client, and all others."""
    given = params.arguments or {}
    match params.name:
        case "test_tool_with_logging":
            await log(context, "Tool execution started", "Tool processing data", "Tool execution completed")
            return said("Tool with logging executed successfully")
        case "test_x_mcp_header":
            return said(f"Region: {given.get('region', '')}")
        case "test_sampling":
            return said(await sampled(context, given["prompt"]))
        case "test_elicitation":
            return said(await elicited(context, given["message"], RESPONSE, "User response"))
        case "test_elicitation_sep1034_defaults":
            return said(
                await elicited(context, "Please review and update", DEFAULTS, "Elicitation completed")
            )
        case "test_elicitation_sep1330_enums":
            return said(await elicited(context, "Please select options", ENUMS, "Elicitation completed"))
        case "test_trigger_tool_change":
            await CHANGES.publish(ToolsListChanged())
            return said("The tools have changed.")
        case "test_trigger_prompt_change":
            await CHANGES.publish(PromptsListChanged())
            return said("The prompts have changed.")
        case name if name in PLAIN_TOOLS:
            return await plain(name, given, partial(progress, context))
        case _:
            return await rounds.call(context, params)


async def plain(name: str, given: dict[str, Any], report: Report) -> types.CallToolResult:
    """Call a tool that needs nothing of the client but its arguments."""
    mixed = resource("test://mixed-content-resource", '{"test":"data","value":123}', "application/json")
    content: list[Any] = []
    match name:
        case "test_simple_text":
            return said("This is a simple text response for testing.")
        case "test_image_content":
            content = [image()]
        case "test_audio_content":
            content = [types.AudioContent(type="audio", data=AUDIO, mime_type="audio/wav")]
        case "test_embedded_resource":
            content = [resource("test://embedded-resource", "This is an embedded resource content.")]
        case "test_multiple_content_types":
            content = [text("Multiple content types test:"), image(), mixed]
        case "test_tool_with_progress":
            for done in (0, 50, 100):
                await report(f"Completed step {done} of 100")
                await asyncio.sleep(0.05)
            return said("Tool with progress executed successfully")
        case "test_error_handling":
            wrong = text("This tool intentionally returns an error for testing")
            return types.CallToolResult(content=[wrong], is_error=True)
        case "json_schema_2020_12_tool":
            return said(f"JSON Schema 2020-12 tool called with: {json.dumps(given)}")
    return types.CallToolResult(content=content)


async def progress(context: Context, message: str) -> None:
    done = next(int(word) for word in message.split() if word.isdigit())
    await context.session.report_progress(done, 100, message)


PLAIN_TOOLS = frozenset(
    {
        "test_simple_text",
        "test_image_content",
        "test_audio_content",
        "test_embedded_resource",
        "test_multiple_content_types",
        "test_tool_with_progress",
        "test_error_handling",
        "json_schema_2020_12_tool",
    }
)


class DirectTools:
    """The tools that the hub's transport calls without the library, as it does with the hub's own."""

    names = PLAIN_TOOLS

    @property
    def listed(self) -> types.ListToolsResult:
        return LISTED

    async def call(
        self, caller: McpCaller | None, name: str, arguments: dict[str, Any], report: Report | None
    ) -> dict[str, Any]:
        result = await plain(name, arguments, report or unreported)
        return result.model_dump(by_alias=True, mode="json", exclude_none=True)


async def unreported(message: str) -> None:
    """Drop the progress, which the client did not ask for."""


def needs(*names: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {name: {"type": "string"} for name in names},
        "required": [*names],
    }


TOOLS = {
    **dict.fromkeys(
        (
            "test_simple_text",
            "test_image_content",
            "test_audio_content",
            "test_embedded_resource",
            "test_multiple_content_types",
            "test_tool_with_logging",
            "test_tool_with_progress",
            "test_error_handling",
            "test_elicitation_sep1034_defaults",
            "test_elicitation_sep1330_enums",
            "test_trigger_tool_change",
            "test_trigger_prompt_change",
            rounds.NEEDS_SAMPLING,
            rounds.STREAMS,
            rounds.LOGS,
            *rounds.ROUNDS,
        ),
        TEXT,
    ),
    "test_sampling": needs("prompt"),
    "test_elicitation": needs("message"),
    "json_schema_2020_12_tool": JSON_2020,
    "test_x_mcp_header": {
        "type": "object",
        "properties": {"region": {"type": "string", "x-mcp-header": "Region"}},
        "required": ["region"],
    },
}
RESOURCES = {
    "test://static-text": ("text/plain", "This is the content of the static text resource."),
    "test://static-binary": ("image/png", IMAGE),
    "test://watched-resource": ("text/plain", "Watched resource content"),
}


LISTED = types.ListToolsResult(
    tools=[
        types.Tool(name=name, description=f"The fixture {name}", input_schema=schema)
        for name, schema in TOOLS.items()
    ]
)


async def list_tools(context: Context, params: Any) -> types.ListToolsResult:
    return LISTED


async def list_resources(context: Context, params: Any) -> types.ListResourcesResult:
    found = [
        types.Resource(uri=uri, name=uri.partition("//")[2], description=f"The fixture {uri}", mime_type=kind)
        for uri, (kind, _) in RESOURCES.items()
    ]
    return types.ListResourcesResult(resources=found)


async def list_templates(context: Context, params: Any) -> types.ListResourceTemplatesResult:
    template = types.ResourceTemplate(
        uri_template="test://template/{id}/data", name="template", mime_type="application/json"
    )
    return types.ListResourceTemplatesResult(resource_templates=[template])


async def read(context: Context, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
    uri = str(params.uri)
    kind, said = RESOURCES.get(uri, ("", ""))
    contents: types.TextResourceContents | types.BlobResourceContents
    if kind == "image/png":
        contents = types.BlobResourceContents(uri=uri, mime_type=kind, blob=said)
    elif kind:
        contents = types.TextResourceContents(uri=uri, mime_type=kind, text=said)
    elif uri.startswith("test://template/") and uri.endswith("/data"):
        id = uri.removeprefix("test://template/").removesuffix("/data")
        body = json.dumps({"id": id, "templateTest": True, "data": f"Data for ID: {id}"})
        contents = types.TextResourceContents(uri=uri, mime_type="application/json", text=body)
    else:
        modern = context.protocol_version >= "2026"
        raise MCPError(types.INVALID_PARAMS if modern else -32002, "Resource not found", {"uri": uri})
    return types.ReadResourceResult(contents=[contents])


PROMPTS = {
    "test_simple_prompt": (),
    "test_prompt_with_arguments": ("arg1", "arg2"),
    "test_prompt_with_embedded_resource": ("resourceUri",),
    "test_prompt_with_image": (),
    rounds.PROMPT: (),
}


async def list_prompts(context: Context, params: Any) -> types.ListPromptsResult:
    def arguments(names: tuple[str, ...]) -> list[types.PromptArgument]:
        return [types.PromptArgument(name=name, description=name, required=True) for name in names]

    return types.ListPromptsResult(
        prompts=[
            types.Prompt(name=name, description=f"The fixture {name}", arguments=arguments(names))
            for name, names in PROMPTS.items()
        ]
    )


async def get_prompt(
    context: Context, params: types.GetPromptRequestParams
) -> types.GetPromptResult | types.InputRequiredResult:
    given = params.arguments or {}
    content: list[Any]
    match params.name:
        case "test_simple_prompt":
            content = [text("This is a simple prompt for testing.")]
        case "test_prompt_with_arguments":
            content = [text(f"Prompt with arguments: arg1='{given['arg1']}', arg2='{given['arg2']}'")]
        case "test_prompt_with_embedded_resource":
            found = resource(given["resourceUri"], "Embedded resource content for testing.")
            content = [found, text("Please process the embedded resource above.")]
        case "test_prompt_with_image":
            content = [image(), text("Please analyze the image above.")]
        case rounds.PROMPT:
            return rounds.prompt(params)
        case _:
            raise MCPError(types.INVALID_PARAMS, f"Unknown prompt: {params.name}")
    return types.GetPromptResult(messages=[types.PromptMessage(role="user", content=c) for c in content])


async def nothing(context: Context, params: Any) -> types.EmptyResult:
    return types.EmptyResult()


async def complete(context: Context, params: Any) -> types.CompleteResult:
    return types.CompleteResult(completion=types.Completion(values=[], total=0, has_more=False))


def build(version: str) -> Server[Any]:
    server: Server[Any] = Server(
        "everything",
        version=version,
        on_list_tools=list_tools,
        on_call_tool=call,
        on_list_resources=list_resources,
        on_list_resource_templates=list_templates,
        on_read_resource=read,
        on_subscribe_resource=nothing,
        on_unsubscribe_resource=nothing,
        on_list_prompts=list_prompts,
        on_get_prompt=get_prompt,
        on_completion=complete,
        on_set_logging_level=nothing,
        on_subscriptions_listen=ListenHandler(CHANGES),
    )
    server.middleware[:] = [RequestStateBoundary(RequestStateSecurity.ephemeral(), default_audience=None)]
    return server


async def main(port: int) -> None:
    table = (AppRoute("/mcp", Policy.PUBLIC, lambda node: Endpoint(node, build, DirectTools()), "mcp"),)
    with tempfile.TemporaryDirectory() as folder, tcp_listener("127.0.0.1", port, or_any=False) as tcp:
        async with open_hub(MemoryStore(clock=wall_clock), Peers([]), {}) as hub:
            node = Node(hub, KnownProviders(), Logins(), "0", folder, "me", 0, False, lambda: None)
            node.addresses = Addresses(tcp.getsockname()[1], CONSOLE)
            access = AccessTokens(
                hub.state.identities, partial(load_keys, hub.state.identities, hub.state.store)
            )
            gate = Gate(
                Router(table, node),
                addresses=lambda: node.addresses,  # type: ignore[arg-type, return-value]
                verifier=Verifier(TokenFile(Path(folder) / "token"), "me", access),
                logins=node.logins,
                tally=node.tally,
                attempts=Attempts(),
                owner="me",
                rates=node.byte_rates,
                public=frozenset({"/mcp"}),
                held=node.held,
                processes=Processes(dict),
            )

            def listening() -> None:
                sys.stdout.write(f"http://127.0.0.1:{tcp.getsockname()[1]}/mcp\n")
                sys.stdout.flush()

            await HubServer(gate, listening, hub.aclose).serve([tcp])


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    sys.exit(asyncio.run(main(parser.parse_args().port)))
