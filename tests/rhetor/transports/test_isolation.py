"""What belongs to one caller does not exist for another, on every API.

The routes, the commands of Socket.IO and the tools of MCP are taken from their tables, so a new one that
is not covered here fails.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from rhetor.auth.policy import Policy
from rhetor.dialects.subscriptions import METHODS
from rhetor.domain.event import PermissionOption
from rhetor.domain.output import Done, Permission, Text
from rhetor.domain.principal import ADMIN, ALL
from rhetor.hub.core.limits import Limits
from rhetor.routes import TABLE
from rhetor.settings import ToolSettings
from rhetor.transports.console.table import VIEWS
from rhetor.transports.mcp.tools import TOOLS
from rhetor.transports.server.router import Route
from tests.callers import caller
from tests.rhetor.transports.socketio.hub_talker import connecting
from tests.served import Served, served, with_programs

pytestmark = pytest.mark.anyio
CANARY = "canary-7d2f"
JSON_RPC = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
Ids = dict[str, str]
WATCHES = {method for method in METHODS if method.startswith("watch")}
SHARED = {  # exists once for the whole hub; what a caller sees of it must not contain anything of others
    "/api/v2/context/{peer}",
    "/api/v2/context/{peer}/stage",
    "/api/v2/context/{peer}/promote",
    "/api/v2/purposes/{peer}",
    "/api/ai/socket/groups/{name}",
    "/api/mcp-servers/{name}",
    "/api/mcp-servers/{name}/test",
    "/api/v2/capabilities/{name}",
    "/api/v2/budgets/{name}",
    "/api/v2/specialists/{name}",
    "/api/v2/keys/{name}",
    "/api/v2/machines/{name}",
    "/api/v2/models/local",
    "/api/v2/models/local/{name}",
    "/api/v2/models/local/{name}/use",
    "/api/v2/specialists",
}
# the caller gets one of its own under the name, or is told that the name is taken
UPSERTS = {
    ("PUT", "/api/v2/forwards/{source}"),
    ("PUT", "/api/v2/terminals/{name}"),
    ("PUT", "/api/v2/routes/{name}"),
    ("PUT", "/api/v2/aliases/{name}"),
    ("PUT", "/api/v2/schedules/{name}"),
}


async def belongings(home: Served, folder: Path) -> Ids:
    """Let the owner create one of everything, and return the ids."""

    async def ask(method: str, path: str, json: Any = None) -> Any:
        answer = await home.ask(method, path, json)
        assert answer.status < 300, (path, answer.text)
        return answer.json

    site = folder / "site"
    site.mkdir()
    await home.announce("box", "sh", "-c", f"cat; : {CANARY}")
    await ask("POST", "/api/projects", {"name": "site", "path": str(site)})
    opened = {"specialist_id": "apollo", "context_window": 4, "name": f"{CANARY}-name", "cwd": str(site)}
    session = (await ask("POST", "/api/v2/sessions", {**opened, "project_id": "site"}))["id"]
    asking = asyncio.create_task(home.ask("POST", f"/api/v2/sessions/{session}/message", {"message": CANARY}))
    await home.seen(session, lambda payload: payload.type == "permission.asked")
    other = (await ask("POST", "/api/v2/sessions", {"specialist_id": "apollo"}))["id"]
    said = await ask("POST", f"/api/v2/sessions/{other}/message", {"message": f"{CANARY} text"})
    first = (await ask("POST", f"/api/v2/sessions/{other}/checkpoint", {"name": CANARY}))["checkpoint_id"]
    second = (await ask("POST", f"/api/v2/sessions/{other}/checkpoint", {}))["checkpoint_id"]
    step = {"id": "a", "ai": "athena", "message": CANARY}
    plan = (
        await home.ask("POST", "/api/v2/plans", {"steps": [step]}, headers={"prefer": "respond-async"})
    ).json
    socket = (await ask("POST", "/api/ai/socket/create", {"ai_name": "apollo"}))["socket_id"]
    await ask("PUT", "/api/v2/terminals/desk", {})
    await ask("PUT", "/api/v2/forwards/apollo", {"to": "desk"})
    await ask("PUT", "/api/v2/routes/chain", {"hops": [{"ai": "apollo", "purpose": CANARY}]})
    await ask("PUT", "/api/v2/purposes/apollo", {"text": CANARY})
    await ask("POST", "/api/v2/context/apollo/stage", {"text": CANARY})
    await ask("PUT", "/api/v2/aliases/ours", {"command": f"apollo {CANARY}"})
    await ask("PUT", "/api/v2/schedules/daily", {"cron": "@yearly", "line": f"apollo {CANARY}"})
    await ask("POST", "/api/v2/inbox/apollo/new", {"text": CANARY})
    await ask("PUT", "/api/v2/budgets/caller.me", {"usd_per_day": "7"})
    response = await ask("POST", "/v1/responses", {"model": "athena", "input": CANARY})
    [blob] = await _blob(home)
    terminal = home.hub.state.routing_table.terminals["desk"].stream
    asking.add_done_callback(lambda _: None)
    return {
        "session": session,
        "other": other,
        "turn": said["turn_id"],
        "plan": plan["plan_id"],
        "a": first,
        "b": second,
        "socket": socket,
        "blob": blob,
        "response": response["id"],
        "terminal": terminal,
        "folder": str(site),
        "box": (await home.status("box"))["session_id"],
    }


async def _blob(home: Served) -> list[str]:
    from rhetor.domain.command import KeepBlob
    from rhetor.domain.principal import Principal
    from rhetor.hub.sessions.sockets import found_socket

    me = Principal.person("me", local=True)
    shared = await found_socket(home.hub.state, me, "team-chat-all")
    return [await home.hub.execute(me, KeepBlob(shared.session_id, "text/plain", CANARY.encode()))]


def _secrets(ids: Ids) -> list[str]:
    """Return what no answer to another caller may contain, besides what it has sent itself."""
    return [CANARY, *ids.values()]


def _path(row: Route, ids: Ids) -> str:
    """Return the path with the owner's ids."""
    known = {
        "/api/v2/plans/": {"id": ids["plan"]},
        "/api/v2/blobs/": {"id": ids["blob"]},
        "/api/v2/checkpoints/": {"a": ids["a"], "b": ids["b"]},
        "/api/v2/sessions/": {
            "id": ids["session"],
            "turn_id": ids["turn"],
            "request_id": "r1",
            "call_id": "call_1",
            "subject": "guest",
        },
        "/api/sessions/": {"id": ids["session"]},
        "/api/projects/": {"id": "site"},
        "/api/v2/ai/": {"id": "box"},
        "/api/v1/ai/": {"id": "box"},
        "/api/v2/programs/": {"name": "box"},
        "/api/v2/tools/": {"name": "box"},
        "/api/ai/socket/groups/": {"name": "reviewers"},
        "/api/ai/socket/": {"id": ids["socket"]},
        "/api/v2/aliases/": {"name": "ours"},
        "/api/v2/schedules/": {"name": "daily"},
        "/api/v2/inbox/": {"peer": "desk", "tray": "new"},
        "/api/v2/forwards/": {"source": "apollo"},
        "/api/v2/terminals/": {"name": "desk"},
        "/api/v2/routes/": {"name": "chain"},
        "/api/v2/context/": {"peer": "apollo"},
        "/api/v2/purposes/": {"peer": "apollo"},
        "/api/v2/budgets/": {"name": "caller.me"},
        "/api/v2/machines/": {"name": "build1"},
        "/api/v2/specialists/": {"name": "apollo"},
        "/api/v2/keys/": {"name": "openai"},
        "/api/v2/models/local/": {"name": "smollm2"},
        "/api/v2/capabilities/": {"name": "code-analysis"},
        "/api/mcp-servers/": {"name": "none"},
        "/peers/": {"id": "box"},
        "/sessions/": {"id": ids["session"]},
        "/terminals/": {"id": "box"},
        "/v1/models/": {"id": "box"},
        "/v1/responses/": {"id": ids["response"]},
    }
    names = next((names for start, names in known.items() if row.path.startswith(start)), {})
    return re.sub(r"\{(\w+)\}", lambda match: names[match[1]], row.path)


