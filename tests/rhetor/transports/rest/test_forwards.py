"""Forwards, terminals, routes, context and purposes over REST, with real programs and attached terminals."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect

from rhetor.domain.event import MessageForwarded, TurnCompleted
from rhetor.domain.output import Done, Text
from rhetor.store.memory import MemoryStore
from tests.rhetor.drivers.programs.host.hosting import PYTHON
from tests.rhetor.transports.websocket.test_attach import TELLS, Attached, attached
from tests.served import SECONDS, TOKEN, Served, served, with_programs

pytestmark = pytest.mark.anyio

# answers each command with all that it has read so far, as JSON
REPEATS = """
import json, sys
read = []
for line in sys.stdin:
    said = json.loads(line)
    if said["type"] == "command":
        print(json.dumps({"type": "response", "content": json.dumps([*read, said])}), flush=True)
    if said["type"] != "capability_query":
        read.append(said)
"""


async def ask(home: Served, method: str, path: str, body: Any = None, status: int = 200) -> Any:
    answer = await home.ask(method, f"/api/v2/{path}", body)
    assert answer.status == status, answer.text
    return answer.json


async def until_forwarded(home: Served, stream: str, count: int = 1) -> list[MessageForwarded]:
    found = 0

    def wanted(payload: object) -> bool:
        nonlocal found
        found += isinstance(payload, MessageForwarded)
        return found == count

    return [p for p in await home.seen(stream, wanted) if isinstance(p, MessageForwarded)]


async def test_a_forward_to_a_program_has_the_id_of_its_default_session() -> None:
    async with with_programs([Text("to you"), Done()]) as home:
        await home.announce("box", *PYTHON, REPEATS, protocol="aish-json")
        await ask(home, "PUT", "forwards/apollo", {"to": "box", "execute": True})
        await ask(home, "POST", "ai/apollo/message", {"content": "hi"})
        standing = await home.standing("box")
        await home.seen(standing, lambda payload: isinstance(payload, TurnCompleted))
        async with asyncio.timeout(SECONDS):
            while (await ask(home, "GET", "forwards"))["forwards"][0]["session_id"] != standing:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


async def test_a_forward_is_created_listed_and_deleted(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        made = await ask(home, "PUT", "forwards/apollo-ai", {"to": "athena", "json": True})
        assert made == {
            "from": "apollo",
            "from_kind": "specialist",
            "to": "athena",
            "kind": "peer",
            "json": True,
            "execute": False,
            "session_id": None,
            "circle": [],
            "failed": None,
            "created_at": made["created_at"],
        }
        back = await ask(home, "POST", "forwards", {"from": "athena", "to": "apollo"})
        assert back["circle"] == ["athena", "apollo", "athena"]
        await ask(home, "PUT", "terminals/jill", {})
        instead = await ask(home, "PUT", "forwards/apollo", {"to": "jill"})
        assert (instead["kind"], instead["json"]) == ("terminal", False)
        assert await ask(home, "GET", "forwards/apollo") == instead
        listed = (await ask(home, "GET", "forwards"))["forwards"]
        assert [(one["from"], one["to"]) for one in listed] == [("apollo", "jill"), ("athena", "apollo")]
        shown = (await ask(home, "GET", "ai"))["peers"]
        assert {peer["id"]: peer["forwards"] for peer in shown if peer["forwards"]} == {
            "apollo": ["jill"],
            "athena": ["apollo"],
        }
        assert await ask(home, "DELETE", "forwards/apollo") == instead
        assert (await ask(home, "DELETE", "forwards/apollo", status=404))["code"] == "not_found"


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("PUT", "forwards/nobody", {"to": "apollo"}, 404, "unknown_peer"),
        ("PUT", "forwards/apollo", {"to": "nobody"}, 404, "unknown_peer"),
        ("PUT", "forwards/apollo", {"to": "apollo"}, 422, "unprocessable"),
        ("PUT", "forwards/apollo", {"to": "a\u0007b"}, 422, "unprocessable"),
        ("PUT", "terminals/apollo", {}, 409, "name_taken"),
        ("PUT", "terminals/unforward", {}, 409, "name_taken"),
        ("PUT", "terminals/%0d", {}, 400, "malformed"),
        ("POST", "routes", {"name": "r", "hops": []}, 422, "unprocessable"),
        ("POST", "routes", {"name": "r r", "hops": [{"ai": "apollo"}]}, 422, "unprocessable"),
        ("POST", "routes", {"name": "r", "hops": [{"ai": "apollo"}] * 9}, 422, "hop_limit"),
        ("POST", "routes", {"name": "r", "hops": [{"ai": "route:r"}]}, 422, "unprocessable"),
        ("POST", "routes/none/send", {"message": "x"}, 404, "not_found"),
        ("POST", "context/nobody/stage", {"text": "x"}, 404, "unknown_peer"),
        ("POST", "context/apollo/promote", None, 409, "conflict"),
        ("PUT", "purposes/nobody", {"text": "x"}, 404, "unknown_peer"),
    ],
)
async def test_an_invalid_request_is_rejected_with_its_code(
    tmp_path: Path, method: str, path: str, body: Any, status: int, code: str
) -> None:
    async with served(tmp_path) as home:
        assert (await ask(home, method, path, body, status))["code"] == code


async def test_a_tools_answer_as_json_says_what_the_tool_is() -> None:
    async with with_programs() as home:
        await home.announce("box", *PYTHON, REPEATS, protocol="aish-json")
        await ask(home, "PUT", "terminals/jill", {})
        made = await ask(home, "PUT", "forwards/box", {"to": "jill", "json": True})
        assert (made["from_kind"], made["kind"]) == ("tool", "terminal")
        await ask(home, "POST", "ai/box/message", {"content": "hi"})
        stream = home.hub.state.routing_table.terminals["jill"].stream
        shown = await home.seen(stream, lambda payload: payload.type == "message.forwarded")
        assert isinstance(shown[-1], MessageForwarded)
        tool = shown[-1].tool
        assert isinstance(tool, dict)
        assert (tool["name"], tool["kind"], tool["driver"]) == ("box", "tool", "stdio")


async def test_a_terminal_follows_only_what_it_has_not_shown_yet(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        await ask(home, "PUT", "terminals/jill", {})
        await ask(home, "PUT", "forwards/apollo", {"to": "jill"})
        for n in range(2):
            await ask(home, "POST", "ai/apollo/message", {"content": str(n)})
        stream = home.hub.state.routing_table.terminals["jill"].stream
        await until_forwarded(home, stream, 2)
        shown: Any = home.frames("/api/v2/terminals/jill/events")
        async with aclosing(shown) as frames:
            first = await anext(frames)
            if first["type"] == "session.state":
                first = await anext(frames)
            listed = (await ask(home, "GET", "terminals"))["terminals"]
            assert [(one["name"], one["attached"]) for one in listed] == [("jill", 1)]
            await ask(home, "PUT", "terminals/jill", {"seen": first["cursor"]})
        page = await ask(home, "GET", "terminals/jill/events")
        assert [event["data"]["content"] for event in page["events"]] == ["apollo heard: 1"]
        gone = await ask(home, "GET", f"terminals/jill/events?after={'0' * 32}:1", status=410)
        assert gone["outcome"] == "epoch_changed"
        await ask(home, "DELETE", "terminals/jill")
        await ask(home, "GET", "terminals/jill/events", status=404)


async def test_a_message_along_a_route_streams_the_events_of_a_plan(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        hops = [{"ai": "apollo", "purpose": "find bugs"}, {"ai": "athena"}]
        made = await ask(home, "POST", "routes", {"name": "review", "hops": hops})
        assert made["hops"] == [hops[0], {"ai": "athena", "purpose": None}]
        assert (await ask(home, "GET", "routes"))["routes"] == [made]
        assert (await ask(home, "POST", "routes", {"name": "review", "hops": hops}, 409))[
            "code"
        ] == "name_taken"
        body = {"message": "a cache", "command_id": "k"}
        sent = await home.ask("POST", "/api/v2/routes/review/send", body)
        again = await home.ask("POST", "/api/v2/routes/review/send", body)
        assert sent.headers["x-plan-id"] == again.headers["x-plan-id"]
        assert sent.text == again.text
        types = [json.loads(line[6:])["type"] for line in sent.text.splitlines() if line.startswith("data: ")]
        assert types[:4] == ["plan.started", "step.started", "context.injected", "message.accepted"]
        assert types[-1] == "plan.ended"
        await ask(home, "DELETE", "routes/review")
        await ask(home, "GET", "routes/review", status=404)


async def test_context_and_purposes_show_their_current_state(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        assert await ask(home, "POST", "context/apollo/stage", {"text": "one"}) == {
            "ai": "apollo",
            "staged": ["one"],
            "next": [],
        }
        await ask(home, "POST", "context/apollo/promote")
        assert (await ask(home, "GET", "context/apollo-ai"))["next"] == ["one"]
        await ask(home, "POST", "ai/apollo/message", {"content": "hi"})
        assert (await ask(home, "GET", "context/apollo"))["next"] == []
        await ask(home, "PUT", "purposes/apollo", {"text": "reviews"})
        assert await ask(home, "GET", "purposes/apollo") == {"name": "apollo", "purpose": "reviews"}
        assert (await ask(home, "GET", "purposes"))["purposes"] == [{"name": "apollo", "purpose": "reviews"}]
        await ask(home, "DELETE", "purposes/apollo")
        assert (await ask(home, "GET", "purposes"))["purposes"] == []


async def test_a_program_that_accepts_context_receives_it_in_a_separate_message() -> None:
    async with with_programs() as home:
        await home.announce("box", *PYTHON, REPEATS, protocol="aish-json")
        await ask(home, "POST", "context/box/stage", {"text": "one"})
        await ask(home, "POST", "context/box/stage", {"text": "two"})
        await ask(home, "POST", "context/box/promote")
        for _ in range(2):
            said = json.loads((await home.say("box", "hi")).json["response"])
        assert isinstance(said[0]["metadata"].pop("timestamp"), float)
        metadata = {"source": "apollo-rhetor", "origin": home.node.owner}
        assert said[0] == {"type": "context_injection", "prompts": ["one", "two"], "metadata": metadata}
        session = await home.standing("box")
        log = (await ask(home, "GET", f"sessions/{session}/events"))["events"]
        turns = [event["turn_id"] for event in log if event["type"] == "message.accepted"]
        for command, turn in zip(said[1:], turns, strict=True):
            context = {"from": home.node.owner, "turn_id": turn, "purpose": None, "via": []}
            assert command == {"type": "command", "content": "hi", "context": context, "session_id": session}


@asynccontextmanager
async def attached_behind(home: Served, peer: str, cursor: str) -> AsyncIterator[Attached]:
    url = f"ws://127.0.0.1:{home.port}/ws/attach/{peer}?after={cursor}"
    headers = {"authorization": f"Bearer {TOKEN}"}
    async with connect(url, additional_headers=headers, compression=None, proxy=None) as socket:
        yield Attached(socket, 24, 80)


async def test_a_forward_to_a_terminal_program_is_shown_and_never_typed() -> None:
    escape = "\x1b]0;title\x07ls\nrm -rf x\r\x1b[2J\u202e"
    async with with_programs([Text(escape), Done()], [Text("more"), Done()]) as home:
        await home.announce("box", *PYTHON, TELLS, kind="terminal")
        made = await ask(home, "PUT", "forwards/apollo", {"to": "box", "json": True})
        assert made["kind"] == "terminal"
        async with attached(home, "box") as shown:
            await shown.until_shown("ready")
            await ask(home, "POST", "ai/apollo/message", {"content": "hi"})
            notice = await shown.next_notice("notice")
            assert notice == {
                "type": "notice",
                "cursor": notice["cursor"],
                "from": "apollo",
                "title": "Apollo",
                "via": ["apollo"],
                "text": "ls\nrm -rf x",
                "time": notice["time"],
                "purpose": None,
                "json": True,
            }
            await shown.socket.send(b"mine\r")
            await shown.until_shown("heard mine")
            assert [line for line in shown.screen.text() if "heard" in line] == ["heard mine"]
        await ask(home, "POST", "ai/apollo/message", {"content": "hi"})
        await until_forwarded(home, await home.standing("box"), 2)
        async with attached_behind(home, "box", notice["cursor"]) as again:
            assert (await again.next_notice("notice"))["text"] == "more"
        log = await home.log(await home.standing("box"))
        assert [p.content for p in log if isinstance(p, MessageForwarded)] == [escape, "more"]


async def test_a_program_on_pipes_runs_forwarded_messages_with_execute() -> None:
    said = [[Text("1+1\n"), Done()], [Text("2+2"), Done()]]
    reads = "import sys\nfor line in sys.stdin: print(eval(line), flush=True)"
    async with with_programs(*said) as home:
        await home.announce("box", *PYTHON, reads, delimiter="\n")
        await ask(home, "PUT", "forwards/apollo", {"to": "box", "execute": True})
        for _ in range(2):
            await ask(home, "POST", "ai/apollo/message", {"content": "hi"})
        ends = 0

        def both(payload: object) -> bool:
            nonlocal ends
            ends += isinstance(payload, TurnCompleted)
            return ends == 2

        async with asyncio.timeout(SECONDS):
            payloads = await home.seen(await home.standing("box"), both)
        texts = [p.text.strip() for p in payloads if isinstance(p, TurnCompleted)]
        assert texts == ["2", "4"]


async def test_a_program_cannot_have_the_name_of_a_terminal_or_a_command() -> None:
    async with with_programs(store=MemoryStore(clock=lambda: 1)) as home:
        await ask(home, "PUT", "terminals/jill", {})
        for name in ("jill", "forward", "sessions"):
            body: Any = {"name": name, "kind": "stdio", "argv": ["cat"], "cwd": "/", "env": {}}
            assert (await ask(home, "POST", "programs", body, 409))["code"] == "name_taken"
        await home.announce("jack", "cat")
        assert (await ask(home, "PUT", "terminals/jack", {}, 409))["code"] == "name_taken"
