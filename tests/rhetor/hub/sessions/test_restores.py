"""Checkpoints of a session whose peer works in a folder: its files, its log and its agent's memory go back
together."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from tests.served import Answer, Served, served

from rhetor.domain.event import OutputDelta
from rhetor.errors import StoreRefused
from rhetor.hub.catalog.checkpoints import checkpoint_of
from rhetor.hub.catalog.programs import memory_row
from rhetor.hub.catalog.sessions import session_of, session_row
from rhetor.hub.core.limits import CheckpointLimits, Limits
from rhetor.hub.core.nodes import OneNode
from rhetor.hub.nodes.several import SeveralNodes
from rhetor.hub.sessions.restored_files import Note
from rhetor.store.files.restore import Restore
from rhetor.store.memory import MemoryStore

from .test_checkpoints import told, with_scribe

pytestmark = pytest.mark.anyio
WORK = "/api/v2/sessions/work"


@asynccontextmanager
async def with_project(
    tmp_path: Path,
    checkpoints: CheckpointLimits | None = None,
    **options: Any,
) -> AsyncIterator[tuple[Served, Path]]:
    """A hub with the session `work` with apollo, in a project."""
    folder = tmp_path / "root" / "site"
    folder.mkdir(parents=True, exist_ok=True)
    (tmp_path / "hub").mkdir(exist_ok=True)
    limits = Limits(project_roots=(str(tmp_path / "root"),), checkpoints=checkpoints or CheckpointLimits())
    async with served(tmp_path / "hub", limits=limits, **options) as home:
        await asked(home, "POST", "/api/projects", {"name": "site", "path": str(folder)})
        opened = {"specialist_id": "apollo", "name": "work", "project_id": "site"}
        await asked(home, "POST", "/api/v2/sessions", opened)
        yield home, folder


async def asked(home: Served, method: str, path: str, body: Any = None) -> Any:
    answer = await home.ask(method, path, body)
    assert answer.status == 200, answer.text
    return answer.json


async def saved(home: Served, name: str) -> Any:
    return await asked(home, "POST", f"{WORK}/checkpoint", {"name": name})


async def restored(home: Served, at: str, **more: Any) -> Any:
    return await asked(home, "POST", f"{WORK}/restore", {"at": at, **more})


def paths(changed: list[dict[str, Any]]) -> dict[str, str]:
    return {each["path"]: each["change"] for each in changed}


async def test_a_restore_brings_back_the_conversation_and_the_files(tmp_path: Path) -> None:
    async with with_project(tmp_path) as (home, folder):
        (folder / "a").write_text("one")
        await told(home, "work", "one")
        made = await saved(home, "first")
        assert (made["folder"], made["files"], made["bytes"]) == (str(folder), 1, 3)
        assert (made["left_out"], made["automatic"]) == ([], False)
        (folder / "a").write_text("two")
        (folder / "b").write_text("new")
        await told(home, "work", "two")
        done = await restored(home, "first")
        assert paths(done["changed"]) == {"a": "changed", "b": "removed"}
        assert (done["before"]["name"], done["saved"], done["retold"]) == ("before a restore", None, False)
        assert ((folder / "a").read_text(), (folder / "b").exists()) == ("one", False)
        assert [m["content"] for m in done["messages"]] == ["one", "apollo heard: one"]
        done = await restored(home, done["before"]["checkpoint_id"])  # nothing is lost
        assert ((folder / "a").read_text(), (folder / "b").read_text()) == ("two", "new")
        assert done["before"] is None  # the files of now are those of `first`


async def test_a_dry_run_shows_what_would_change_and_changes_nothing(tmp_path: Path) -> None:
    async with with_project(tmp_path) as (home, folder):
        (folder / "a").write_text("one")
        await saved(home, "first")
        (folder / "a").write_text("two!")
        shown = await restored(home, "first", dry_run=True)
        assert shown["changed"] == [
            {"path": "a", "change": "changed", "kind": "file", "old_bytes": 4, "new_bytes": 3}
        ]
        assert (folder / "a").read_text() == "two!"
        assert len((await asked(home, "GET", f"{WORK}/checkpoints"))["checkpoints"]) == 1


async def test_two_checkpoints_can_be_compared(tmp_path: Path) -> None:
    async with with_project(tmp_path) as (home, folder):
        (folder / "a").write_text("one")
        first = await saved(home, "first")
        (folder / "b").write_text("new")
        second = await saved(home, "second")
        ids = first["checkpoint_id"], second["checkpoint_id"]
        found = await asked(home, "GET", f"/api/v2/checkpoints/{ids[0]}/diff/{ids[1]}")
        assert paths(found["changed"]) == {"b": "added"}
        assert found["cursors"] == [first["cursor"], second["cursor"]]
        missing = await home.ask("GET", f"/api/v2/checkpoints/{ids[0]}/diff/c_none")
        assert (missing.status, missing.json["code"]) == (404, "not_found")


async def test_a_diff_has_the_messages_of_each_branch_that_the_other_lacks(tmp_path: Path) -> None:
    async with with_project(tmp_path) as (home, _):
        await told(home, "work", "both")
        fork_point = await saved(home, "fork point")
        await told(home, "work", "left")
        left = await saved(home, "left")
        shown = await restored(home, "fork point", dry_run=True)
        expected = [("removed", "left"), ("removed", "apollo heard: left")]
        assert messages(shown) == expected
        assert messages(await restored(home, "fork point")) == expected
        await told(home, "work", "right")
        right = await saved(home, "right")

        async def diff(a: Any, b: Any) -> Any:
            path = f"/api/v2/checkpoints/{a['checkpoint_id']}/diff/{b['checkpoint_id']}"
            return messages(await asked(home, "GET", path))

        added = [("added", "right"), ("added", "apollo heard: right")]
        assert await diff(left, right) == expected + added
        assert await diff(fork_point, right) == added
        assert await diff(right, right) == []
        forked = await asked(home, "POST", f"{WORK}/fork", {"name": "copy"})
        await told(home, "copy", "further")
        copied = await asked(home, "POST", f"/api/v2/sessions/{forked['id']}/checkpoint")
        further = [("added", "further"), ("added", "apollo heard: further")]
        assert await diff(right, copied) == further


def messages(found: dict[str, Any]) -> list[tuple[str, str]]:
    return [(each["change"], each["content"]) for each in found["changed_messages"]]


async def test_a_timeline_is_a_tree_that_branches_at_a_restored_checkpoint(tmp_path: Path) -> None:
    async with with_project(tmp_path) as (home, _):
        first = await saved(home, "first")
        await saved(home, "second")
        await restored(home, "first")
        await saved(home, "other")
        found = await asked(home, "GET", f"{WORK}/timeline")
        names = {each["checkpoint_id"]: each["name"] for each in found["checkpoints"]}
        tree = [(each["name"], names.get(each["from"])) for each in found["checkpoints"]]
        assert tree == [("first", None), ("second", "first"), ("other", "first")]
        assert names[found["current"]] == "other"
        assert first["checkpoint_id"] in names


async def test_a_name_of_two_checkpoints_is_not_guessed(tmp_path: Path) -> None:
    async with with_project(tmp_path) as (home, _):
        made = [await saved(home, "same"), await saved(home, "same")]
        refused = await home.ask("POST", f"{WORK}/restore", {"at": "same"})
        assert (refused.status, refused.json["code"]) == (422, "unprocessable")
        assert all(each["checkpoint_id"] in refused.json["detail"] for each in made)


async def test_what_is_in_the_way_stops_a_restore_before_anything_changes(tmp_path: Path) -> None:
    async with with_project(tmp_path) as (home, folder):
        (folder / "a").write_text("one")
        await saved(home, "first")
        await told(home, "work", "two")
        (folder / "a").unlink()
        (folder / "a").mkdir()
        (folder / ".gitignore").write_text("*.log")
        (folder / "a/run.log").write_text("mine")
        before = await asked(home, "GET", WORK)
        refused: Answer = await home.ask("POST", f"{WORK}/restore", {"at": "first"})
        assert (refused.status, refused.json["code"]) == (422, "unprocessable")
        assert "a/run.log is in the way" in refused.json["detail"]
        after = await asked(home, "GET", WORK)
        assert (after["messages"], (folder / "a/run.log").read_text()) == (before["messages"], "mine")


async def test_a_session_without_a_folder_has_checkpoints_without_files(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        await asked(home, "POST", "/api/v2/sessions", {"specialist_id": "apollo", "name": "work"})
        made = await saved(home, "first")
        assert "files" not in made
        assert (await restored(home, "first", dry_run=True))["changed"] == []
        assert (await restored(home, "first"))["changed"] == []


async def test_a_restore_that_the_hub_did_not_finish_is_finished_by_the_next_one(tmp_path: Path) -> None:
    store = MemoryStore(clock=lambda: 1_700_000_000_000)
    async with with_project(tmp_path, store=store) as (home, folder):
        (folder / "a").write_text("one")
        await told(home, "work", "one")
        made = await saved(home, "first")
        (folder / "a").write_text("two")
        await told(home, "work", "two")
        session = await asked(home, "GET", WORK)
        files = home.hub.state.files()
        root = files.take(folder).root
        [row] = [r for r in await store.find("checkpoint") if r.id == made["checkpoint_id"]]
        target = bytes.fromhex(msgspec.json.decode(row.doc)["files"]["root"])
        note = {"session_id": session["id"], "owner": session["owner"], "checkpoint": made["checkpoint_id"]}
        files.restore(folder, target, root, msgspec.json.encode(note))  # the hub ends before the commit
        (folder / "a").write_text("mine")
    async with with_project_again(tmp_path, store) as home:
        after = await asked(home, "GET", WORK)
        assert [m["content"] for m in after["messages"]] == ["one", "apollo heard: one"]
        assert (folder / "a").read_text() == "one"
        made_since = (await asked(home, "GET", f"{WORK}/checkpoints"))["checkpoints"][-1]
        assert made_since["name"] == "changed during a restore"
        await restored(home, made_since["checkpoint_id"])
        assert (folder / "a").read_text() == "mine"


@asynccontextmanager
async def with_project_again(tmp_path: Path, store: MemoryStore) -> AsyncIterator[Served]:
    limits = Limits(project_roots=(str(tmp_path / "root"),))
    async with served(tmp_path / "hub", limits=limits, store=store) as home:
        yield home


async def test_a_restore_that_the_log_rejects_is_undone_and_keeps_what_changed(tmp_path: Path) -> None:
    class Rejecting(MemoryStore):
        async def commit(self, *given: Any, **more: Any) -> Any:
            if more.get("base"):
                (tmp_path / "root/site/a").write_text("mine")
                raise StoreRefused("the disk is full")
            return await super().commit(*given, **more)

    store = Rejecting(clock=lambda: 1_700_000_000_000)
    async with with_project(tmp_path, store=store) as (home, folder):
        (folder / "a").write_text("one")
        await saved(home, "first")
        (folder / "a").write_text("two")
        refused = await home.ask("POST", f"{WORK}/restore", {"at": "first"})
        assert (refused.status, refused.json["code"]) == (503, "store_refused")
        assert (folder / "a").read_text() == "two"
        made = (await asked(home, "GET", f"{WORK}/checkpoints"))["checkpoints"]
        [kept] = [each for each in made if each["name"] == "changed during a restore"]
        files = home.hub.state.files()
        [row] = [r for r in await store.find("checkpoint") if r.id == kept["checkpoint_id"]]
        found = checkpoint_of(row).files
        assert found is not None
        files.export(bytes.fromhex(found.root), tmp_path / "kept")
        assert (tmp_path / "kept/a").read_text() == "mine"
        assert files.unfinished() == []


async def test_a_restore_whose_checkpoint_was_removed_meanwhile_is_finished_by_the_next_hub(
    tmp_path: Path,
) -> None:
    store = MemoryStore(clock=lambda: 1_700_000_000_000)
    async with with_project(tmp_path, store=store) as (home, folder):
        (folder / "a").write_text("one")
        await told(home, "work", "one")
        made = await saved(home, "first")
        (folder / "a").write_text("two")
        await told(home, "work", "two")
        session = await asked(home, "GET", WORK)
        [row] = await store.find("checkpoint")
        kept = checkpoint_of(row).files
        assert kept is not None
        files = home.hub.state.files()
        note = Note(session["id"], session["owner"], made["checkpoint_id"], made["cursor"])
        root = files.take(folder).root
        files.restore(folder, bytes.fromhex(kept.root), root, msgspec.json.encode(note))
        await store.commit("hub", [], drop=[("checkpoint", made["checkpoint_id"])])
    async with with_project_again(tmp_path, store) as home:
        after = await asked(home, "GET", WORK)
        assert [m["content"] for m in after["messages"]] == ["one", "apollo heard: one"]
        assert ((folder / "a").read_text(), home.hub.state.files.unfinished()) == ("one", [])


async def test_a_file_that_changes_while_a_restore_fails_is_in_a_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Restore._replace

    def fails(self: Restore, staging: int) -> None:
        monkeypatch.setattr(Restore, "_replace", real)
        (tmp_path / "root/site/a").write_text("mine")
        raise OSError(28, "No space left on device")

    async with with_project(tmp_path) as (home, folder):
        (folder / "a").write_text("one")
        await saved(home, "first")
        (folder / "a").write_text("two")
        monkeypatch.setattr(Restore, "_replace", fails)
        refused = await home.ask("POST", f"{WORK}/restore", {"at": "first"})
        assert (refused.status, refused.json["code"]) == (422, "unprocessable")
        assert "are as they were: No space left" in refused.json["detail"]
        made = (await asked(home, "GET", f"{WORK}/checkpoints"))["checkpoints"]
        assert [each["name"] for each in made] == ["first", "before a restore", "changed during a restore"]
        assert ((folder / "a").read_text(), home.hub.state.files.unfinished()) == ("two", [])
        await restored(home, "changed during a restore")
        assert (folder / "a").read_text() == "mine"


async def test_an_undone_restore_is_not_committed_by_the_next_hub(tmp_path: Path) -> None:
    store = MemoryStore(clock=lambda: 1_700_000_000_000)
    async with with_project(tmp_path, store=store) as (home, folder):
        (folder / "a").write_text("one")
        made = await saved(home, "first")
        (folder / "a").write_text("two")
        await told(home, "work", "two")
        session = await asked(home, "GET", WORK)
        files = home.hub.state.files()
        [row] = await store.find("checkpoint")
        kept = checkpoint_of(row).files
        assert kept is not None
        note = {"session_id": session["id"], "owner": session["owner"], "checkpoint": made["checkpoint_id"]}
        root = files.take(folder).root
        journal = files.restore(folder, bytes.fromhex(kept.root), root, msgspec.json.encode(note))
        files.finish(journal, undo=True)  # the hub ends before this is settled
    async with with_project_again(tmp_path, store) as home:
        after = await asked(home, "GET", WORK)
        assert [m["content"] for m in after["messages"]] == ["two", "apollo heard: two"]
        assert ((folder / "a").read_text(), home.hub.state.files.unfinished()) == ("two", [])


async def test_an_agent_goes_back_to_the_checkpoint_itself(tmp_path: Path) -> None:
    async with with_scribe(tmp_path) as home:
        await told(home, "work", "one")
        await saved(home, "first")
        assert await told(home, "work", "two") == "c0: one two"
        second = await saved(home, "second")
        done = await restored(home, "first")
        assert (done["rewound"], done["retold"], done["reason"]) == (True, False, None)
        assert await told(home, "work", "three") == "c1: one three"
        assert (await restored(home, second["checkpoint_id"]))["rewound"] is True
        assert await told(home, "work", "four") == "c2: one two four"


@pytest.mark.long
async def test_an_agent_goes_back_again_before_its_first_message(tmp_path: Path) -> None:
    async with with_scribe(tmp_path) as home:
        await told(home, "work", "one")
        await saved(home, "first")
        await told(home, "work", "two")
        await restored(home, "first")
        await saved(home, "again")
        await home.ask("POST", "/api/v2/tools/scribe/terminate")
        assert await told(home, "work", "three") == "c1: one three"
        assert (await restored(home, "again"))["rewound"] is True
        assert await told(home, "work", "four") == "c2: one four"


@pytest.mark.long
async def test_an_agent_to_which_nothing_was_said_since_continues(tmp_path: Path) -> None:
    async with with_scribe(tmp_path) as home:
        await told(home, "work", "one")
        await saved(home, "first")
        before = (await asked(home, "GET", "/api/v2/tools/scribe"))["pid"]
        assert (await restored(home, "first"))["rewound"] is True
        assert await told(home, "work", "two") == "c0: one two"
        assert (await asked(home, "GET", "/api/v2/tools/scribe"))["pid"] == before


@pytest.mark.long
async def test_an_agent_that_cannot_be_started_goes_back_before_its_next_message(tmp_path: Path) -> None:
    async with with_scribe(tmp_path) as home:
        await told(home, "work", "one")
        await saved(home, "first")
        await told(home, "work", "two")
        (tmp_path / "scribe").rename(tmp_path / "away")
        assert (await restored(home, "first"))["rewound"] is True
        missing = await home.ask("POST", "/api/v2/sessions/work/message", {"message": "three"})
        assert (missing.status, missing.json["code"]) == (422, "program_missing")
        (tmp_path / "away").rename(tmp_path / "scribe")
        assert await told(home, "work", "four") == "c1: one four"


@pytest.mark.long
async def test_an_agent_that_had_no_message_at_the_checkpoint_begins_anew(tmp_path: Path) -> None:
    async with with_scribe(tmp_path) as home:
        await saved(home, "first")
        await told(home, "work", "one")
        done = await restored(home, "first")
        assert (done["rewound"], done["retold"], done["reason"]) == (False, False, None)
        assert await told(home, "work", "two") == "c1: two"


async def test_an_agent_that_cannot_go_back_is_told_the_conversation_up_to_the_checkpoint(
    tmp_path: Path,
) -> None:
    async with with_scribe(tmp_path, stiff=True) as home:
        await told(home, "work", "one")
        await saved(home, "first")
        assert await told(home, "work", "two") == "c0: one two"
        done = await restored(home, "first")
        assert (done["rewound"], done["retold"]) == (False, True)
        assert "No message found" in done["reason"]
        answer = await told(home, "work", "three")
        assert answer.startswith("c1: ")
        assert answer.endswith("three")
        assert "User: one" in answer
        assert "You: c0: one" in answer
        assert "two" not in answer
        assert (await told(home, "work", "four")).endswith("three four")
        said = [p.text for p in await home.log(done["id"]) if isinstance(p, OutputDelta)]
        assert said.count("scribe begins a new conversation, and receives the earlier one\n") == 1


@pytest.mark.long
async def test_a_rewound_conversation_that_is_lost_before_the_next_message_is_told(tmp_path: Path) -> None:
    async with with_scribe(tmp_path) as home:
        await told(home, "work", "one")
        await saved(home, "first")
        await told(home, "work", "two")
        await restored(home, "first")
        await home.ask("POST", "/api/v2/tools/scribe/terminate")
        (tmp_path / "kept" / "c0.json").unlink()
        lost = await home.ask("POST", "/api/v2/sessions/work/message", {"message": "three"})
        assert lost.status == 502, lost.json
        assert "the next message begins a new conversation" in lost.json["detail"]
        answer = await told(home, "work", "four")
        assert ("User: one" in answer, "two" in answer) == (True, False)


@pytest.mark.long
async def test_another_agent_that_answered_since_is_told_the_restored_branch(tmp_path: Path) -> None:
    """As after a turn that was passed on: `scribe-2` knows a turn of the path that is abandoned."""
    async with with_scribe(tmp_path, also=("scribe-2",)) as home:
        store = home.hub.state.store
        await told(home, "work", "one")
        await saved(home, "first")
        await told(home, "work", "two")
        [row] = await store.find("session", name="work")
        session = session_of(row)
        heard = {"scribe": "t_1", "scribe-2": "t_2"}
        memory = memory_row(f"scribe-2/{session.id}", {"session_id": "c0"}, 0)
        await store.commit(session.id, [], rows=[session_row(replace(session, heard=heard)), memory])
        await restored(home, "first")
        [row] = await store.find("session", name="work")
        assert session_of(row).heard == {}  # its own agent knows all of the branch
        assert await store.get("memory", f"scribe-2/{session.id}") is None


@pytest.mark.parametrize("own", ["", "one-00000001"])
async def test_a_checkpoint_whose_files_are_missing_is_not_restored(tmp_path: Path, own: str) -> None:
    async with with_project(tmp_path) as (home, folder):
        (folder / "a").write_text("one")
        made = await saved(home, "first")
        await told(home, "work", "two")
        (folder / "a").write_text("two")
        shutil.rmtree(tmp_path / "hub/checkpoints")
        home.hub.state.nodes = SeveralNodes(own, 1, owner_of=_nobody) if own else OneNode()
        answer = await home.ask("POST", f"{WORK}/restore", {"at": "first"})
        assert (answer.status, "cannot be read" in answer.json["detail"]) == (422, True)
        assert ("in the folder checkpoints of its state folder" in answer.json.get("hint", "")) is bool(own)
        assert len((await asked(home, "GET", WORK))["messages"]) == 2
        alone = await restored(home, made["cursor"])
        assert (alone["messages"], (folder / "a").read_text()) == ([], "two")


async def _nobody(stream: str) -> None:
    """Own no stream."""
