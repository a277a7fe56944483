"""The processes of small models: when they start and end. The processes here only answer HTTP requests."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from rhetor.drivers.local.files import ModelFile
from rhetor.drivers.local.process import LocalProcesses
from rhetor.errors import ProviderFailed

pytestmark = [pytest.mark.anyio, pytest.mark.long]
FILE = ModelFile("tiny", 1, "0" * 64, "http://x", None, 0.0)
FAKE = Path(__file__).with_name("fake_server.py")


@asynccontextmanager
async def processes(folder: Path, kind: str = "ok", idle: float = 60.0) -> AsyncIterator[LocalProcesses]:
    command = (sys.executable, "-I", "-S", str(FAKE), kind)
    made = LocalProcesses(folder, {"TMPDIR": str(folder)}, idle, command=command)
    try:
        yield made
    finally:
        await made.aclose()


def starts(folder: Path) -> list[int]:
    path = folder / "starts"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def environment_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110  # a process has no event
            await asyncio.sleep(0.01)


async def test_first_uses_at_the_same_time_share_one_process(tmp_path: Path) -> None:
    async with processes(tmp_path) as made:
        clients = await asyncio.gather(*(made.client(FILE, tmp_path / "m") for _ in range(5)))
        assert len({id(client) for client in clients}) == 1
        assert list(made.pids.values()) == starts(tmp_path)
        assert await made.client(FILE, tmp_path / "m") is clients[0]
        (pid,) = starts(tmp_path)
    assert not is_running(pid)


async def test_a_cancelled_first_use_does_not_end_the_start_for_others(tmp_path: Path) -> None:
    async with processes(tmp_path) as made:
        first = asyncio.create_task(made.client(FILE, tmp_path / "m"))
        await asyncio.sleep(0)
        second = asyncio.create_task(made.client(FILE, tmp_path / "m"))
        await asyncio.sleep(0)
        first.cancel()
        await second
        assert len(starts(tmp_path)) == 1


async def test_an_idle_process_ends_and_the_next_use_starts_another(tmp_path: Path) -> None:
    async with processes(tmp_path, idle=0.05) as made:
        await made.client(FILE, tmp_path / "m")
        await until(lambda: not made.pids)
        made.idle = 60.0
        await made.client(FILE, tmp_path / "m")
        first, second = starts(tmp_path)
        assert not is_running(first)
        assert made.pids == {"tiny": second}


async def test_a_process_that_computes_an_answer_is_not_idle(tmp_path: Path) -> None:
    async with processes(tmp_path, "busy", idle=0.01) as made:
        await made.client(FILE, tmp_path / "m")
        await asyncio.sleep(0.2)  # many times as long as it may be idle
        assert list(made.pids.values()) == starts(tmp_path)


async def test_a_killed_process_is_replaced_at_the_next_use(tmp_path: Path) -> None:
    async with processes(tmp_path) as made:
        await made.client(FILE, tmp_path / "m")
        os.kill(made.pids["tiny"], signal.SIGKILL)
        await until(lambda: not made.pids)
        await made.client(FILE, tmp_path / "m")
        assert len(starts(tmp_path)) == 2


@pytest.mark.parametrize(("kind", "reason"), [("fails", "no memory"), ("ends", "bad file")])
async def test_a_process_that_does_not_start_is_a_typed_error_with_its_last_words(
    tmp_path: Path, kind: str, reason: str
) -> None:
    async with processes(tmp_path, kind) as made:
        with pytest.raises(ProviderFailed, match=f"local/tiny did not start: {reason}") as raised:
            await made.client(FILE, tmp_path / "m")
        assert raised.value.data["hint"] == f"see {tmp_path / 'tiny.log'}"
        assert made.pids == {}
        await until(lambda: not any(map(is_running, starts(tmp_path))))


async def test_the_process_gets_no_keys_of_the_hub(tmp_path: Path) -> None:
    secret = {"OPENAI_API_KEY": "sk-secret", "TMPDIR": str(tmp_path), "PYTHONPATH": "/elsewhere"}
    made = LocalProcesses(tmp_path, secret, 60.0, command=(sys.executable, "-I", "-S", str(FAKE), "ok"))
    try:
        await made.client(FILE, tmp_path / "m")
        (pid,) = starts(tmp_path)
        environment = environment_of(pid)
        assert b"sk-secret" not in environment
        assert b"PYTHONPATH" not in environment
        assert b"TMPDIR" in environment
    finally:
        await made.aclose()
