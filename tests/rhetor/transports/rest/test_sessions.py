"""Sessions by name over REST: found, saved, resumed, forked, ended, and imported from files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from rhetor.domain.event import SessionStateChanged
from rhetor.hub.catalog.sessions import session_of, session_row
from rhetor.settings import ToolSettings
from tests.rhetor.drivers.programs.host.hosting import PYTHON
from tests.rhetor.hub.refusing import RefusingStore, refusals
from tests.served import PROGRAM_ENVIRONMENT, TOKEN, Served, served, with_programs

pytestmark = pytest.mark.anyio

DATA = Path(__file__).parents[3] / "data" / "transcripts"
CLAUDE, CODEX = "scribe", "clerk"
FILES = {"claude_exec": ".claude/projects/-w/{}.jsonl", "codex_exec": ".codex/sessions/2026/11/21/{}.jsonl"}
# stands for an agent that is never started
TOOLS = {
    CLAUDE: ToolSettings(driver="claude", executable="true", cwd="caller"),
    CODEX: ToolSettings(driver="codex", executable="true", cwd="caller"),
}


async def opened(home: Served, name: str, **more: Any) -> dict[str, Any]:
    made = await home.ask("POST", "/api/v2/sessions", {"specialist_id": "apollo", "name": name, **more})
    assert made.status == 200, made.text
    found: dict[str, Any] = made.json
    return found


def home_with_transcripts(folder: Path) -> dict[str, str]:
    """Create a home with a conversation of each agent; return the environment that points to it."""
    for name, place in FILES.items():
        path = folder / place.format(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((DATA / f"{name}.jsonl").read_bytes())
    return {**PROGRAM_ENVIRONMENT, "HOME": str(folder)}


async def import_report(home: Served, **wishes: Any) -> dict[str, Any]:
    answer = await home.ask("POST", "/api/v2/imports", wishes)
    assert answer.status == 200, answer.text
    found: dict[str, Any] = answer.json
    return found


def counts(report: dict[str, Any]) -> list[tuple[str, int, int]]:
    return sorted((file["tool"], file["new"], file["known"]) for file in report["files"])


async def test_a_session_past_its_ttl_can_be_read_while_the_store_refuses(tmp_path: Path) -> None:
    store = RefusingStore()
    async with served(tmp_path, store=store) as home:
        made = await opened(home, "brief", ttl=60)
        row = await store.get("session", made["id"])
        assert row is not None
        await store.commit(made["id"], [], rows=[session_row(replace(session_of(row), used_at=0))])
        store.refused_payloads[SessionStateChanged] = refusals(100)
        for path in ("", "/events", "/checkpoints"):
            read = await home.ask("GET", f"/api/v2/sessions/{made['id']}{path}")
            assert read.status == 200, read.text
            assert read.json.get("state", "expired") == "expired"
        late = await home.ask("POST", f"/api/v2/sessions/{made['id']}/message", {"message": "hi"})
        assert (late.status, late.json["code"]) == (409, "session_over")
        store.refused_payloads.clear()
        await home.ask("GET", f"/api/v2/sessions/{made['id']}")
        await home.seen(made["id"], lambda event: event == SessionStateChanged("expired"))
        assert (await opened(home, "brief"))["id"] != made["id"]  # its name is free again


async def test_a_session_is_found_by_name_in_every_route(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        made = await opened(home, "my work")
        said = await home.ask("POST", "/api/v2/ai/apollo/message", {"content": "hi", "session_id": "my work"})
        assert said.json["session_id"] == made["id"]
        assert (await home.ask("GET", "/api/v2/sessions/my%20work")).json["id"] == made["id"]
        found = (await home.ask("GET", "/api/v2/sessions?name=my%20work")).json["sessions"]
        assert [(s["id"], s["name"]) for s in found] == [(made["id"], "my work")]
        assert (await home.ask("GET", "/api/v2/sessions?name=other")).json["sessions"] == []
        page = (await home.ask("GET", "/api/v2/sessions/my%20work/events")).json
        assert {event["session_id"] for event in page["events"]} == {made["id"]}
        short = (await home.ask("GET", "/api/v2/sessions/my%20work?messages=1")).json["messages"]
        assert [m["role"] for m in short] == ["assistant"]
        plan = {"steps": [{"id": "a", "ai": "apollo", "message": "on", "session_id": "my work"}]}
        assert "plan.ended" in (await home.ask("POST", "/api/v2/plans", plan)).text
        assert len((await home.ask("GET", f"/api/v2/sessions/{made['id']}")).json["messages"]) == 4


async def test_a_list_shows_state_and_use_of_sessions_and_counts_active_ones(
    tmp_path: Path,
) -> None:
    async with served(tmp_path) as home:
        used, unused, ended = [await opened(home, name) for name in ("used", "unused", "ended")]
        for session in (used, ended):
            await home.ask("POST", f"/api/v2/sessions/{session['id']}/message", {"message": "hi"})
        forked = (await home.ask("POST", f"/api/v2/sessions/{used['id']}/fork")).json
        saved = await home.ask("POST", f"/api/v2/sessions/{unused['id']}/save", {"name": "still unused"})
        await home.ask("DELETE", f"/api/v2/sessions/{ended['id']}")
        await home.say("apollo", "a message that opens a session for itself")
        listed = (await home.ask("GET", "/api/v2/sessions")).json["sessions"]
        assert {s["id"]: (s["state"], s["started"]) for s in listed} == {
            used["id"]: ("active", True),
            unused["id"]: ("active", False),
            ended["id"]: ("stopped", True),
            forked["id"]: ("active", True),
        }
        assert saved.json["started"] is False
        full = (await home.ask("GET", "/api/v2/sessions?state=active&summary=true")).json["sessions"]
        assert {s["id"]: (s["summary"]["first"], s["summary"]["messages"]) for s in full} == {
            used["id"]: ("hi", 2),
            unused["id"]: ("", 0),
            forked["id"]: ("hi", 2),
        }
        assert (await home.ask("GET", "/api/v2/status")).json["sessions"] == 3
        assert (await home.ask("GET", "/api/v2/ai/apollo")).json["sessions"] == 3
        peers = (await home.ask("GET", "/api/v2/ai")).json["peers"]
        assert [peer["sessions"] for peer in peers] == [3, 0, 0, 0]


async def test_the_last_messages_can_be_taken_back_one_after_the_other(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        path = f"/api/v2/sessions/{(await opened(home, 'talk'))['id']}"

        async def say(text: str) -> None:
            await home.ask("POST", f"{path}/message", {"message": text})

        async def questions() -> list[str]:
            messages = (await home.ask("GET", path)).json["messages"]
            return [each["content"] for each in messages if each["role"] == "user"]

        async def go_back(at: str) -> list[str]:
            done = (await home.ask("POST", f"{path}/restore", {"at": at})).json
            changes = {(each["role"], each["change"]) for each in done["changed_messages"]}
            assert changes == {("user", "removed"), ("assistant", "removed")}
            return await questions()

        for text in ("one", "two", "three", "four"):
            await say(text)
        assert await go_back("-1") == ["one", "two", "three"]
        assert await go_back("-2") == ["one"]
        await say("five")
        assert await questions() == ["one", "five"]
        assert await go_back("-1") == ["one"]
        preview = await home.ask("POST", f"{path}/restore", {"at": "-1", "dry_run": True})
        assert [each["content"] for each in preview.json["changed_messages"]] == ["one", "apollo heard: one"]
        assert await go_back("-1") == []
        for at in ("-1", "-9", "-0"):
            answer = await home.ask("POST", f"{path}/restore", {"at": at})
            assert (answer.status, answer.json["code"]) == (404, "not_found")
        await say("six")
        forked = (await home.ask("POST", f"{path}/fork", {"at": "-1"})).json
        assert (forked["messages"], await questions()) == ([], ["six"])
        kept = (await home.ask("GET", "/api/v2/history?limit=9")).json["history"]
        assert {said["message"] for said in kept} == {"one", "two", "three", "four", "five", "six"}


async def test_a_tool_lists_its_sessions() -> None:
    async with with_programs(tools=TOOLS) as home:
        made = (await home.ask("POST", "/api/v2/sessions", {"specialist_id": CLAUDE, "name": "work"})).json
        brief = {"id": made["id"], "name": "work", "state": "active", "started": False}
        for path in (f"/api/v2/ai/{CLAUDE}", f"/api/v2/tools/{CLAUDE}"):
            assert (await home.ask("GET", path)).json["sessions"] == [brief]
        await home.ask("DELETE", f"/api/v2/sessions/{made['id']}")
        over = (await home.ask("GET", f"/api/v2/tools/{CLAUDE}")).json["sessions"]
        assert over == [{**brief, "name": "work", "state": "stopped"}]
        assert (await home.ask("GET", f"/api/v2/ai/{CODEX}")).json["sessions"] == []


async def test_a_saved_session_has_a_name_and_does_not_expire(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        begun = {"content": "hi", "context_window": 5}
        id = (await home.ask("POST", "/api/v2/ai/apollo/message", begun)).json["session_id"]
        assert (await home.ask("GET", f"/api/v2/sessions/{id}")).json["ttl"] == 3600.0
        saved = (await home.ask("POST", f"/api/v2/sessions/{id}/save", {"name": "kept"})).json
        assert (saved["id"], saved["name"], saved["ttl"], len(saved["messages"])) == (id, "kept", None, 2)
        other = await opened(home, "other")
        taken = await home.ask("POST", f"/api/v2/sessions/{other['id']}/save", {"name": "kept"})
        assert (taken.status, taken.json["code"]) == (409, "name_taken")
        assert (await home.ask("POST", "/api/v2/sessions/kept/save", {"name": "renamed"})).json["id"] == id
        assert (await home.ask("GET", "/api/v2/sessions/kept")).status == 404
        await home.ask("DELETE", "/api/v2/sessions/renamed")
        over = await home.ask("POST", f"/api/v2/sessions/{id}/save", {"name": "again"})
        assert (over.status, over.json["code"]) == (409, "session_over")


async def test_a_fork_has_the_history_and_does_not_change_its_parent(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        parent = await opened(home, "work", metadata={"a": 1})
        await home.ask("POST", "/api/v2/sessions/work/message", {"message": "one"})
        copy = (await home.ask("POST", "/api/v2/sessions/work/fork", {"name": "copy"})).json
        assert (copy["name"], copy["ttl"], copy["metadata"]) == ("copy", None, {"a": 1})
        await home.ask("POST", "/api/v2/sessions/copy/message", {"message": "two"})
        both = [(await home.ask("GET", f"/api/v2/sessions/{s['id']}")).json for s in (parent, copy)]
        assert [[m["content"] for m in s["messages"] if m["role"] == "user"] for s in both] == [
            ["one"],
            ["one", "two"],
        ]
        await home.ask("DELETE", "/api/v2/sessions/work")
        late = (await home.ask("POST", f"/api/v2/sessions/{parent['id']}/fork", {"name": "late"})).json
        assert len(late["messages"]) == 2


async def test_a_session_of_a_shared_program_cannot_be_forked() -> None:
    async with with_programs() as home:
        await home.announce("counter", *PYTHON[:1], "-c", "import sys\nfor line in sys.stdin: print(line)")
        session = await home.standing("counter")
        answer = await home.ask("POST", f"/api/v2/sessions/{session}/fork", {})
        assert (answer.status, answer.json["code"], answer.json["peer"]) == (
            409,
            "fork_unsupported",
            "counter",
        )


async def test_a_resumed_session_becomes_the_default_one_of_its_folder() -> None:
    async with with_programs(tools=TOOLS) as home:
        made = await opened(home, "work", specialist_id=CLAUDE, cwd="/tmp")
        assert made["metadata"] == {"cwd": "/tmp"}
        wish = {"standing": True, "cwd": "/var"}
        assert (await home.ask("POST", "/api/v2/sessions/work/resume", wish)).status == 200
        row = await home.hub.state.store.get("standing", f"{home.node.owner}/{CLAUDE}//var")
        assert row is not None and row.parent == made["id"]
        assert await home.hub.state.store.get("standing", f"{home.node.owner}/{CLAUDE}//tmp") is None


async def test_conversations_of_agents_are_imported_once(tmp_path: Path) -> None:
    async with with_programs(tools=TOOLS, environment=home_with_transcripts(tmp_path)) as home:
        assert counts(await import_report(home, dry_run=True)) == [(CODEX, 3, 0), (CLAUDE, 3, 0)]
        assert (await home.ask("GET", "/api/v2/sessions")).json["sessions"] == []
        first = await import_report(home)
        assert counts(first) == [(CODEX, 3, 0), (CLAUDE, 3, 0)]
        again = await import_report(home)
        assert (again["files"], again["unchanged"], again["more"]) == ([], 2, False)
        for file in first["files"]:
            os.utime(file["path"])
        assert counts(await import_report(home)) == [(CODEX, 0, 3), (CLAUDE, 0, 3)]
        hits = (await home.ask("GET", "/api/v2/search?q=heron")).json["hits"]
        assert sorted(hit["ai"] for hit in hits) == [CODEX, CLAUDE]
        asked = (await home.ask("GET", "/api/v2/history")).json["history"]
        assert [(one["ai"], one["message"], one["at"]) for one in asked[-2:]] == [
            (CLAUDE, "which bird?", "2026-11-21T12:37:28.562Z"),
            (CLAUDE, "run the tool", "2026-11-21T12:37:28.099Z"),
        ]


async def test_an_imported_session_continues_the_agents_conversation(tmp_path: Path) -> None:
    async with with_programs(tools=TOOLS, environment=home_with_transcripts(tmp_path)) as home:
        (file,) = (await import_report(home, tool=CLAUDE))["files"]
        session = (await home.ask("GET", f"/api/v2/sessions/{file['session_id']}")).json
        assert (session["state"], session["ttl"], session["specialist_id"]) == ("active", None, CLAUDE)
        assert session["metadata"] == {
            "cwd": "/home/me/work",
            "imported": {
                "tool": CLAUDE,
                "conversation": file["conversation"],
                "path": file["path"],
                "title": "run the tool",
            },
        }
        memory = await home.hub.state.store.get("memory", f"{CLAUDE}/{session['id']}")
        assert memory is not None and file["conversation"].encode() in memory.doc
        kinds = [type(payload).__name__ for payload in await home.log(session["id"])]
        assert kinds[:11] == [
            *("SessionStateChanged", "MessageAccepted", "TurnStarted", "OutputDelta", "OutputDelta"),
            *("ToolCalled", "ToolReturned", "UsageReported", "OutputDelta", "UsageReported", "TurnCompleted"),
        ]


async def test_a_growing_conversation_is_imported_by_whole_turns(tmp_path: Path) -> None:
    environment = home_with_transcripts(tmp_path)
    path = tmp_path / FILES["codex_exec"].format("codex_exec")
    whole = path.read_bytes()
    places = [at for at in range(len(whole)) if whole.startswith(b'"task_complete"', at)]
    async with with_programs(tools=TOOLS, environment=environment) as home:
        for cut, wanted in ((places[0], 0), (places[1], 1), (len(whole), 2)):
            path.write_bytes(whole[:cut])
            (file,) = (await import_report(home, tool=CODEX))["files"]
            assert file["new"] == wanted
        assert (await import_report(home, tool=CODEX))["unchanged"] == 1
        sessions = (await home.ask("GET", "/api/v2/sessions")).json["sessions"]
        assert len(sessions) == 1


async def test_unreadable_files_are_reported_and_the_others_imported(tmp_path: Path) -> None:
    home_with_transcripts(tmp_path)
    good = tmp_path / FILES["claude_exec"].format("claude_exec")
    bad = tmp_path / "notes.jsonl"
    bad.write_text('{"some": "thing"}\n')
    async with with_programs(tools=TOOLS) as home:
        report = await import_report(home, paths=[str(bad), str(tmp_path / "none.jsonl"), str(good)])
        assert [(file["new"], file["error"]) for file in report["files"]] == [
            (0, "the file is not a conversation of a known agent"),
            (0, "No such file or directory"),
            (3, None),
        ]
        folder = await import_report(home, paths=[str(tmp_path)])
        assert counts(folder) == [(CODEX, 3, 0)]
        late = await import_report(home, paths=[str(tmp_path)], since="2999-01-01T00:00:00Z")
        assert late["files"] == []


async def test_an_import_does_not_reopen_an_ended_session(tmp_path: Path) -> None:
    async with with_programs(tools=TOOLS, environment=home_with_transcripts(tmp_path)) as home:
        (file,) = (await import_report(home, tool=CLAUDE))["files"]
        await home.ask("DELETE", f"/api/v2/sessions/{file['session_id']}")
        os.utime(file["path"])
        (again,) = (await import_report(home, tool=CLAUDE))["files"]
        assert (again["new"], again["skipped"]) == (0, "its session is stopped")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"tool": "nobody"}, 404, "unknown_peer"),
        ({"tool": "apollo"}, 422, "unprocessable"),
        ({"paths": ["relative.jsonl"]}, 400, "malformed"),
        ({"paths": ["/tmp/../etc/passwd"]}, 400, "malformed"),
        ({"paths": ["/tmp/a\0b"]}, 400, "malformed"),
        ({"since": "yesterday"}, 400, "malformed"),
    ],
)
async def test_an_invalid_import_is_rejected(body: Any, status: int, code: str) -> None:
    async with with_programs(tools=TOOLS) as home:
        answer = await home.ask("POST", "/api/v2/imports", body)
        assert (answer.status, answer.json["code"]) == (status, code)


async def test_files_can_be_imported_only_over_the_unix_socket(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        answer = await home.ask_tcp("POST", "/api/v2/imports", headers, data=b"{}")
        assert (answer.status, answer.json["code"]) == (403, "forbidden")