def _body(row: Route, ids: Ids) -> Any:
    """Return a valid body that names the owner's things."""
    session = ids["session"]
    step = {"id": "a", "ai": "apollo", "message": "hi", "session_id": session}
    bodies: dict[str, Any] = {
        "MessageBody": {"content": "hi"},
        "PreviewBody": {
            "line": f"apollo -s={ids['session']} | box | athena -s={ids['other']}",
            "input": "hi",
        },
        "CompleteBody": {"line": "apollo -s=", "at": 10},
        "SessionMessageBody": {"message": "hi"},
        "WaitBody": {"peers": ["box"], "timeout": 0.1},
        "SessionBody": {"specialist_id": "box"},
        "ManagedSessionBody": {"specialist_id": "apollo", "project_id": "site"},
        "ShareBody": {"subject": "guest", "scopes": ["read"]},
        "RestoreBody": {"at": ids["a"]},
        "ToolResultBody": {"result": 1},
        "OptionBody": {"option_id": "yes"},
        "ProjectBody": {"name": "mine", "path": ids["folder"]},
        "ToolServerBody": {"name": "mine", "command": ["true"]},
        "BudgetBody": {"usd_per_day": "1"},
        "KeyBody": {"key": "sk-1"},
        "PullBody": {"model": "smollm2"},
        "TrialBody": {"model": "openai/gpt-x"},
        "SpecialistBody": {"name": "mine", "prompt": "hi"},
        "SpecialistChangeBody": {"role": "mine"},
        "PlanBody": {"steps": [step]},
        "BulkBody": {"operations": [step]},
        "NewForwardBody": {"from": "apollo", "to": "desk"},
        "ForwardBody": {"to": "athena"},
        "NewRouteBody": {"name": "mine", "hops": [{"ai": "route:chain"}]},
        "RouteBody": {"hops": [{"ai": "apollo"}]},
        "RouteMessageBody": {"message": "hi"},
        "TextBody": {"text": "mine"},
        "PurposeBody": {"text": "mine"},
        "AliasBody": {"command": "apollo hi"},
        "NewScheduleBody": {"name": "mine", "cron": "@yearly", "line": "route chain hi"},
        "ScheduleBody": {"cron": "@yearly", "line": "apollo hi"},
        "NoteBody": {"text": "mine"},
        "SocketBody": {"ai_name": "box"},
        "GroupBody": {"name": "mine", "members": ["apollo"]},
        "MembersBody": {"members": ["apollo"]},
        "ChatBody": {"model": "box", "messages": [{"role": "user", "content": "hi"}]},
        "MessagesBody": {
            "model": "box",
            "max_tokens": 9,
            "messages": [{"role": "user", "content": "hi"}],
        },
        "CountBody": {"model": "box", "messages": [{"role": "user", "content": "hi"}]},
        "ResponsesBody": {"model": "box", "input": "hi"},
        "CompactBody": {"model": "box", "input": "hi"},
        "InputTokensBody": {"model": "box", "input": "hi"},
    }
    return None if row.body is None else bodies.get(row.body.__name__, {})


