"""The scope that each route and each command needs, and what a caller without it gets."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args

import pytest
from websockets.asyncio.client import ClientConnection, connect

from rhetor.auth.policy import Policy
from rhetor.domain.command import Command
from rhetor.domain.principal import ADMIN, ALL, APPROVE, READ, SEND
from rhetor.hub.use_cases import USE_CASES
from rhetor.routes import TABLE
from rhetor.transports.server.router import AppRoute, Route, SocketRoute
from tests.callers import caller
from tests.rhetor.transports.socketio.hub_talker import connecting
from tests.served import Served, served

pytestmark = pytest.mark.anyio
SCOPED = {Policy.READ, Policy.SEND, Policy.APPROVE, Policy.ADMIN}
JSON_RPC = {"accept": "application/json, text/event-stream", "content-type": "application/json"}


def test_every_command_has_a_scope() -> None:
    assert USE_CASES.keys() == set(get_args(Command))
    assert {use_case.scope for use_case in USE_CASES.values()} <= ALL


def test_what_changes_the_hub_for_everybody_needs_admin() -> None:
    """A mistake in these rows would let a guest change how the hub works for others."""
    commands = {kind.__name__ for kind, use_case in USE_CASES.items() if use_case.scope == ADMIN}
    assert commands == {
        "AddToolServer",
        "AnnounceProgram",
        "ChangeProject",
        "ChangeTeam",
        "CreateProject",
        "DropTeam",
        "ImportSessions",
        "MakeTeam",
        "PutBudget",
        "RemoveBudget",
        "RemoveMachine",
        "RemoveToolServer",
        "RevokeToken",
        "RotateSigningKey",
    }
    assert {kind.__name__ for kind, use_case in USE_CASES.items() if use_case.scope == APPROVE} == {
        "AnswerPermission"
    }


def test_only_harmless_routes_that_change_something_need_no_more_than_read() -> None:
    changing = [row for row in TABLE if isinstance(row, Route) and row.method != "GET"]
    assert {row.path for row in changing if row.policy is Policy.READ} == {
        "/api/v2/wait",
        "/api/v2/plans/preview",
        "/api/v2/plans/complete",
    }
    assert {row.path for row in changing if row.policy is Policy.PERSON} == {
        "/api/auth/code",
        "/api/auth/logout",
        "/api/auth/token",
        "/api/v2/logins",  # of the caller's own browsers
        "/api/v2/logins/{id}",
    }


async def test_every_route_refuses_a_caller_without_its_scope_and_names_it(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        without = {policy: await caller(home, "guest", ALL - {policy.value}) for policy in SCOPED}
        for row in TABLE:
            if row.policy not in SCOPED:
                continue
            path = re.sub(r"\{\w+\}", "x", row.path)
            headers = dict(without[row.policy])
            method = {"*": "POST", "WEBSOCKET": "GET"}.get(row.method, row.method)
            if isinstance(row, SocketRoute):
                headers |= {
                    "connection": "Upgrade",
                    "upgrade": "websocket",
                    "sec-websocket-version": "13",
                    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
                }
            answer = await home.ask_tcp(method, path, headers)
            problem = answer.json
            if row.path.startswith("/v1/"):  # in the shape of the vendor
                assert (row.path, problem["error"].get("code", "forbidden")) == (row.path, "forbidden")
                problem = {
                    "code": "forbidden",
                    "detail": problem["error"]["message"],
                    "scope": row.policy.value,
                }
            found = (problem["code"], problem["scope"])
            assert (row.path, answer.status, found) == (row.path, 403, ("forbidden", row.policy.value))
            assert row.policy.value in problem["detail"]


async def test_owner_routes_refuse_every_other_caller(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        for row in TABLE:
            if isinstance(row, Route) and row.policy is Policy.OWNER:
                answer = await home.ask_tcp(row.method, row.path, await caller(home, "guest"))
                assert (row.path, answer.status) == (row.path, 403)


async def test_a_scope_that_the_client_declares_is_ignored(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        reader = await caller(home, "guest", {READ})
        claims = {**reader, "x-scope": "send", "scope": "send", "x-scopes": "send admin"}
        body = {"specialist_id": "apollo", "scopes": ["send"], "scope": "send", "metadata": {"scope": "send"}}
        answer = await home.ask_tcp("POST", "/api/v2/sessions?scope=send&scopes=send", claims, json=body)
        assert (answer.status, answer.json["scope"]) == (403, SEND)
        async with connecting(home, **reader) as talker:
            answer_to_connect = await talker.connect({"scopes": ["send"], "scope": "send"})
            assert "sid" in answer_to_connect
            refused = await talker.request("send", session_id="s", content="hi", scopes=["send"])
            assert (refused["code"], refused["scope"]) == ("forbidden", SEND)


async def _call(socket: ClientConnection, method: str, params: dict[str, Any]) -> dict[str, Any]:
    await socket.send(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}))
    while "id" not in (said := json.loads(await socket.recv())):
        pass
    found: dict[str, Any] = said
    return found


async def test_websockets_check_the_scope_of_each_command(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        reader = await caller(home, "guest", {READ})
        url = f"ws://127.0.0.1:{home.port}"
        async with connect(f"{url}/ws", additional_headers=reader, proxy=None) as socket:
            refused = (await _call(socket, "startSession", {"userId": "u"}))["error"]
            assert refused["data"]["scope"] == SEND
        async with connect(f"{url}/ws/ai/apollo", additional_headers=reader, proxy=None) as socket:
            refused = (await _call(socket, "chat", {"message": "hi"}))["error"]
            assert refused["data"]["scope"] == SEND
        async with connect(f"{url}/ws/socket/rhetor", additional_headers=reader, proxy=None) as socket:
            await socket.send(json.dumps({"type": "write", "content": "hi"}))
            assert json.loads(await socket.recv())["scope"] == SEND


@pytest.mark.long
async def test_mcp_checks_the_scope_of_each_tool(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        call = {"name": "create_session", "arguments": {"peer": "apollo"}}
        found = await _tool(home, await caller(home, "guest", {READ}), call)
        assert found["structuredContent"]["scope"] == SEND


async def _tool(home: Served, headers: dict[str, str], call: dict[str, Any]) -> dict[str, Any]:
    version = "2026-07-28"
    own = "io.modelcontextprotocol/"
    meta = {f"{own}protocolVersion": version, f"{own}clientCapabilities": {}}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {**call, "_meta": meta}}
    named = {"mcp-protocol-version": version, "mcp-method": "tools/call", "mcp-name": call["name"]}
    answer = await home.ask_tcp("POST", "/mcp", {**headers, **JSON_RPC, **named}, json=message)
    result: dict[str, Any] = answer.json["result"]
    return result


async def test_socketio_needs_read_to_connect_and_approve_to_answer(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        async with connecting(home, **await caller(home, "guest", {SEND})) as talker:
            assert (await talker.connect())["data"]["scope"] == READ
        async with connecting(home, **await caller(home, "guest", {READ, SEND})) as talker:
            assert "sid" in await talker.connect()
            answer = await talker.request("permission", session_id="s", request_id="r", option_id="o")
            assert (answer["code"], answer["scope"]) == ("forbidden", APPROVE)


@pytest.mark.parametrize(
    ("scopes", "mode", "lacking"),
    [({READ}, "rw", SEND), ({READ, SEND}, "rw", APPROVE), ({READ, SEND, APPROVE}, "rw", None)],
)
async def test_typing_into_a_terminal_needs_send_and_approve(
    tmp_path: Path, scopes: set[str], mode: str, lacking: str | None
) -> None:
    async with served(tmp_path) as home:
        upgrade = {
            "connection": "Upgrade",
            "upgrade": "websocket",
            "sec-websocket-version": "13",
            "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
        }
        path = f"/ws/attach/apollo?mode={mode}"
        answer = await home.ask_tcp("GET", path, {**await caller(home, "guest", scopes), **upgrade})
        assert (answer.json.get("scope"), answer.json["code"]) == (
            (lacking, "forbidden") if lacking else (None, "not_running")
        )


def test_only_the_public_routes_are_apps_or_pages_without_a_scope() -> None:
    unscoped = {row.path for row in TABLE if row.policy not in SCOPED}
    assert {row.path for row in TABLE if isinstance(row, AppRoute)} & unscoped == {"/socket.io/"}
    sockets = {row.path for row in TABLE if isinstance(row, SocketRoute)}
    assert sockets & unscoped == {"/ws/node"}  # which has a scope of its own; see tests/machines
