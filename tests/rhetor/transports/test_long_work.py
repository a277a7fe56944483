"""Requests whose work may take long, with their progress."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from rhetor.store.files.store import FileStore
from rhetor.transports.server import long_work
from tests.rhetor.hub.sessions.test_restores import WORK, asked, saved, with_project
from tests.served import Served

pytestmark = pytest.mark.anyio
STREAM = {"accept": "text/event-stream"}


async def frames(home: Served, path: str, body: Any = None) -> list[dict[str, Any]]:
    answer = await home.ask("POST", path, body, headers=STREAM)
    assert (answer.status, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    return [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]


async def test_a_checkpoint_and_a_restore_stream_their_progress_and_their_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(long_work, "SECONDS", 0.01)
    real_take, real_restore = FileStore.take, FileStore.restore

    def slow_take(self: FileStore, *given: Any, progress: Any = None, **more: Any) -> Any:
        return real_take(self, *given, progress=slowed(progress), **more)

    def slow_restore(self: FileStore, *given: Any, progress: Any = None, **more: Any) -> Any:
        return real_restore(self, *given, progress=slowed(progress), **more)

    monkeypatch.setattr(FileStore, "take", slow_take)
    monkeypatch.setattr(FileStore, "restore", slow_restore)
    async with with_project(tmp_path) as (home, folder):
        for number in range(4):
            (folder / str(number)).write_text("one")
        *seen, made = await frames(home, f"{WORK}/checkpoint", {"name": "first"})
        assert made["result"]["files"] == 4
        assert {"unit": "files", "done": 3, "total": 4} in [each["progress"] for each in seen]
        for number in range(4):
            (folder / str(number)).write_text("two!")
        *seen, done = await frames(home, f"{WORK}/restore", {"at": "first"})
        assert len(done["result"]["changed"]) == 4
        assert {"unit": "files", "done": 2, "total": 4} in [each["progress"] for each in seen]


def slowed(progress: Any) -> Any:
    """Wait after each call of the function, longer than a frame takes."""

    def slow(done: int, total: int | None) -> None:
        progress(done, total)
        Event().wait(0.05)

    return slow if progress else None


async def test_a_problem_is_the_last_frame(tmp_path: Path) -> None:
    async with with_project(tmp_path) as (home, _):
        [frame] = await frames(home, f"{WORK}/restore", {"at": "none"})
        assert (frame["problem"]["status"], frame["problem"]["code"]) == (404, "not_found")
        [frame] = await frames(home, "/api/v2/imports", {"paths": ["/nowhere"]})
        assert frame["result"]["files"] == []
        [frame] = await frames(home, f"{WORK}/fork", {"name": "copy"})
        assert frame["result"]["name"] == "copy"


async def test_work_continues_if_the_client_goes_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, goes_on, real = Event(), Event(), FileStore.take

    def waits(self: FileStore, *given: Any, **more: Any) -> Any:
        begun.set()
        goes_on.wait()
        return real(self, *given, **more)

    async with with_project(tmp_path) as (home, _):
        await saved(home, "zero")
        monkeypatch.setattr(FileStore, "take", waits)
        path = f"http://localhost{WORK}/checkpoint"
        async with home.local.post(path, json={"name": "first"}, headers=STREAM) as response:
            assert response.status == 200
            await asyncio.to_thread(begun.wait)
        goes_on.set()
        monkeypatch.setattr(FileStore, "take", real)
        await saved(home, "second")  # one at a time, so the first one is made now
        found = (await asked(home, "GET", f"{WORK}/checkpoints"))["checkpoints"]
        assert {each["name"] for each in found} == {"zero", "first", "second"}
