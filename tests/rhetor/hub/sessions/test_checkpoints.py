"""Forks of an agent's sessions: immediate, across restarts of the agent, or told the conversation.

The agent is a script that speaks Claude Code's protocol and keeps the messages of a conversation in a file.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.served import Served, with_programs

from rhetor.domain.event import PeerExited, TurnStarted
from rhetor.settings import ToolSettings

pytestmark = pytest.mark.anyio

SCRIPT = """#!{python} -IS
import json, os, sys, time
argv, folder = sys.argv[1:], {folder!r}
resumed = argv[argv.index("--resume") + 1] if "--resume" in argv else ""
own = "" if "--fork-session" in argv else resumed
def place(id): return os.path.join(folder, id + ".json")
def tell(**said): print(json.dumps(said), flush=True)
if resumed and not os.path.exists(place(resumed)):
    tell(type="result", subtype="error_during_execution", is_error=True, num_turns=0,
         errors=["No conversation found with session ID: " + resumed])
    sys.exit(1)
memory = json.load(open(place(resumed))) if resumed else []
if "--resume-session-at" in argv:
    last = argv[argv.index("--resume-session-at") + 1]
    if {stiff!r}:
        print("No message found with message.uuid of: " + last, file=sys.stderr)
        sys.exit(1)
    memory = memory[:int(last.removeprefix("message-"))]
for line in sys.stdin:
    found = json.loads(line)
    if found["type"] == "control_request":
        if {deaf!r}:
            sys.exit(4)
        tell(type="control_response", response=dict(subtype="success", request_id=found["request_id"]))
        continue
    while "wait" in line and not os.path.exists(os.path.join(folder, "go")):
        time.sleep(0.01)
    own = own or "c%d" % len(os.listdir(folder))
    memory.append(found["message"]["content"][0]["text"])
    json.dump(memory, open(place(own), "w"))
    tell(type="system", subtype="init", session_id=own, model="m")
    tell(type="user", message=found["message"], session_id=own, isReplay=True,
         uuid="message-%d" % len(memory))
    tell(type="result", subtype="success", is_error=False, num_turns=1, result=own + ": " + " ".join(memory))