def _names_owned(row: Route) -> bool:
    """Return whether the request names something of the owner, in its path or its body."""
    if "{" in row.path:
        return row.path not in SHARED and (row.method, row.path) not in UPSERTS
    named = {
        "WaitBody",
        "SessionBody",
        "PlanBody",
        "BulkBody",
        "NewForwardBody",
        "NewRouteBody",
        "NewScheduleBody",
        "SocketBody",
        "ChatBody",
        "MessagesBody",
        "CountBody",
        "ResponsesBody",
        "CompactBody",
        "InputTokensBody",
    }
    return row.body is not None and row.body.__name__ in named


def _scripts() -> list[Any]:
    yes = PermissionOption("yes", "Yes", "allow_once")
    return [[Permission("r1", "bash", {"command": CANARY}, (yes,)), asyncio.Event(), Text(CANARY), Done()]]


def _expected(row: Route, scopes: frozenset[str]) -> set[int]:
    """Return the statuses that another caller with these scopes may get."""
    if row in VIEWS:
        return {200}  # the page is the same for all; it shows what the APIs return
    if row.policy is Policy.ADMIN and ADMIN not in scopes:
        return {403}
    if row.path in SHARED or (row.method, row.path) in UPSERTS:
        return {200, 404, 409, 422}
    return {404} if _names_owned(row) else {200}


