"""Runs an MCP server as a program, and exchanges messages with it over stdin and stdout.

The SDK's own transport passes on variables that were not allowed, and does not limit the length of a line.
"""

from __future__ import annotations

import asyncio
import os
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import anyio

if TYPE_CHECKING:
    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
    from mcp.client import Transport
    from mcp.shared.message import SessionMessage

LINE_BYTES = 16 << 20
STDERR_BYTES = 2048  # of stderr that are kept for error messages
GRACE_SECONDS = 1.0  # after its stdin was closed, and again after SIGTERM
EXIT_SECONDS = 0.5  # from the end of its stdout to its exit code

# the variables that every program gets
INHERITED = ("PATH", "HOME", "LANG")


def allowed(
    environment: Mapping[str, str], pass_env: Sequence[str], own: Mapping[str, str]
) -> dict[str, str]:
    """Return the program's environment: INHERITED, the variables named in `pass_env`, and its own."""
    names = (*INHERITED, *pass_env)
    return {name: environment[name] for name in names if name in environment} | dict(own)


class Program:
    """An MCP server that runs as a program. `over` is set when no more answers can be read from it.
    `stderr_tail` is the end of its stderr. `exit_code`: that of a program that ended by itself, negative if a
    signal ended it."""

    def __init__(
        self, argv: Sequence[str], environment: Mapping[str, str], folder: str, over: asyncio.Event
    ) -> None:
        self._over = over
        self._argv = argv
        self._environment = dict(environment)
        self._folder = folder
        self._stderr_tail = bytearray()
        self.exit_code: int | None = None

    @property
    def stderr_tail(self) -> str:
        words = self._stderr_tail.decode("utf-8", "replace").split()
        # the beginning of the first word may be cut off, and a secret that was cut could not be recognized
        return " ".join(words[len(self._stderr_tail) == STDERR_BYTES :])

    def transport(self) -> Transport:
        """Return a context manager that starts the program, and ends it and its process group on exit.

        Raises:
            OSError: on entry, if the program cannot be started.
        """
        return self._spawned()

    @asynccontextmanager
    async def _spawned(self) -> AsyncIterator[tuple[Any, Any]]:
        process = await asyncio.create_subprocess_exec(
            *self._argv,
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            env=self._environment,
            cwd=self._folder,
            start_new_session=True,
            limit=LINE_BYTES,
        )
        inbox, heard = anyio.create_memory_object_stream[Any](0)
        said, outbox = anyio.create_memory_object_stream[Any](0)
        async with asyncio.TaskGroup() as tasks:
            beside = [
                tasks.create_task(self._listen(process, inbox), name=f"mcp stdout {process.pid}"),
                tasks.create_task(self._speak(process, outbox), name=f"mcp stdin {process.pid}"),
                tasks.create_task(self._overhear(process), name=f"mcp stderr {process.pid}"),
            ]
            try:
                yield heard, said
            finally:
                self.exit_code = await self._own_exit_code(process)
                await _end(process)
                for task in beside:
                    task.cancel()
                for stream in (inbox, heard, said, outbox):
                    stream.close()

    async def _listen(
        self, process: Process, inbox: MemoryObjectSendStream[SessionMessage | Exception]
    ) -> None:
        from mcp.shared.message import SessionMessage
        from mcp.types import jsonrpc_message_adapter

        assert process.stdout is not None
        try:
            # ValueError: the line is too long, so the rest cannot be decoded
            with suppress(ValueError, anyio.BrokenResourceError, anyio.ClosedResourceError):
                while line := await process.stdout.readline():
                    try:
                        message = jsonrpc_message_adapter.validate_json(line, by_name=False)
                    except ValueError:
                        continue  # some programs also print other text to stdout
                    await inbox.send(SessionMessage(message))
        finally:
            self._over.set()
            inbox.close()

    async def _speak(self, process: Process, outbox: MemoryObjectReceiveStream[SessionMessage]) -> None:
        assert process.stdin is not None
        with suppress(OSError, RuntimeError):  # RuntimeError: it was closed, because the program has ended
            async for said in outbox:
                line = said.message.model_dump_json(by_alias=True, exclude_unset=True)
                process.stdin.write(line.encode() + b"\n")
                await process.stdin.drain()

    async def _own_exit_code(self, process: Process) -> int | None:
        if self._over.is_set():  # its stdout has ended, so it probably has, too
            with suppress(TimeoutError):
                async with asyncio.timeout(EXIT_SECONDS):
                    await process.wait()
        return process.returncode

    async def _overhear(self, process: Process) -> None:
        assert process.stderr is not None
        while piece := await process.stderr.read(1 << 16):
            self._stderr_tail += piece
            del self._stderr_tail[:-STDERR_BYTES]


async def _end(process: Process) -> None:
    """Close its stdin, then send SIGTERM and then SIGKILL to its process group, each only if the program is
    still running. Finally kill the rest of the group."""
    assert process.stdin is not None
    process.stdin.close()
    for number in (None, signal.SIGTERM, signal.SIGKILL):
        if number is not None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
        with suppress(TimeoutError):
            async with asyncio.timeout(GRACE_SECONDS):
                await process.wait()
                break
    # the processes of its group that it has left running
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
