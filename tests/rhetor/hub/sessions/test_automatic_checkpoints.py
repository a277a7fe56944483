"""Checkpoints before each turn, and the limits on how many are kept."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.served import Served, served

from rhetor.domain.event import CheckpointFailed, CheckpointMade, CheckpointRemoved, TurnCompleted
from rhetor.hub.core.limits import CheckpointLimits, Limits
from rhetor.hub.sessions import checkpoint_limits
from rhetor.store.encoding import encode
from rhetor.store.files import store as files

from .test_checkpoints import told, with_scribe
from .test_restores import WORK, asked, restored, saved, with_project

pytestmark = pytest.mark.anyio
PER_TURN = CheckpointLimits(per_turn=True)


async def checkpoints(home: Served) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await asked(home, "GET", f"{WORK}/checkpoints"))["checkpoints"]
    return found


async def payloads(home: Served, kind: type) -> list[Any]:
    session = await asked(home, "GET", WORK)
    return [payload for payload in await home.log(session["id"]) if isinstance(payload, kind)]


def bytes_stored(home: Served) -> int:
    return home.hub.state.files().size


@pytest.mark.parametrize("by", ["checkpoint", "message"])
async def test_a_turn_can_be_taken_back_with_its_files(tmp_path: Path, by: str) -> None:
    async with with_project(tmp_path, PER_TURN) as (home, folder):
        (folder / "a").write_text("one")
        await told(home, "work", "one")
        (folder / "a").write_text("two")
        await told(home, "work", "two")
        first, second = await checkpoints(home)
        assert (first["name"], second["name"]) == ("before: one", "before: two")
        assert (first["automatic"], first["files"]) == (True, 1)
        done = await restored(home, second["checkpoint_id"] if by == "checkpoint" else "-1")
        assert [m["content"] for m in done["messages"]] == ["one", "apollo heard: one"]
        assert (folder / "a").read_text() == "two"
        done = await restored(home, first["checkpoint_id"] if by == "checkpoint" else "-1")
        assert (done["messages"], (folder / "a").read_text()) == ([], "one")


async def test_a_turn_of_an_agent_can_be_taken_back_with_the_files_of_its_folder(tmp_path: Path) -> None:
    async with with_scribe(tmp_path, cwd="caller", limits=Limits(checkpoints=PER_TURN)) as home:
        folder = tmp_path / "site"
        folder.mkdir()
        opened = {"specialist_id": "scribe", "name": "site", "cwd": str(folder)}
        await asked(home, "POST", "/api/v2/sessions", opened)
        for content in ("one", "two"):
            (folder / "a").write_text(f"before {content}")
            await told(home, "site", content)
        (folder / "a").write_text("spoilt")
        path = "/api/v2/sessions/site"
        made = (await asked(home, "GET", f"{path}/checkpoints"))["checkpoints"]
        assert [each["name"] for each in made] == ["before: one", "before: two"]
        done = await asked(home, "POST", f"{path}/restore", {"at": "before: two"})
        assert (done["messages"][0]["content"], done["rewound"]) == ("one", True)
        assert (folder / "a").read_text() == "before two"
        assert await told(home, "site", "three") == "c1: one three"


async def test_nothing_is_stored_if_nothing_changed(tmp_path: Path) -> None:
    async with with_project(tmp_path, PER_TURN) as (home, folder):
        (folder / "a").write_text("one")
        await saved(home, "mine")
        size = bytes_stored(home)
        await told(home, "work", "one")  # neither files nor conversation have changed since `mine`
        await told(home, "work", "two")  # the conversation has
        assert [each["name"] for each in await checkpoints(home)] == ["mine", "before: two"]
        assert bytes_stored(home) == size
        (folder / "a").write_text("two")
        await restored(home, "-2")  # `mine` is the checkpoint before the first message
        assert (folder / "a").read_text() == "one"


async def test_turns_after_a_restore_have_checkpoints_too(tmp_path: Path) -> None:
    async with with_project(tmp_path, PER_TURN) as (home, folder):
        (folder / "a").write_text("one")
        for content in ("one", "two", "three"):
            await told(home, "work", content)
        await restored(home, "before: three")
        for content in ("other", "further"):  # nothing has changed since the restore before the first one
            await told(home, "work", content)
        names = ["before: one", "before: two", "before: three", "before: further"]
        assert [each["name"] for each in await checkpoints(home)] == names
        done = await restored(home, "before: further")
        said = [m["content"] for m in done["messages"] if m["role"] == "user"]
        assert said == ["one", "two", "other"]


async def test_a_session_without_a_folder_has_no_automatic_checkpoints(tmp_path: Path) -> None:
    async with served(tmp_path, limits=Limits(checkpoints=PER_TURN)) as home:
        await asked(home, "POST", "/api/v2/sessions", {"specialist_id": "apollo", "name": "work"})
        await told(home, "work", "one")
        assert await checkpoints(home) == []
        assert not home.hub.state.files.exists


async def test_a_turn_without_its_checkpoint_says_so(tmp_path: Path) -> None:
    async with with_project(tmp_path, PER_TURN) as (home, folder):
        folder.rmdir()
        frames = await streamed(home, "one")
        notices = [frame["detail"] for frame in frames if frame["type"] == "notice"]
        why = f"the files in {folder} cannot be kept: No such file or directory"
        assert notices == [f"no checkpoint of this turn: {why}"]
        assert frames[-1]["type"] == "done"
        assert await payloads(home, CheckpointFailed) == [CheckpointFailed("unprocessable", why)]
        assert await checkpoints(home) == []


async def test_a_bug_in_the_store_of_files_does_not_keep_a_turn_from_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(files.FileStore, "take", fails)
    async with with_project(tmp_path, PER_TURN) as (home, _):
        assert await told(home, "work", "one") == "apollo heard: one"
        [failed] = await payloads(home, CheckpointFailed)
        assert (failed.code, failed.detail) == ("internal", "ZeroDivisionError: oh")


async def test_what_an_automatic_checkpoint_leaves_out_is_said_once(tmp_path: Path) -> None:
    async with with_project(tmp_path, PER_TURN) as (home, folder):
        os.mkfifo(folder / "pipe")
        said = [
            [frame["detail"] for frame in await streamed(home, content) if frame["type"] == "notice"]
            for content in ("one", "two")
        ]
        assert said == [["not in the checkpoint 'before: one': pipe (not a file)"], []]


async def streamed(home: Served, content: str) -> list[dict[str, Any]]:
    answer = await home.ask("POST", f"{WORK}/stream", {"message": content})
    return [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]


async def test_a_queued_turn_has_a_checkpoint_after_the_turn_before_it(tmp_path: Path) -> None:
    async with with_project(tmp_path, PER_TURN) as (home, _):
        await asked(home, "POST", f"{WORK}/pause")
        for content in ("one", "two"):
            options = {"headers": {"prefer": "respond-async"}}
            sent = await home.ask("POST", f"{WORK}/message", {"message": content}, **options)
            assert sent.status == 202
        await asked(home, "POST", f"{WORK}/resume")
        session = await asked(home, "GET", WORK)
        ended: list[object] = []

        def is_second_end(payload: object) -> bool:
            ended.extend([payload] if isinstance(payload, TurnCompleted) else [])
            return len(ended) == 2

        await home.seen(session["id"], is_second_end)
        made = await checkpoints(home)
        assert [each["name"] for each in made] == ["before: one", "before: two"]
        log = await home.log(session["id"])
        first_end = next(n for n, payload in enumerate(log, 1) if isinstance(payload, TurnCompleted))
        assert int(made[1]["cursor"].partition(":")[2]) >= first_end


@asynccontextmanager
async def with_limits(tmp_path: Path, **limits: Any) -> AsyncIterator[tuple[Served, Path]]:
    async with with_project(tmp_path, CheckpointLimits(**limits)) as found:
        yield found


async def unnamed(home: Served) -> dict[str, Any]:
    made: dict[str, Any] = await asked(home, "POST", f"{WORK}/checkpoint", {})
    return made


async def test_more_checkpoints_than_are_kept_are_removed_and_named_in_the_answer(tmp_path: Path) -> None:
    async with with_limits(tmp_path, keep=2) as (home, _):
        first = await unnamed(home)
        await saved(home, "mine")
        second = await unnamed(home)
        assert (first["removed"], second["removed"]) == ([], [])
        third = await unnamed(home)
        [removed] = third["removed"]
        assert removed["checkpoint_id"] == first["checkpoint_id"]
        assert removed["limit"] == "checkpoints.keep"
        assert [each["name"] for each in await checkpoints(home)] == ["mine", second["name"], third["name"]]
        id = first["checkpoint_id"]
        assert await payloads(home, CheckpointRemoved) == [CheckpointRemoved(id, id, "checkpoints.keep")]


async def test_an_automatic_checkpoint_that_is_too_much_is_removed_and_the_first_one_is_named(
    tmp_path: Path,
) -> None:
    async with with_limits(tmp_path, keep=1, per_turn=True) as (home, _):
        said = [
            [frame["detail"] for frame in await streamed(home, content) if frame["type"] == "notice"]
            for content in ("one", "two", "three")
        ]
        removed = "removed the checkpoint 'before: one', and from now on older ones (checkpoints.keep)"
        assert said == [[], [removed], []]
        gone = [event.name for event in await payloads(home, CheckpointRemoved)]
        assert gone == ["before: one", "before: two"]
        assert [each["name"] for each in await checkpoints(home)] == ["before: three"]


async def test_an_old_checkpoint_is_removed_with_its_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "RECENT_SECONDS", 0)
    async with with_limits(tmp_path) as (home, folder):
        (folder / "a").write_bytes(os.urandom(5000))
        await unnamed(home)
        (folder / "a").write_bytes(os.urandom(5000))
        await saved(home, "mine")
        state = home.hub.state
        state.ids.since = lambda at: 31 * checkpoint_limits.DAY  # type: ignore[method-assign]
        size = bytes_stored(home)
        await checkpoint_limits.sweep(state)
        assert [each["name"] for each in await checkpoints(home)] == ["mine"]
        assert bytes_stored(home) < size - 4000
        (folder / "a").write_text("other")
        await restored(home, "mine")
        assert (folder / "a").stat().st_size == 5000


async def test_the_oldest_checkpoints_are_removed_when_all_take_too_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "RECENT_SECONDS", 0)
    monkeypatch.setattr(checkpoint_limits, "SHRINK_SECONDS", 0)
    async with with_limits(tmp_path, max_bytes=30_000) as (home, folder):
        made = []
        for _ in range(4):
            (folder / "a").write_bytes(os.urandom(9000))
            made.append(await unnamed(home))
        removed = [each["checkpoint_id"] for each in made[-1]["removed"]]
        assert removed == [made[1]["checkpoint_id"], made[0]["checkpoint_id"]]
        assert {each["limit"] for each in made[-1]["removed"]} == {"checkpoints.max_bytes"}
        await checkpoint_limits.collect(home.hub.state)
        assert bytes_stored(home) <= 30_000
        (folder / "a").write_text("other")
        await restored(home, made[2]["checkpoint_id"])
        assert (folder / "a").stat().st_size == 9000


async def test_content_that_no_checkpoint_has_goes_before_checkpoints_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "RECENT_SECONDS", 0)
    async with with_limits(tmp_path, max_bytes=30_000) as (home, folder):
        store = home.hub.state.files()
        await unnamed(home)
        (folder / "a").write_bytes(os.urandom(25_000))
        store.take(folder)
        (folder / "a").write_bytes(os.urandom(25_000))
        assert (await unnamed(home))["removed"] == []
        await checkpoint_limits.collect(home.hub.state)  # after the automatic one, which has begun already
        assert 25_000 < store.size < 30_000
        assert len(await checkpoints(home)) == 2


async def test_checkpoints_with_names_stay_and_their_size_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint_limits, "SHRINK_SECONDS", 0)
    async with with_limits(tmp_path, max_bytes=10_000) as (home, folder):
        for name in ("one", "two"):
            (folder / "a").write_bytes(os.urandom(9000))
            made = await saved(home, name)
        assert (made["removed"], made["exceeding_bytes"] > 18_000) == ([], True)
        assert [each["name"] for each in await checkpoints(home)] == ["one", "two"]


async def test_content_of_a_checkpoint_that_a_killed_hub_did_not_make_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "RECENT_SECONDS", 0)
    async with with_limits(tmp_path) as (home, folder):
        (folder / "a").write_bytes(os.urandom(5000))
        home.hub.state.files().take(folder)
        (folder / "a").write_text("one")
        await saved(home, "mine")
        await checkpoint_limits.sweep(home.hub.state)
        assert bytes_stored(home) < 1000


async def test_a_checkpoint_that_is_being_restored_keeps_its_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "RECENT_SECONDS", 0)
    async with with_limits(tmp_path) as (home, folder):
        store = home.hub.state.files()
        (folder / "a").write_bytes(os.urandom(5000))
        root = store.take(folder).root
        with store.holding(root):
            store.keep([])
            assert store.paths(root) == {b"a"}
        store.keep([])
        assert store.size == 0


def test_events_of_checkpoints_keep_their_form() -> None:
    assert encode(CheckpointMade("c", "n", "s@e:1")) == b'{"checkpoint_id":"c","name":"n","parent":"s@e:1"}'