ADMINISTRATOR = pytest.param(ALL, marks=pytest.mark.long, id="administrator")


@pytest.mark.parametrize("scopes", [pytest.param(ALL - {ADMIN}, id="guest"), ADMINISTRATOR])
async def test_on_every_route_what_belongs_to_another_does_not_exist(
    tmp_path: Path, scopes: frozenset[str]
) -> None:
    limits = Limits(project_roots=(str(tmp_path),))
    async with with_programs(*_scripts(), limits=limits) as home:
        ids = await belongings(home, tmp_path)
        guest = await caller(home, "guest", scopes)
        wrong: list[tuple[str, str, int, str]] = []
        for row in sorted(TABLE, key=lambda row: (row.method, row.path) in UPSERTS):
            if not isinstance(row, Route) or row.policy in (Policy.PUBLIC, Policy.OWNER, Policy.PERSON):
                continue
            path, body = _path(row, ids), _body(row, ids)
            query = f"?q={CANARY}" if row.path == "/api/v2/search" else ""
            sending: dict[str, Any] = {"data": b"theirs"} if row.takes_bytes else {"json": body}
            answer = await home.ask_tcp(row.method, path + query, guest, **sending)
            sent = f"{path} {json.dumps(body)}"
            leaks = [secret for secret in _secrets(ids) if secret in answer.text and secret not in sent]
            if answer.status not in _expected(row, scopes) or leaks:
                wrong.append((row.method, path, answer.status, f"{leaks} {answer.text[:300]}"))
        assert wrong == [], "\n".join(map(str, wrong))
        for path in (
            "/api/v2/sessions",
            "/api/v2/sessions/" + ids["session"],
            "/api/v2/plans/" + ids["plan"],
        ):
            assert (await home.ask("GET", path)).status == 200  # nothing of the owner's was changed


async def test_names_of_sessions_shells_and_projects_of_others_are_unknown(tmp_path: Path) -> None:
    limits = Limits(project_roots=(str(tmp_path),))
    async with with_programs(*_scripts(), limits=limits) as home:
        ids = await belongings(home, tmp_path)
        guest = await caller(home)
        for path in (
            f"/api/v2/sessions/{CANARY}-name",
            "/api/v2/ai/desk",
            "/api/v2/ai/project:site",
            "/api/v2/sessions/hub/events",
            f"/api/v2/sessions/{ids['plan']}/events",
            f"/api/v2/sessions/{ids['terminal']}/events",
            f"/api/v2/sessions/{ids['box']}/events",
        ):
            assert (path, (await home.ask_tcp("GET", path, guest)).status) == (path, 404)
        for tray in ("", "/new", "/keep"):
            told = await home.ask_tcp("GET", f"/api/v2/inbox/apollo{tray}", guest)
            assert (tray, told.status, CANARY in told.text) == (tray, 200, False)