"""


@asynccontextmanager
async def with_scribe(
    folder: Path,
    *,
    deaf: bool = False,
    stiff: bool = False,
    also: Sequence[str] = (),
    cwd: str = "~",
    **options: Any,
) -> AsyncIterator[Served]:
    """`deaf`: the script exits when it should start with a copy. `stiff`: it cannot go back. `also`: other
    peers that are the same."""
    kept = folder / "kept"
    kept.mkdir(exist_ok=True)
    script = folder / "scribe"
    script.write_text(SCRIPT.format(python=sys.executable, folder=str(kept), deaf=deaf, stiff=stiff))
    script.chmod(0o700)
    settings = ToolSettings(driver="claude", executable=str(script), cwd=cwd)
    async with with_programs(tools=dict.fromkeys(("scribe", *also), settings), **options) as home:
        made = {"specialist_id": "scribe", "name": "work"}
        assert (await home.ask("POST", "/api/v2/sessions", made)).status == 200
        yield home


async def told(home: Served, session: str, content: str) -> str:
    answer = await home.ask("POST", f"/api/v2/sessions/{session}/message", {"message": content})
    assert answer.status == 200, answer.text
    return str(answer.json["response"])


async def copied(home: Served, name: str, **wishes: Any) -> dict[str, Any]:
    found: dict[str, Any] = (
        await home.ask("POST", "/api/v2/sessions/work/fork", {"name": name, **wishes})
    ).json
    return found


async def test_later_messages_to_the_parent_are_not_part_of_a_fork(tmp_path: Path) -> None:
    async with with_scribe(tmp_path) as home:
        assert await told(home, "work", "one") == "c0: one"
        assert (await copied(home, "copy"))["name"] == "copy"
        assert await told(home, "work", "two") == "c0: one two"
        assert await told(home, "copy", "three") == "c1: one three"
        assert await told(home, "work", "four") == "c0: one two four"
        await home.ask("POST", "/api/v2/tools/scribe/terminate")
        assert await told(home, "copy", "five") == "c1: one three five"
        assert await told(home, "work", "six") == "c0: one two four six"


async def test_a_fork_of_an_unused_session_starts_a_new_conversation(tmp_path: Path) -> None:
    async with with_scribe(tmp_path) as home:
        assert (await copied(home, "copy"))["state"] == "active"
        assert await told(home, "copy", "one") == "c0: one"
        assert await told(home, "work", "two") == "c1: two"


@pytest.mark.long
async def test_an_agent_that_cannot_copy_its_conversation_is_told_it(tmp_path: Path) -> None:
    async with with_scribe(tmp_path, deaf=True) as home:
        await told(home, "work", "one")
        made = await copied(home, "copy")
        assert (made["rewound"], made["retold"]) == (False, True)
        assert made["reason"] == "scribe: it exited with 4"
        answer = await told(home, "copy", "two")
        assert (answer[:4], "User: one" in answer) == ("c1: ", True)
        assert await told(home, "work", "three") == "c0: one three"


@pytest.mark.long
async def test_a_fork_whose_agent_is_not_installed_any_more_leaves_no_session(tmp_path: Path) -> None:
    async with with_scribe(tmp_path) as home:
        await told(home, "work", "one")
        await home.ask("POST", "/api/v2/tools/scribe/terminate")
        (tmp_path / "scribe").unlink()
        refused = await home.ask("POST", "/api/v2/sessions/work/fork", {"name": "copy"})
        assert (refused.status, refused.json["code"]) == (422, "program_missing")
        assert (await home.ask("GET", "/api/v2/sessions/copy")).status == 404


async def test_a_fork_at_a_checkpoint_has_what_the_agent_knew_then(tmp_path: Path) -> None:
    async with with_scribe(tmp_path) as home:
        await told(home, "work", "one")
        made = (await home.ask("POST", "/api/v2/sessions/work/checkpoint", {"name": "here"})).json
        await told(home, "work", "two")
        fork = await copied(home, "copy", at=made["checkpoint_id"])
        assert (fork["rewound"], fork["retold"], fork["reason"]) == (True, False, None)
        assert [m["content"] for m in fork["messages"]] == ["one", "c0: one"]
        assert await told(home, "work", "three") == "c0: one two three"
        assert await told(home, "copy", "four") == "c1: one four"


@pytest.mark.long
async def test_a_checkpoint_can_be_forked_while_a_turn_runs_but_the_end_cannot(tmp_path: Path) -> None:
    async with with_scribe(tmp_path) as home:
        await told(home, "work", "one")
        await home.ask("POST", "/api/v2/sessions/work/checkpoint", {"name": "here"})
        turn = asyncio.create_task(told(home, "work", "wait"))
        id = (await home.ask("GET", "/api/v2/sessions/work")).json["id"]
        await home.seen(id, lambda payload: getattr(payload, "content", "") == "wait")
        busy = await home.ask("POST", "/api/v2/sessions/work/fork", {"name": "copy"})
        assert (busy.status, busy.json["code"]) == (409, "peer_busy")
        assert (await copied(home, "copy", at="here"))["rewound"] is True
        assert await told(home, "copy", "two") == "c1: one two"
        (tmp_path / "kept" / "go").touch()
        assert await turn == "c0: one wait"


@pytest.mark.long
async def test_a_fork_at_a_cursor_before_the_end_is_told_the_conversation(tmp_path: Path) -> None:
    async with with_scribe(tmp_path) as home:
        await told(home, "work", "one")
        cursor = (await home.ask("GET", "/api/v2/sessions/work")).json["cursor"]
        await told(home, "work", "two")
        fork = await copied(home, "copy", at=cursor)
        assert (fork["rewound"], fork["retold"]) == (False, True)
        assert "the position is no checkpoint" in fork["reason"]
        answer = await told(home, "copy", "three")
        assert ("User: one" in answer, "two" in answer) == (True, False)


@pytest.mark.long
async def test_a_fork_of_a_fork_that_had_no_message_has_the_conversation(tmp_path: Path) -> None:
    async with with_scribe(tmp_path) as home:
        await told(home, "work", "one")
        await copied(home, "copy")
        again = await home.ask("POST", "/api/v2/sessions/copy/fork", {"name": "again"})
        assert (again.status, again.json["rewound"]) == (200, True)
        await told(home, "work", "two")
        assert await told(home, "again", "three") == "c1: one three"


@pytest.mark.long
async def test_a_lost_conversation_is_told_to_a_fork(tmp_path: Path) -> None:
    async with with_scribe(tmp_path) as home:
        await told(home, "work", "one")
        (tmp_path / "kept" / "c0.json").unlink()
        made = await copied(home, "copy")
        assert (made["retold"], "No conversation found" in made["reason"]) == (True, True)


async def test_stopping_a_session_ends_only_its_own_program(tmp_path: Path) -> None:
    async with with_scribe(tmp_path) as home:
        await told(home, "work", "one")
        other = await copied(home, "copy")
        await told(home, "copy", "two")
        work = (await home.ask("DELETE", "/api/v2/sessions/work")).json
        assert work["state"] == "stopped"
        await home.seen(work["id"], lambda payload: isinstance(payload, PeerExited))
        assert await told(home, "copy", "three") == "c1: one two three"
        payloads = await home.log(other["id"])
        assert [type(p) for p in payloads if isinstance(p, PeerExited | TurnStarted)] == [TurnStarted] * 2
