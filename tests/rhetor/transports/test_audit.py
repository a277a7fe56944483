"""Every approval and every admin action leaves entries in the audit, whichever API it comes through."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from rhetor.auth.policy import Policy
from rhetor.domain.audit import AuditEntry
from rhetor.domain.command import AnswerPermission, SendMessage
from rhetor.domain.event import PermissionAsked, PermissionOption, Position
from rhetor.domain.output import Done, Permission, Text
from rhetor.domain.permission import Rules
from rhetor.domain.principal import ADMIN, APPROVE, Principal
from rhetor.errors import Forbidden
from rhetor.hub.audited import AUDITED
from rhetor.hub.core.limits import Limits
from rhetor.hub.core.refusals import EACH
from rhetor.hub.use_cases import USE_CASES
from rhetor.routes import TABLE
from rhetor.settings import ToolSettings
from rhetor.store.base import follow
from rhetor.transports.server.router import CHANGING, Route
from tests.rhetor.hub.auditing import entries, said
from tests.rhetor.transports.socketio.hub_talker import talking
from tests.scripted import PEERS, Script
from tests.served import CONSOLE, PROGRAM_ENVIRONMENT, TOKEN, Served, served, with_programs

pytestmark = pytest.mark.anyio
BEARER = {"authorization": f"Bearer {TOKEN}"}
PRIVILEGED = {Policy.APPROVE, Policy.ADMIN, Policy.PERSON, Policy.OWNER}
OPTIONS = (PermissionOption("yes", "Allow", "allow_once"), PermissionOption("no", "Deny", "reject_once"))
PROGRAM = {"name": "box", "kind": "stdio", "argv": ["/no/such/program", "--token=hunter22"], "cwd": "/"}
# what is sent to each route that only some callers may use, or that starts or ends a program: the action and
# the target of its entries, and the body. The one that stops the hub is the last.
REQUESTS: dict[str, tuple[str, str, Any]] = {
    "PUT /api/v2/environment": ("environment.replace", "", {"variables": {"OPENAI_API_KEY": "sk-secret-1"}}),
    "POST /api/v2/reload": ("hub.reload", "", None),
    "POST /api/v2/data-keys/rotate": ("data_key.rotate", "", None),
    "POST /api/v2/setup/try": ("model.try", "", {"model": "openai/gpt-x"}),
    "POST /api/v2/models/local": ("model.pull", "smollm2", {"model": "smollm2"}),
    "POST /api/v2/models/local/{name}/use": ("model.use", "x", None),
    "DELETE /api/v2/models/local/{name}": ("model.remove", "x", None),
    "PUT /api/v2/keys/{name}": ("key.set", "x", {"key": "hunter22"}),
    "DELETE /api/v2/keys/{name}": ("key.remove", "x", None),
    "PATCH /api/v2/config": ("config.change", "", {"hub": {"port": 1}}),
    "PUT /api/v2/config/file": ("config.replace", "", {"text": "hub: {port: 1}"}),
    "POST /api/v2/specialists": ("specialist.add", "", {"name": "critic", "prompt": "You are hunter22."}),
    "PATCH /api/v2/specialists/{name}": ("specialist.change", "x", {"role": "critic"}),
    "DELETE /api/v2/specialists/{name}": ("specialist.remove", "x", None),
    "POST /api/auth/code": ("login.code", "", None),
    "POST /api/auth/logout": ("logout", "", None),
    "DELETE /api/v2/logins": ("login.end_others", "", None),
    "DELETE /api/v2/logins/{id}": ("login.end", "x", None),
    "POST /api/auth/token": ("token.issue", "", {"scopes": ["read"]}),
    "POST /api/v2/tokens": ("token.issue", "phone", {"name": "phone", "scopes": ["read"]}),
    "DELETE /api/v2/tokens/{name}": ("token.revoke", "x", None),
    "POST /api/v2/signing-keys/rotate": ("signing_key.rotate", "", None),
    "POST /api/v2/sessions/{id}/permissions/{request_id}": ("permission.answer", "x/x", {"option_id": "yes"}),
    "POST /api/v2/imports": ("sessions.import", "claude-code", {"tool": "claude-code", "dry_run": True}),
    "POST /api/projects": ("project.create", "site", {"name": "site", "path": "/no/such/folder"}),
    "PUT /api/projects/{id}/settings": ("project.change", "x", {"permissions": {"allow": ["Read"]}}),
    "POST /api/mcp-servers": ("tool_server.add", "tools", {"name": "tools", "command": ["/no/such/program"]}),
    "DELETE /api/mcp-servers/{name}": ("tool_server.remove", "x", None),
    "POST /api/mcp-servers/{name}/test": ("tool_server.test", "x", None),
    "DELETE /api/v2/machines/{name}": ("machine.remove", "x", None),
    "PUT /api/v2/budgets/{name}": ("budget.set", "global", {"tokens_per_day": 1000}),
    "DELETE /api/v2/budgets/{name}": ("budget.remove", "global", None),
    "POST /api/v2/notify/test": ("notify.test", "", {}),
    "POST /api/v2/programs": ("program.announce", "box", PROGRAM),
    "DELETE /api/v2/programs/{name}": ("program.end", "x", None),
    "POST /api/v2/tools/{name}/launch": ("program.launch", "box", {}),
    "POST /api/v2/tools/{name}/terminate": ("program.end", "x", {}),
    "POST /api/ai/socket/groups": ("team.create", "pair", {"name": "pair", "members": ["apollo"]}),
    "PUT /api/ai/socket/groups/{name}": ("team.change", "x", {"members": ["apollo"]}),
    "DELETE /api/ai/socket/groups/{name}": ("team.remove", "x", None),
    "POST /api/v2/audit": ("backup", "/x", {"action": "backup", "target": "/x"}),
    "POST /api/v2/shutdown": ("hub.stop", "", None),
}
# two need a configured program; the third only writes an entry
ELSEWHERE = {"POST /api/v2/audit", "POST /api/v2/tools/{name}/launch", "POST /api/v2/tools/{name}/terminate"}

NO_ACTIONS = {"POST /api/v2/prompt"}  # a line that the owner typed; what it does is audited


def test_every_route_that_only_some_callers_may_use_is_tested_here() -> None:
    rows = [row for row in TABLE if isinstance(row, Route) and row.policy in PRIVILEGED]
    changing = {f"{row.method} {row.path}" for row in rows if row.method in CHANGING}
    assert changing - REQUESTS.keys() == NO_ACTIONS
    assert {f"{row.method} {row.path}" for row in TABLE} >= REQUESTS.keys()
    others = [row.path for row in TABLE if not isinstance(row, Route) and row.policy in PRIVILEGED]
    assert others == []  # a WebSocket or an app of this kind needs a test of its own


def test_every_command_that_only_some_callers_may_execute_has_entries() -> None:
    privileged = {kind for kind, use_case in USE_CASES.items() if use_case.scope in (APPROVE, ADMIN)}
    assert {kind for kind in privileged if kind not in AUDITED or AUDITED[kind].is_message} == set()
    assert AUDITED.keys() <= USE_CASES.keys()


async def test_every_privileged_route_leaves_an_entry_before_the_action_and_one_after_it() -> None:
    async with with_programs(by_itself=True) as home:
        for request, (action, target, body) in REQUESTS.items():
            if request in ELSEWHERE:
                continue
            method, path = request.split()
            path = path.replace("budgets/{name}", "budgets/global")
            before = len(await entries(home.hub.state))
            answer = await home.ask(method, re.sub(r"{\w+}", "x", path), body)
            added = (await entries(home.hub.state))[before:]
            assert len(added) == 2, (request, answer.text)
            begun, ended = added
            assert (request, begun.action, begun.target, begun.outcome) == (request, action, target, "begun")
            assert (begun.subject, begun.api, begun.credential) == ("me", "rest", "socket")
            assert begun.address == f"unix pid {os.getpid()}"
            outcome = "done" if answer.status < 400 else answer.json["code"]
            assert (request, ended.of, ended.outcome) == (request, before + 1, outcome)
        text = str(await entries(home.hub.state))
        assert "variables OPENAI_API_KEY" in text
        assert "sk-secret-1" not in text
        assert "hunter22" not in text


async def test_starting_and_ending_programs_and_typing_into_them_is_in_the_audit() -> None:
    tools = {"cat": ToolSettings(driver="stdio", executable="cat")}
    async with with_programs(tools=tools) as home:
        await home.announce("box", "cat", kind="terminal")
        for mode in ("r", "rw"):
            async with home.local.ws_connect(f"http://localhost/ws/attach/box?mode={mode}") as socket:
                await socket.receive()
        assert (await home.ask("DELETE", "/api/v2/programs/box?force=true")).status == 200
        assert (await home.ask("POST", "/api/v2/tools/cat/launch", {})).status == 200
        assert (await home.ask("POST", "/api/v2/tools/cat/terminate", {})).status == 200
        assert [(e.action, e.target, e.detail, e.api) for e in await entries(home.hub.state)][::2] == [
            ("program.announce", "box", "cat", "rest"),
            ("program.attach", "box", "", "ws.attach"),
            ("program.end", "box", "force", "rest"),
            ("program.launch", "cat", "", "rest"),
            ("program.end", "cat", "", "rest"),
        ]
        assert PROGRAM_ENVIRONMENT["PATH"] not in str(await entries(home.hub.state))


async def test_keys_from_a_read_only_terminal_are_refused() -> None:
    async with with_programs() as home:
        await home.announce("box", "cat", kind="terminal")
        async with home.local.ws_connect("http://localhost/ws/attach/box?mode=r") as socket:
            await socket.send_bytes(b"rm -rf\r")
            while not socket.closed:
                await socket.receive()
            assert socket.close_code == 4003
        *_, entry = [entry async for entry in _seen(home, 3)]
        assert (entry.subject, entry.action, entry.target, entry.outcome, entry.api) == (
            *("me", "request", "WEBSOCKET /ws/attach/box"),
            *("forbidden", "ws.attach"),
        )


def asking() -> tuple[Script, asyncio.Event]:
    answered = asyncio.Event()
    request = Permission("r_1", "Bash", {"command": "rm -rf"}, OPTIONS)
    return [request, answered, Text("fine"), Done()], answered


async def waiting(home: Served) -> str:
    """Send a message whose turn asks for permission; return the session."""
    me = Principal.person("me", local=True)
    accepted = await home.hub.execute(me, SendMessage("hi", "apollo", context_window=2))
    await home.seen(accepted.session_id, lambda payload: isinstance(payload, PermissionAsked))
    return str(accepted.session_id)


async def by_rest(home: Served, session: str) -> None:
    path = f"/api/v2/sessions/{session}/permissions/r_1"
    assert (await home.ask_tcp("POST", path, BEARER, json={"option_id": "no"})).status == 200


async def by_socketio(home: Served, session: str) -> None:
    async with talking(home) as talker:
        answer = await talker.request("permission", session_id=session, request_id="r_1", option_id="no")
        assert answer["request_id"] == "r_1"


@pytest.mark.parametrize(("answer", "api"), [(by_rest, "rest"), (by_socketio, "socketio")])
async def test_an_approval_through_any_api_is_in_the_audit_without_what_was_asked(
    tmp_path: Path, answer: Callable[[Served, str], Awaitable[None]], api: str
) -> None:
    script, answered = asking()
    async with served(tmp_path, script) as home:
        session = await waiting(home)
        await answer(home, session)
        begun, ended = await entries(home.hub.state)
        assert (begun.subject, begun.action, begun.target, begun.detail, begun.api, begun.credential) == (
            *("me", "permission.answer", f"{session}/r_1"),
            *("no", api, "token"),
        )
        assert re.fullmatch(r"127\.0\.0\.1:\d+", begun.address)
        assert (ended.of, ended.outcome) == (1, "done")
        assert "rm -rf" not in str(await entries(home.hub.state))
        answered.set()


@pytest.mark.parametrize(
    ("rules", "rule", "chosen"),
    [
        (Rules(allow=("Ba*",)), "rule:allow:Ba*", "yes"),
        (Rules(allow=("*",), deny=("Bash",)), "rule:deny:Bash", "no"),
    ],
)
async def test_an_answer_of_a_rule_is_in_the_audit_with_the_rule_before_the_peer_has_it(
    tmp_path: Path, rules: Rules, rule: str, chosen: str
) -> None:
    script, answered = asking()
    async with served(tmp_path, script) as home:
        home.hub.state.peers.configure([replace(peer, permissions=rules) for peer in PEERS], {})
        me = Principal.person("me", local=True)
        accepted = await home.hub.execute(me, SendMessage("hi", "apollo", context_window=2))
        (entry,) = [e async for e in _seen(home, 1)]
        assert (entry.subject, entry.target, entry.detail, entry.outcome) == (
            *(rule, f"{accepted.session_id}/r_1"),
            *(f"apollo Bash: {chosen}", "done"),
        )
        answered.set()


async def _seen(home: Served, count: int) -> AsyncIterator[AuditEntry]:
    """Yield so many entries, as they are written."""
    store = home.hub.state.store
    await store.commit("audit", [])  # the stream must exist before it is followed
    head = await store.head("audit")
    assert head is not None
    async for records in follow(store, "audit", Position(head.epoch, 0)):
        for record in records:
            entry = record.event.payload
            assert isinstance(entry, AuditEntry)
            yield entry
            if record.seq == count:
                return


async def test_an_invalid_credential_is_in_the_audit_a_few_times(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        guess = {"authorization": f"Bearer {'0' * 64}"}
        for _ in range(3 * EACH):
            assert (await home.ask_tcp("GET", "/api/v2/ai", guess)).status in (401, 429)
        assert (await home.ask_tcp("GET", "/api/v2/ai")).status == 401  # no credential, so not an attempt
        console = {"host": f"{CONSOLE}:{home.port}"}
        assert (await home.ask_tcp("GET", f"/login?code={'0' * 43}", headers=console)).status == 429
        found = [entry async for entry in _seen(home, EACH)]
        assert {(e.subject, e.action, e.outcome) for e in found} == {("", "login", "unauthenticated")}
        assert all(entry.address.startswith("127.0.0.1") for entry in found)
        assert len(await entries(home.hub.state)) == EACH
        assert "0000" not in str(await entries(home.hub.state))


async def test_a_forbidden_call_is_in_the_audit_once_with_who_made_it(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        assert (await home.ask_tcp("POST", "/api/v2/shutdown", BEARER)).status == 403
        evil = {**BEARER, "origin": "http://evil.example"}
        assert (await home.ask_tcp("GET", "/api/v2/ai", evil)).status == 403
        agent = Principal.agent("claude", local=True, address="unix pid 99", credential="socket")
        with pytest.raises(Forbidden):
            await home.hub.execute(agent, AnswerPermission("s_1", "r_1", "yes"))
        found = [entry async for entry in _seen(home, 3)]
        assert [(e.subject, e.action, e.target, e.outcome) for e in found] == [
            ("me", "request", "POST /api/v2/shutdown", "forbidden"),
            ("", "request", "GET /api/v2/ai", "forbidden"),
            ("agent:claude", "permission.answer", "", "forbidden"),
        ]


async def test_a_login_is_in_the_audit_before_the_browser_has_its_cookie(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        code = (await home.ask("POST", "/api/auth/code")).json["code"]
        console = {"host": f"{CONSOLE}:{home.port}"}
        answer = await home.ask_tcp("GET", f"/login?code={code}", headers=console)
        assert answer.status == 303
        *_, login = await entries(home.hub.state)
        assert (login.subject, login.action, login.credential, login.outcome) == (
            "me",
            "login",
            "code",
            "done",
        )
        assert code not in str(await entries(home.hub.state))


async def test_messages_have_entries_only_if_the_setting_says_so_and_never_their_content(
    tmp_path: Path,
) -> None:
    body = {"content": "a secret plan", "context_window": 2}
    async with served(tmp_path) as home:
        await home.ask("POST", "/api/v2/ai/apollo/message", body)
        assert await entries(home.hub.state) == []
        assert await home.hub.state.store.head("audit") is None
        home.hub.state.limits = Limits(audit_messages=True)
        await home.ask("POST", "/api/v2/ai/apollo/message", body)
        assert await said(home.hub.state) == [
            ("me", "message.send", "apollo", "begun"),
            ("me", "message.send", "apollo", "done"),
        ]
        assert "secret plan" not in str(await entries(home.hub.state))


async def test_a_command_beside_the_hub_has_an_entry_that_only_the_owner_can_write(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        body = {"action": "backup", "target": "/mnt/monday.backup"}
        assert (await home.ask("POST", "/api/v2/audit", body)).status == 200
        (entry,) = await entries(home.hub.state)
        assert (entry.action, entry.target, entry.outcome) == ("backup", "/mnt/monday.backup", "started")
        assert (await home.ask_tcp("POST", "/api/v2/audit", BEARER, json=body)).status == 403
        assert (await home.ask("POST", "/api/v2/audit", {"action": "hub.reload"})).status == 422


async def test_refreshing_and_revoking_a_token_is_in_the_audit_with_its_subject(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        tokens = (await home.ask("POST", "/api/auth/token", {"scopes": ["read"]})).json
        new = await home.ask_tcp("POST", "/api/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
        assert new.status == 200, new.text
        gone = await home.ask_tcp("POST", "/api/auth/revoke", json={"token": new.json["refresh_token"]})
        assert gone.status == 204
        found = (await entries(home.hub.state))[2:]
        assert [(e.subject, e.action, e.outcome) for e in found] == [
            ("me", "token.refresh", "done"),
            ("me", "token.revoke", "begun"),
            ("me", "token.revoke", "done"),
        ]
        text = str(await entries(home.hub.state))
        assert not any(secret in text for secret in (tokens["refresh_token"], tokens["access_token"]))


async def test_the_audit_is_read_in_pages_by_an_admin_and_not_as_a_stream(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        for name in ("one", "two", "three"):
            await home.hub.state.audit.note(Principal("casey"), "team.create", f"{name}\r\nx")
        page = (await home.ask("GET", "/api/v2/audit?limit=2")).json["entries"]
        assert [(entry["number"], entry["target"]) for entry in page] == [(2, "two\r\nx"), (3, "three\r\nx")]
        before = (await home.ask("GET", "/api/v2/audit?before=2")).json["entries"]
        assert [entry["number"] for entry in before] == [1]
        after = (await home.ask("GET", "/api/v2/audit?after=0&limit=1")).json["entries"]
        assert after == before
        assert after[0] | {"chain": "", "at": ""} == {
            "node": "",
            "number": 1,
            "at": "",
            "subject": "casey",
            "credential": "",
            "address": "",
            "api": "",
            "action": "team.create",
            "target": "one\r\nx",
            "detail": "",
            "outcome": "done",
            "of": None,
            "chain": "",
        }
        assert (await home.ask("GET", "/api/v2/sessions/audit/events")).status == 404
        assert (await home.ask("GET", "/api/v2/audit?limit=0")).status == 422
