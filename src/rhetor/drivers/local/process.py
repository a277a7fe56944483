"""Runs small models, each in a process of its own: started when it is first used, ended when it is idle."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from rhetor import background
from rhetor.drivers.models.client import Client, is_success, whole
from rhetor.drivers.models.local import LOCAL, local_target
from rhetor.drivers.models.target import Provider
from rhetor.drivers.models.urls import Reach, resolved
from rhetor.errors import ProviderFailed

from .files import ModelFile
from .known import answers_of

MOST_CONTEXT = 8192  # tokens, for all answers together; more takes too much memory
START_SECONDS = 600.0  # a large file on a slow disk takes long; each turn has its own timeout
BUSY_SECONDS = 2.0
CONNECT_SECONDS = 10.0
_LOG_BYTES = 2000
# what the process gets of the hub's environment: no keys, and nothing that changes what Python imports
PASSED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "LD_LIBRARY_PATH", "VIRTUAL_ENV")
log = logging.getLogger(__name__)


class _Answer(msgspec.Struct):
    """The line that the process writes when it is ready, or cannot start."""

    url: str = ""
    error: str = ""


class _Slot(msgspec.Struct):
    is_processing: bool = False


class _Running(NamedTuple):
    process: Process
    client: Client


class LocalProcesses:
    """The processes of one hub. `logs`: the folder for what they print. `idle`: seconds without a call after
    which a process ends. `clock` returns monotonic seconds."""

    def __init__(
        self,
        logs: Path,
        environment: Mapping[str, str],
        idle: float,
        clock: Callable[[], float] = time.monotonic,
        command: Sequence[str] = (sys.executable, "-P", "-m", "rhetor.drivers.local.server"),
    ) -> None:
        self.idle = idle
        self._logs = logs
        self._environment = {name: environment[name] for name in PASSED if name in environment}
        self._clock = clock
        self._command = command
        self._starting: dict[str, asyncio.Task[Client]] = {}
        self._running: dict[str, _Running] = {}
        self._used: dict[str, float] = {}
        self._keeping: set[asyncio.Task[None]] = set()

    @property
    def pids(self) -> Mapping[str, int]:
        """The processes that run, by the names of their models."""
        return {name: running.process.pid for name, running in self._running.items()}

    async def client(self, file: ModelFile, path: Path) -> Client:
        """Return a client for a model. Its process is started if it does not run; all who wait share it.

        Raises:
            ProviderFailed: it does not start.
        """
        self._used[file.name] = self._clock()
        if (running := self._running.get(file.name)) is not None and running.process.returncode is None:
            return running.client
        starting = self._starting.get(file.name)
        if starting is None:
            starting = asyncio.create_task(self._start(file, path), name=f"start of {file.name}")
            starting.add_done_callback(lambda task: self._started(file.name, task))
            self._starting[file.name] = starting
        # a turn that is cancelled does not end the start, for which others may wait
        return await asyncio.shield(starting)

    async def end(self, name: str) -> None:
        """End the process of a model, if one runs. Its answers fail."""
        if (starting := self._starting.get(name)) is not None:
            await background.stop(starting)
        if (running := self._running.pop(name, None)) is not None:
            await self._close(running)

    async def aclose(self) -> None:
        for name in [*self._starting, *self._running]:
            await self.end(name)
        await background.stop(*self._keeping)

    def _started(self, name: str, task: asyncio.Task[Client]) -> None:
        del self._starting[name]
        if not task.cancelled():
            task.exception()  # those who wait get it; there may be none any more

    async def _start(self, file: ModelFile, path: Path) -> Client:
        began, key = self._clock(), secrets.token_urlsafe(32)
        # importing the library takes as long as starting the process
        imported = asyncio.create_task(asyncio.to_thread(_import_client))
        process = await self._spawn(file)
        try:
            async with asyncio.timeout(START_SECONDS):
                url = await self._ready(process, file, path, key)
                await imported
        except BaseException as error:  # also if the caller is cancelled
            await _kill(process)
            if isinstance(error, TimeoutError):
                raise self._failed(file, f"it is not ready after {START_SECONDS:g} s") from error
            raise
        place = Provider(LOCAL, "openai", url, key, reach=Reach(loopback=True), local=file.name)
        running = _Running(process, Client(place, CONNECT_SECONDS, resolved, None, None))
        self._running[file.name] = running
        self._used[file.name] = self._clock()
        keeping = background.start(self._keep(file.name, running), f"local model {file.name}")
        self._keeping.add(keeping)
        keeping.add_done_callback(self._keeping.discard)
        seconds = round(self._clock() - began, 2)
        log.info("local model started", extra={"model": file.name, "pid": process.pid, "seconds": seconds})
        return running.client

    async def _spawn(self, file: ModelFile) -> Process:
        printed = os.open(self._log(file), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            return await asyncio.create_subprocess_exec(
                *self._command,
                stdin=PIPE,
                stdout=PIPE,
                stderr=printed,
                env=self._environment,
                cwd=self._logs,
                start_new_session=True,  # Ctrl-C at a terminal is not for it
            )
        except OSError as error:
            raise self._failed(file, str(error)) from error
        finally:
            os.close(printed)

    async def _ready(self, process: Process, file: ModelFile, path: Path, key: str) -> str:
        """Say what to run, and return the URL of the API once it answers."""
        assert process.stdin is not None and process.stdout is not None
        sampling, most_tokens = answers_of(file.sha256)
        given = {
            "name": file.name,
            "path": str(path),
            "key": key,  # as an argument, every user could read it
            "context": min(file.context or MOST_CONTEXT, MOST_CONTEXT),
            "sampling": sampling,
            "most_tokens": most_tokens,
        }
        process.stdin.write(msgspec.json.encode(given) + b"\n")
        try:
            await process.stdin.drain()
            line = await process.stdout.readline()
        except ConnectionError:
            line = b""
        answer = msgspec.json.decode(line, type=_Answer) if line else _Answer(error=self._printed(file))
        if not answer.url:
            raise self._failed(file, answer.error or "it ended")
        return answer.url

    async def _keep(self, name: str, running: _Running) -> None:
        """Wait until the process ends, or has been idle for long enough; then end it."""
        ended = asyncio.ensure_future(running.process.wait())
        try:
            while not ended.done():
                left = self._used[name] + self.idle - self._clock()
                if left <= 0 and not await self._is_used(name, running):
                    log.info("local model ended after it was idle", extra={"model": name})
                    return
                await asyncio.wait([ended], timeout=max(left, 0.0))
            if self._running.get(name) is running:
                code = running.process.returncode
                log.warning("the process of a local model ended", extra={"model": name, "code": code})
        finally:
            if self._running.get(name) is running:
                del self._running[name]
            ended.cancel()
            await self._close(running)

    async def _is_used(self, name: str, running: _Running) -> bool:
        """Return whether the process is computing an answer, or was called in the meantime."""
        used = self._used[name]
        if await _is_computing(running.client):
            self._used[name] = max(self._used[name], self._clock())
        return self._used[name] != used

    async def _close(self, running: _Running) -> None:
        await _kill(running.process)
        await running.client.aclose()

    def _log(self, file: ModelFile) -> Path:
        return self._logs / f"{file.name}.log"

    def _printed(self, file: ModelFile) -> str:
        """Return the end of what the process has printed, as one line."""
        try:
            lines = self._log(file).read_bytes()[-_LOG_BYTES:].decode(errors="replace").split("\n")
        except OSError:
            return ""
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def _failed(self, file: ModelFile, why: str) -> ProviderFailed:
        ref = local_target(file.name).ref
        return ProviderFailed(
            f"the process of {ref} did not start: {why}",
            provider=LOCAL,
            model=file.name,
            status=None,
            hint=f"see {self._log(file)}",
        )


def _import_client() -> None:
    import aiohttp  # noqa: F401


async def _is_computing(client: Client) -> bool:
    """Return whether the process is computing an answer. One that does not say so is not."""
    failures: tuple[type[Exception], ...] = (*client.failures, TimeoutError, msgspec.DecodeError)
    try:
        async with asyncio.timeout(BUSY_SECONDS), await client.get("/slots", BUSY_SECONDS) as answer:
            body = await whole(answer)
            slots = msgspec.json.decode(body, type=list[_Slot]) if is_success(answer.status) else []
    except failures:
        return False
    return any(slot.is_processing for slot in slots)


async def _kill(process: Process) -> None:
    """End the process, which has nothing to save."""
    with suppress(ProcessLookupError):
        process.kill()
    stdin: Any = process.stdin
    if stdin is not None:
        stdin.close()
    await process.wait()