async def test_content_of_another_caller_goes_with_no_message(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        guest = await caller(home)
        mine = json.loads((await home.ask("POST", "/api/v2/blobs", data=CANARY.encode())).text)["blob_id"]
        body = {"content": "hi", "parts": [{"type": "file", "blob_id": mine}]}
        refused = await home.ask_tcp("POST", "/api/v2/ai/apollo/message", guest, json=body)
        assert (refused.status, refused.json["code"], refused.json["kind"]) == (404, "not_found", "blob")
        own = await home.ask("POST", "/api/v2/ai/apollo/message", body)
        assert (own.status, own.json["code"]) == (422, "unsupported")
        # the same content from another caller is that caller's own, and stays when the first one's is gone
        theirs = await home.ask_tcp("POST", "/api/v2/blobs", guest, data=CANARY.encode())
        assert theirs.json["blob_id"] == mine
        assert (await home.ask_tcp("GET", f"/api/v2/blobs/{mine}", guest)).text == CANARY


async def test_an_idempotency_key_of_another_caller_replays_nothing(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        guest = await caller(home)
        body = {"specialist_id": "apollo", "command_id": "k"}
        mine = (await home.ask("POST", "/api/v2/sessions", body)).json
        theirs = (await home.ask_tcp("POST", "/api/v2/sessions", guest, json=body)).json
        assert theirs["id"] != mine["id"]
        assert (mine["owner"], theirs["owner"]) == ("me", "guest")
        said = {"content": "hi", "command_id": "k2"}
        first = (await home.ask("POST", "/api/v2/ai/apollo/message", said)).json
        second = (await home.ask_tcp("POST", "/api/v2/ai/apollo/message", guest, json=said)).json
        assert first["turn_id"] != second["turn_id"]


@pytest.mark.long
async def test_over_websockets_what_belongs_to_another_does_not_exist(tmp_path: Path) -> None:
    limits = Limits(project_roots=(str(tmp_path),))
    async with with_programs(*_scripts(), limits=limits) as home:
        ids = await belongings(home, tmp_path)
        guest = await caller(home)
        url = f"ws://127.0.0.1:{home.port}"

        async def refused(path: str, calls: list[tuple[str, dict[str, Any]]]) -> None:
            async with connect(f"{url}{path}", additional_headers=guest, proxy=None) as socket:
                for method, params in calls:
                    call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
                    await socket.send(json.dumps(call))
                    while "id" not in (said := json.loads(await socket.recv())):
                        pass
                    code = said.get("error", {}).get("data", {}).get("code")
                    assert (method, params, code) == (method, params, "not_found")

        session, streams = ids["session"], ("session", "plan", "terminal", "box")
        subscribed = [{"subscription": "s", "stream": ids[name]} for name in streams]
        calls: list[tuple[str, dict[str, Any]]] = [
            *(("subscribe", each) for each in (*subscribed, {"subscription": "s", "stream": "hub"})),
            ("sendUserMessage", {"sessionId": session, "message": "hi"}),
            ("provideToolResult", {"sessionId": session, "toolCallId": "call_1", "result": 1}),
            ("pauseSession", {"sessionId": session}),
            ("resumeSession", {"sessionId": session}),
        ]
        await refused("/ws", calls)
        at_peer = {"session_id": session, "message": "hi"}
        asked: list[tuple[str, dict[str, Any]]] = [("chat", at_peer), ("stream", at_peer)]
        await refused("/ws/ai/apollo", [*asked, ("subscribe", {"session_id": session})])
        for path in ("/ws/ai/box", "/ws/attach/box", f"/ws/socket/{ids['socket']}"):
            with pytest.raises(InvalidStatus) as rejected:
                async with connect(f"{url}{path}", additional_headers=guest, proxy=None):
                    pass
            assert (path, rejected.value.response.status_code) == (path, 404)
        for method in WATCHES:
            call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {"subscription": "s"}}
            async with connect(f"{url}/ws", additional_headers=guest, proxy=None) as socket:
                await socket.send(json.dumps(call))
                said = await socket.recv()
                assert "result" in json.loads(said)
                assert [
                    leak for leak in (CANARY, *ids.values(), '"box"', '"desk"') if leak in str(said)
                ] == []
        stopped = {"jsonrpc": "2.0", "id": 1, "method": "stopSession", "params": {"sessionId": session}}
        async with connect(f"{url}/ws", additional_headers=guest, proxy=None) as socket:
            await socket.send(
                json.dumps(stopped)
            )  # succeeds, as for every unknown session, and stops nothing
            assert "result" in json.loads(await socket.recv())
        assert (await home.ask("GET", f"/api/v2/sessions/{session}")).json["state"] == "waiting"


@pytest.mark.long
async def test_over_socketio_what_belongs_to_another_does_not_exist(tmp_path: Path) -> None:
    limits = Limits(project_roots=(str(tmp_path),))
    async with with_programs(*_scripts(), limits=limits) as home:
        session = (await belongings(home, tmp_path))["session"]
        guest = await caller(home)
        async with connecting(home, **guest) as talker:
            answer = await talker.connect({"cursors": {session: "x:1"}})
            assert answer["resumed"][session]["code"] == "not_found"
            for name, body in (
                ("subscribe", {}),
                ("send", {"content": "hi"}),
                ("permission", {"request_id": "r1", "option_id": "yes"}),
            ):
                told = await talker.request(name, session_id=session, **body)
                assert (name, told["code"]) == (name, "not_found")


@pytest.mark.long
async def test_over_mcp_what_belongs_to_another_does_not_exist(tmp_path: Path) -> None:
    limits = Limits(project_roots=(str(tmp_path),))
    async with with_programs(*_scripts(), limits=limits) as home:
        ids = await belongings(home, tmp_path)
        guest = await caller(home)
        session = ids["session"]
        foreign: dict[str, dict[str, Any]] = {
            "ask_peer": {"peer": "apollo", "message": "hi", "session_id": session},
            "send_message": {"peer": "box", "message": "hi"},
            "run_line": {"line": 'box "hi"'},
            "create_session": {"peer": "box"},
            "cancel_session": {"session_id": session},
            "read_events": {"session_id": session},
        }
        shown: dict[str, dict[str, Any]] = {
            "list_peers": {},
            "list_sessions": {},
            "list_agents": {},
            "find_claude_binary": {},
            "find_capability": {"capability": "code-analysis"},
            "assign_task": {"description": "hi", "required_capabilities": ["code-analysis"]},
            "team_chat": {"message": "hi", "team": "reviewers"},
        }
        assert {tool.name for tool in TOOLS} == foreign.keys() | shown.keys()
        for name, arguments in (foreign | shown).items():
            answer = await _mcp(home, guest, "tools/call", {"name": name, "arguments": arguments})
            result = answer["result"]
            told = json.dumps(result).replace(session, "") if name in foreign else json.dumps(result)
            assert (name, [secret for secret in _secrets(ids) if secret in told]) == (name, [])
            if name in foreign:
                code = result["structuredContent"].get("code")
                assert (name, code) in {(name, "not_found"), (name, "unknown_peer")}
        for uri in (f"rhetor://sessions/{session}", "rhetor://sessions", "rhetor://peers"):
            answer = await _mcp(home, guest, "resources/read", {"uri": uri})
            told = json.dumps(answer).replace(uri, "").replace(f"'{session}'", "")
            assert (uri, [secret for secret in _secrets(ids) if secret in told]) == (uri, [])
            assert ("error" in answer) is uri.endswith(session)
        reader = await caller(home, "guest", ALL - {ADMIN})
        assert "error" in await _mcp(home, reader, "resources/read", {"uri": "rhetor://config"})


@pytest.mark.long
async def test_over_mcp_only_administrators_learn_where_programs_are(tmp_path: Path) -> None:
    claude = ToolSettings(driver="claude", executable=sys.executable)
    async with served(tmp_path, tools={"claude": claude}) as home:
        call = {"name": "find_claude_binary", "arguments": {}}
        for scopes in (ALL, ALL - {ADMIN}):
            answer = await _mcp(home, await caller(home, scopes=scopes), "tools/call", call)
            told, path = answer["result"]["structuredContent"], sys.executable if ADMIN in scopes else None
            assert (told["found"], told["path"]) == (True, path)
            assert (sys.executable in json.dumps(answer)) is (ADMIN in scopes)


async def _mcp(home: Served, headers: dict[str, str], method: str, params: dict[str, Any]) -> dict[str, Any]:
    version, own = "2026-07-28", "io.modelcontextprotocol/"
    meta = {f"{own}protocolVersion": version, f"{own}clientCapabilities": {}}
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": meta}}
    named = {"mcp-protocol-version": version, "mcp-method": method}
    if "name" in params or "uri" in params:
        named["mcp-name"] = params.get("name") or params["uri"]
    answer = await home.ask_tcp("POST", "/mcp", {**headers, **JSON_RPC, **named}, json=message)
    text = answer.text
    if answer.headers["content-type"].startswith("text/event-stream"):
        text = next(line[6:] for line in text.splitlines() if line.startswith("data: {"))
    found: dict[str, Any] = json.loads(text)
    return found


async def test_a_caller_without_admin_sees_no_paths_of_the_hub(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        guest = await caller(home, "guest", ALL - {ADMIN})
        status = (await home.ask_tcp("GET", "/api/v2/status", guest)).json
        assert (status["home"], status["pid"], status["sockets"], status["models"]) == (None, None, [], [])
        await home.ask("POST", "/api/mcp-servers", {"name": "files", "command": ["/opt/secret", "x"]})
        [server] = (await home.ask_tcp("GET", "/api/mcp-servers", guest)).json["mcp_servers"]
        assert (server["name"], server["command"], server["env"]) == ("files", None, {})
        assert (await home.ask_tcp("GET", "/api/v2/budgets", guest)).json == {"budgets": []}
        body = {"specialist_id": "apollo", "metadata": {"cwd": "/etc"}}
        answer = await home.ask_tcp("POST", "/api/v2/sessions", guest, json=body)
        assert (answer.status, "metadata.cwd" in answer.json["detail"]) == (422, True)


async def test_a_program_that_runs_for_another_caller_shows_only_its_state(tmp_path: Path) -> None:
    program = "import sys\nfor line in sys.stdin: print('heard', line, flush=True)"
    box = ToolSettings(driver="stdio", executable=sys.executable, args=("-c", program), delimiter="\n")
    async with with_programs(tools={"box": box}) as home:
        guest, administrator = await caller(home, "guest", ALL - {ADMIN}), await caller(home, "root2")
        launched = (await home.ask("POST", "/api/v2/tools/box/launch", {})).json
        assert (launched["status"], launched["pid"] is not None) == ("idle", True)
        for who in (guest, administrator):
            for path in ("tools/box", "ai/box", "ai/box/status"):
                told = (await home.ask_tcp("GET", f"/api/v2/{path}", who)).json
                assert (told["status"], told["evidence"], told["pid"]) == ("idle", "", None)
        seen = (await home.ask_tcp("GET", "/api/v2/tools/box", guest)).json
        assert (seen["executable"], seen["path"], seen["login"]["how"]) == (
            Path(sys.executable).name,
            None,
            "",
        )
        for method, path in (("DELETE", "programs/box"), ("POST", "tools/box/terminate")):
            answer = await home.ask_tcp(method, f"/api/v2/{path}", guest)
            assert (answer.status, answer.json["code"]) == (409, "not_running")
        assert (await home.ask_tcp("DELETE", "/api/v2/programs/box", administrator)).status == 200


@pytest.mark.long
async def test_a_wrapped_program_can_be_used_by_those_with_whom_its_session_is_shared(tmp_path: Path) -> None:
    async with with_programs() as home:
        await home.announce("box", "cat", delimiter="\n")
        session = (await home.status("box"))["session_id"]
        guest = await caller(home)
        path, said = f"/api/v2/sessions/{session}/message", {"message": "hi", "execute": True}
        assert (await home.ask_tcp("POST", path, guest, json=said)).status == 404
        share = {"subject": "guest", "scopes": ["send"]}
        assert (await home.ask("POST", f"/api/v2/sessions/{session}/shares", share)).status == 200
        answer = await home.ask_tcp("POST", path, guest, json=said)
        assert (answer.status, answer.json["response"]) == (200, "hi\n")
        assert (await home.ask_tcp("GET", "/api/v2/ai/box", guest)).status == 404
