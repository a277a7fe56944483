"""Programs as peers over REST: announced, called, waited for, launched by name, ended."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from rhetor.settings import ToolSettings
from rhetor.transports.views.peers import peer_status
from tests.rhetor.drivers.programs.host.hosting import PYTHON
from tests.served import PROGRAM_ENVIRONMENT, SECONDS, TOKEN, Served, with_programs

pytestmark = pytest.mark.anyio

GATED = (
    "import sys\nfor line in sys.stdin: open(sys.argv[1]).read(); print('heard', line, end='', flush=True)"
)
LISTENS = "import sys\nfor line in sys.stdin: print('heard', line, end='', flush=True)"


def program(**more: Any) -> dict[str, Any]:
    return {"name": "p", "kind": "stdio", "argv": ["cat"], "cwd": "/", "env": PROGRAM_ENVIRONMENT, **more}


async def reached(home: Served, peer: str, status: str) -> dict[str, Any]:
    """Wait until the peer has this status; return it."""
    instance = home.hub.state.instances[peer]
    async with asyncio.timeout(SECONDS):
        while True:
            heard = home.hub.state.notifier.next()
            if instance.status.state == status:
                return await home.status(peer)
            await heard.wait()


def opened(gate: Path) -> None:
    gate.write_text("go")


async def test_a_program_is_announced_called_and_ended() -> None:
    async with with_programs() as home:
        peer = (await home.ask("POST", "/api/v2/programs", program())).json
        assert (peer["id"], peer["kind"], peer["status"], peer["delimiter"]) == ("p", "tool", "idle", None)
        os.kill(peer["pid"], 0)  # the process exists
        assert (await home.ask("GET", "/api/v2/ai/p")).json == peer
        assert (await home.say("p", "hi")).json["response"] == "hi\n"
        assert (await home.ask("DELETE", "/api/v2/programs/p")).json == {
            "name": "p",
            "exit_code": None,
            "signal": signal.SIGTERM,
        }
        for method, path in (("GET", "/api/v2/ai/p"), ("DELETE", "/api/v2/programs/p")):
            answer = await home.ask(method, path)
            assert (answer.status, answer.json["code"]) == (404, "unknown_peer")


async def test_only_wrapped_programs_on_pipes_are_listed_as_tools() -> None:
    async with with_programs() as home:
        await home.ask("POST", "/api/v2/programs", program(description="copies"))
        await home.ask("POST", "/api/v2/programs", program(name="t", kind="terminal"))
        (listed,) = (await home.ask("GET", "/api/v2/tools?check=true")).json["tools"]
        assert (listed["name"], listed["status"], listed["description"]) == ("p", "idle", "copies")
        assert (listed["installed"], listed["executable"], listed["driver"]) == (True, "cat", "stdio")
        assert listed["health"] == {
            "check": "status",
            "ok": True,
            "detail": listed["evidence"],
            "version": None,
        }
        assert (await home.ask("GET", "/api/v2/tools/p")).json == listed
        assert (await home.ask("GET", "/api/v2/tools/p/capabilities")).json["static"] == {"streaming": True}
        assert (await home.ask("GET", "/api/v2/tools/t")).json["code"] == "unknown_peer"
        assert (await home.ask("POST", "/api/v2/tools/p/launch", {})).json["pid"] == listed["pid"]
        ended = (await home.ask("POST", "/api/v2/tools/p/terminate")).json
        assert (ended["name"], ended["signal"]) == ("p", signal.SIGTERM)
        assert (await home.ask("GET", "/api/v2/tools")).json["tools"] == []


async def test_an_announced_program_that_no_longer_runs_has_a_status() -> None:
    async with with_programs() as home:
        await home.ask("POST", "/api/v2/programs", program())
        ended = replace(home.hub.state.peers.get("p"), name="ended")  # of a list that was made before its end
        assert peer_status(home.node, ended).state == "available"


@pytest.mark.parametrize("name", ["root", "You", "user", "me"])
async def test_a_program_cannot_have_the_name_of_a_person(name: str) -> None:
    async with with_programs() as home:  # the owner's name is me
        answer = await home.ask("POST", "/api/v2/programs", program(name=name))
        assert (answer.status, answer.json["code"], answer.json["kind"]) == (409, "name_taken", "person")


async def test_a_name_is_taken_while_its_program_runs_and_free_afterwards() -> None:
    async with with_programs() as home:
        first = (await home.ask("POST", "/api/v2/programs", program())).json
        for name in ("p", "apollo"):
            answer = await home.ask("POST", "/api/v2/programs", program(name=name))
            assert (answer.status, answer.json["code"]) == (409, "name_taken")
        os.kill(first["pid"], signal.SIGKILL)
        await home.seen("hub", lambda p: getattr(p, "status", "") == "gone")
        second = (await home.ask("POST", "/api/v2/programs", program(kind="terminal"))).json
        assert (second["kind"], second["status"]) == ("terminal", "idle")


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"argv": ["no-such-program"]}, "program_missing"),
        ({"argv": ["/etc/passwd"]}, "program_missing"),
        ({"cwd": "/no/such/folder"}, "program_refused"),
        ({"cwd": "/" + 300 * "a"}, "program_refused"),
        ({"argv": ["/" + 300 * "a"]}, "program_missing"),
        ({"argv": ["~no-such-user/program"]}, "program_missing"),
        ({"argv": []}, "unprocessable"),
        ({"argv": ["a\0b"]}, "unprocessable"),
        ({"name": "1"}, "malformed"),
        ({"name": "a b"}, "malformed"),
        ({"kind": "other"}, "unprocessable"),
        ({"cwd": "relative"}, "unprocessable"),
        ({"prompt": "("}, "malformed"),
        ({"prompt": "(?<=x)y"}, "malformed"),
        ({"env": {"A=B": "c"}}, "unprocessable"),
        ({"rows": 0}, "unprocessable"),
    ],
)
async def test_a_program_that_cannot_be_started_is_rejected_and_leaves_nothing(
    wrong: dict[str, Any], code: str
) -> None:
    async with with_programs() as home:
        answer = await home.ask("POST", "/api/v2/programs", program(**wrong))
        assert (answer.status, answer.json["code"]) == (400 if code == "malformed" else 422, code)
        assert (await home.ask("GET", "/api/v2/ai/p")).status == 404
        assert home.hub.state.instances == {}
        hosts = home.socket.parent / "hosts"
        assert not hosts.exists() or list(hosts.iterdir()) == []


async def test_a_prompt_pattern_with_nested_repetition_does_not_stop_the_hub() -> None:
    async with with_programs() as home:
        argv = ["sh", "-c", "printf aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!; exec sleep 60"]
        asked = program(kind="terminal", argv=argv, prompt="^(a+)+$")
        assert (await home.ask("POST", "/api/v2/programs", asked)).status == 200
        screen = ""
        async with asyncio.timeout(60):
            while "a!" not in screen:
                status = (await home.ask("GET", "/api/v2/ai/p/status")).json
                screen = "\n".join(status["screen"])


@pytest.mark.parametrize("member", ["argv", "env", "cwd"])
async def test_a_program_with_nul_in_its_arguments_is_rejected(member: str) -> None:
    wrong = {"argv": ["cat", "a\0b"], "env": {"X": "a\0b"}, "cwd": "/a\0b"}[member]
    async with with_programs() as home:
        answer = await home.ask("POST", "/api/v2/programs", program(**{member: wrong}))
        assert (answer.status, answer.json["code"]) == (422, "unprocessable")


async def test_programs_can_be_announced_only_over_the_unix_socket() -> None:
    async with with_programs() as home:
        headers = {"authorization": f"Bearer {TOKEN}"}
        answer = await home.ask_tcp("POST", "/api/v2/programs", headers, json=program())
        assert (answer.status, answer.json["code"]) == (403, "forbidden")


async def test_a_status_has_its_reason_and_counts_waiting_messages(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "gate")
    async with with_programs() as home:
        await home.announce("p", *PYTHON, GATED, str(tmp_path / "gate"), delimiter="\n")
        idle = await home.status("p")
        assert (idle["status"], idle["evidence"]) == ("idle", "no turn is running")
        first, second = (asyncio.create_task(home.say("p", text)) for text in ("one", "two"))
        busy = await reached(home, "p", "busy")
        assert (busy["evidence"], busy["running"], busy["waiting"]) == ("a turn is running", 1, 1)
        refusal = await home.say("p", "three", if_busy="refuse")
        assert (refusal.status, refusal.json["code"]) == (409, "peer_busy")
        for task in (first, second):
            await asyncio.to_thread(opened, tmp_path / "gate")
            assert (await task).json["response"].startswith("heard ")
        assert (await home.status("p"))["waiting"] == 0


async def test_a_message_can_interrupt_the_previous_one(tmp_path: Path) -> None:
    stops = (
        "import sys, time\n"
        "for line in sys.stdin:\n"
        "    try:\n"
        "        if 'wait' in line: print('waiting', end='', flush=True)\n"
        "        while 'wait' in line: time.sleep(0.01)\n"
        "        print('heard', line, end='', flush=True)\n"
        "    except KeyboardInterrupt: pass\n"
    )
    async with with_programs() as home:
        await home.announce("p", *PYTHON, "import sys; print('up', flush=True)\n" + stops, delimiter="\n")
        await home.seen(await home.standing("p"), lambda p: "up" in getattr(p, "text", ""))
        first = asyncio.create_task(home.say("p", "wait"))
        await home.seen(await home.standing("p"), lambda p: "waiting" in getattr(p, "text", ""))
        second = await home.say("p", "next", if_busy="interrupt")
        assert (await first).json["code"] == "interrupted"
        assert second.json["response"] == "heard next\n"


async def test_wait_returns_when_any_or_all_peers_are_idle(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "gate")

    async def wait(**body: Any) -> Any:
        return (await home.ask("POST", "/api/v2/wait", body)).json

    async with with_programs() as home:
        await home.announce("slow", *PYTHON, GATED, str(tmp_path / "gate"), delimiter="\n")
        await home.announce("quick", "cat")
        assert await wait(peers=["slow", "quick"]) == {
            "idle": ["slow", "quick"],
            "waiting": [],
            "timed_out": False,
        }
        turn = asyncio.create_task(home.say("slow", "one"))
        await reached(home, "slow", "busy")
        some = {"idle": ["quick"], "waiting": ["slow"], "timed_out": False}
        assert await wait(peers=["slow", "quick"], mode="any") == some
        assert await wait(peers=["slow", "quick"], timeout=0.05) == {**some, "timed_out": True}
        both = asyncio.create_task(wait(peers=["slow", "quick"], mode="all", timeout=60))
        await asyncio.to_thread(opened, tmp_path / "gate")
        assert await both == {"idle": ["slow", "quick"], "waiting": [], "timed_out": False}
        await turn
        assert (await home.ask("POST", "/api/v2/wait", {"peers": ["nobody"]})).status == 404


def tool(code: str = LISTENS, **more: Any) -> ToolSettings:
    base = {"driver": "stdio", "executable": sys.executable, "args": ("-I", "-S", "-c", code), "cwd": "/"}
    return ToolSettings(**{**base, **more})


async def test_a_configured_program_starts_with_a_message_and_again_after_its_end() -> None:
    async with with_programs(tools={"box": tool(delimiter="\n")}) as home:
        before = (await home.ask("GET", "/api/v2/tools/box")).json
        assert (before["status"], before["pid"], before["installed"]) == ("available", None, True)
        assert (await home.say("box", "hi")).json["response"] == "heard hi\n"
        pid = (await home.ask("GET", "/api/v2/tools/box")).json["pid"]
        os.kill(pid, signal.SIGKILL)
        await home.seen("hub", lambda p: getattr(p, "status", "") == "gone")
        assert (await home.ask("GET", "/api/v2/tools/box")).json["status"] == "gone"
        assert (await home.say("box", "again")).json["response"] == "heard again\n"
        assert (await home.ask("GET", "/api/v2/tools/box")).json["pid"] != pid


async def test_tools_are_launched_and_terminated_by_name() -> None:
    scores = {"maths": 0.9, "streaming": False}
    tools = {"box": tool(capabilities=scores, display_name="The Box", install="make it")}
    async with with_programs(tools=tools) as home:
        launched = (await home.ask("POST", "/api/v2/tools/box/launch", {})).json
        assert (launched["status"], launched["display_name"]) == ("idle", "The Box")
        again = (await home.ask("POST", "/api/v2/tools/box/launch", {})).json
        assert again["pid"] == launched["pid"]
        assert [t["name"] for t in (await home.ask("GET", "/api/v2/tools")).json["tools"]] == ["box"]
        assert (await home.ask("GET", "/api/v2/tools/box/capabilities")).json == {
            "name": "box",
            "static": {"streaming": False, "maths": 0.9},
            "dynamic": {},
            "capabilities": {"maths": 0.9},
            "origins": {"maths": "declared"},
            "reported": {},
        }
        described = (await home.ask("GET", "/api/v2/ai/box")).json["capabilities"]
        assert (described["streaming"], described["scores"]) == (False, {"maths": 0.9})
        ended = await home.ask("POST", "/api/v2/tools/box/terminate")
        assert ended.json == {"name": "box", "exit_code": None, "signal": signal.SIGTERM}
        twice = await home.ask("POST", "/api/v2/tools/box/terminate")
        assert (twice.status, twice.json["code"]) == (409, "not_running")
        assert twice.json["hint"] == "start it with aish tools launch box"
        assert (await home.ask("GET", "/api/v2/tools/apollo")).status == 404


async def test_a_missing_tool_is_shown_with_its_install_command() -> None:
    missing = ToolSettings(driver="stdio", executable="no-such-tool", install="pipx install it")
    async with with_programs(tools={"box": missing}) as home:
        told = (await home.ask("GET", "/api/v2/tools/box")).json
        assert (told["installed"], told["path"], told["how_to_install"]) == (False, None, "pipx install it")
        assert told["health"]["ok"] is False
        for path in ("tools/box", "ai/box", "ai/box/status"):
            told = (await home.ask("GET", f"/api/v2/{path}")).json
            assert (told["status"], told["evidence"]) == ("missing", "it is not installed")
        launch = await home.ask("POST", "/api/v2/tools/box/launch", {})
        assert (launch.status, launch.json["code"]) == (422, "program_missing")
        assert "pipx install it" in launch.json["detail"]
        sent = await home.say("box", "hi")
        assert (sent.status, sent.json["code"]) == (422, "program_missing")
        assert "pipx install it" in sent.json["detail"]


async def test_a_configured_program_sees_only_the_variables_that_its_entry_passes() -> None:
    shows = "import os, sys\nfor line in sys.stdin: print(sorted(os.environ), os.getcwd(), flush=True)"
    environment = {**PROGRAM_ENVIRONMENT, "OPENAI_API_KEY": "secret", "OTHER": "1", "LD_PRELOAD": "x"}
    tools = {"box": tool(shows, env={"OWN": "1"}, pass_env=("OTHER",), cwd="caller", delimiter="\n")}
    async with with_programs(tools=tools, environment=environment) as home:
        launched = await home.ask("POST", "/api/v2/tools/box/launch", {"cwd": "/usr"})
        assert launched.status == 200, launched.text
        said = (await home.say("box", "show")).json["response"]
        allowed = {*PROGRAM_ENVIRONMENT, "OWN", "OTHER", "LC_CTYPE", "RHETOR_TOKEN"}  # a key of its own
        names = sorted(allowed & set(said.split("'")))
        assert said == f"{names} /usr\n"
        assert {"OWN", "OTHER", "PATH", "RHETOR_TOKEN"} <= set(names)


# reports its capabilities on request
JSON_PROGRAM = """
import json, sys
for line in sys.stdin:
    said = json.loads(line)
    if said["type"] == "capability_query":
        told = {"capabilities": {"maths": 0.9, "code_analysis": 0.6, "wrong": 7}}
    else:
        told = {"type": "response", "content": "seven"}
    print(json.dumps(told), flush=True)
"""


async def test_capabilities_reported_by_a_program_are_used_for_selection() -> None:
    async with with_programs(seconds=120) as home:
        await home.announce("box", *PYTHON, JSON_PROGRAM, protocol="aish-json")
        assert (await home.say("box", "what is 3 + 4?")).json["response"] == "seven"
        ranked = (await home.ask("GET", "/api/v2/capabilities/maths")).json
        assert ranked == [{"ai_id": "box", "score": 0.9, "primary": False, "origin": "reported"}]
        both = (await home.ask("GET", "/api/v2/capabilities/code-analysis?threshold=0.5")).json
        assert [(each["ai_id"], each["origin"]) for each in both] == [
            ("apollo", "declared"),
            ("athena", "declared"),
            ("box", "reported"),
        ]
        shown = (await home.ask("GET", "/api/v2/ai/box")).json["capabilities"]["scores"]
        assert shown == {"maths": 0.9, "code-analysis": 0.6}
        assert (await home.say("@maths", "and now?")).json["ai"] == "box"
        await home.ask("DELETE", "/api/v2/programs/box")
        assert (await home.ask("GET", "/api/v2/capabilities/maths")).json == []


async def test_reported_capabilities_override_configured_ones() -> None:
    box = tool(JSON_PROGRAM, protocol="aish-json", capabilities={"maths": 0.2, "poetry": 0.8})
    async with with_programs(tools={"box": box}, seconds=120) as home:
        await home.say("box", "what is 3 + 4?")
        assert (await home.ask("GET", "/api/v2/tools/box/capabilities")).json == {
            "name": "box",
            "static": {"streaming": True, "maths": 0.2, "poetry": 0.8},
            "dynamic": {"maths": 0.9, "code-analysis": 0.6},
            "capabilities": {"maths": 0.9, "poetry": 0.8, "code-analysis": 0.6},
            "origins": {"maths": "reported", "poetry": "declared", "code-analysis": "reported"},
            "reported": {},
        }
