"""Serves what the hub asks of this machine: starts programs, and relays the bytes of their hosts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

from msgspec.structs import replace

from rhetor import background
from rhetor.codec import host_frames as frames
from rhetor.domain.machine import FilesFailed
from rhetor.drivers.agents.driver import Agents
from rhetor.drivers.programs.driver import Programs
from rhetor.drivers.programs.host.connection import HostConnection, SocketStream
from rhetor.drivers.programs.host.failures import HostLost, ProgramAlive
from rhetor.drivers.programs.host.folder import HostFolder, kill, runs
from rhetor.drivers.programs.host.hosts import Hosts
from rhetor.drivers.programs.host.reach import LocalReach
from rhetor.drivers.programs.host.spec import HostIdentity
from rhetor.drivers.programs.host.values import Chunk
from rhetor.drivers.programs.places import fault_of
from rhetor.drivers.programs.remote.reach import GONE
from rhetor.drivers.programs.remote.session import Channel, Session
from rhetor.errors import RhetorError

from .files import ProjectFiles
from .offers import Offered

READ_BYTES = 1 << 15
# what a hub may ask of a host; the rest is this machine's own business
ALLOWED = frozenset(
    (
        *(frames.STATUS, frames.READ, frames.READ_STDERR, frames.WRITE, frames.CLOSE_STDIN, frames.RESIZE),
        *(frames.SIGNAL, frames.ACKNOWLEDGE, frames.END, frames.WAIT),
    )
)
log = logging.getLogger(__name__)


class HostGone(RhetorError):
    """The hub asks for a host that does not run."""

    code = GONE


class Served:
    """The programs of this machine, for the channels that a hub opens."""

    def __init__(
        self,
        offered: Offered,
        drivers: Mapping[str, Programs | Agents],
        hosts: Hosts,
        files: ProjectFiles,
    ) -> None:
        self._offered = offered
        self._files = files
        self._drivers = drivers
        self._hosts = hosts
        self._tasks: set[asyncio.Task[None]] = set()
        self._session: Session | None = None
        self._requests: dict[str, Callable[[Channel, dict[str, Any]], Awaitable[None]]] = {
            "start": self._start,
            "connect": self._connect,
            "look": self._look,
            "left": self._left,
            "kill": self._kill,
            "forget": self._forget,
            "files": self._work_on_files,
        }

    def begin(self) -> Session:
        """Return a new session; the channels of the last one end."""
        self.end("the hub was started again")
        self._session = Session(self._opened)
        return self._session

    def end(self, why: str) -> None:
        """End the session. Programs continue to run."""
        if self._session is not None:
            self._session.reset(why)

    async def aclose(self) -> None:
        self.end("rhetor join ends")
        await background.stop(*self._tasks)

    def _opened(self, channel: Channel, request: dict[str, Any]) -> None:
        task = background.start(self._serve(channel, request), f"channel {channel.number}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, channel: Channel, request: dict[str, Any]) -> None:
        session = self._session
        assert session is not None
        try:
            serve = self._requests.get(str(request.get("op")))
            if serve is None:
                raise RhetorError(f"unknown request {str(request.get('op'))[:50]!r}")
            await serve(channel, request)
        except RhetorError as error:
            if not channel.answer.done():
                session.refuse(channel, fault_of(error))
        except (ConnectionError, EOFError):
            pass  # one of both sides is gone
        except Exception:  # a bug must end no other channel
            log.exception("serving a request of the hub failed")
            if not channel.answer.done():
                session.refuse(channel, {"code": "internal", "detail": "the machine's log has the details"})
        finally:
            channel.close()

    def _accept(self, channel: Channel, answer: dict[str, Any]) -> None:
        assert self._session is not None
        channel.answer.set_result(answer)
        self._session.accept(channel, answer)

    async def _start(self, channel: Channel, request: dict[str, Any]) -> None:
        host_id = str(request["host"])
        peer = self._offered.peer(str(request["program"]))
        launch = self._offered.launch(peer, str(request.get("cwd") or ""))
        identity = self._identity(host_id)
        if identity is None:  # otherwise, the hub asks again because it did not get the answer
            launch = replace(launch, rows=_side(request["rows"]), cols=_side(request["cols"]))
            driver = self._drivers[peer.driver]
            memory = request.get("memory")
            spec = await driver.spec(peer, host_id, launch, memory if isinstance(memory, dict) else {})
            link = await self._hosts.start(host_id, spec)
            identity = link.identity
            log.info("program started", extra={"program": peer.name, "host": host_id})
            await link.aclose()  # the hub connects at once
        self._accept(channel, {**_facts(identity), "cwd": launch.cwd})

    async def _connect(self, channel: Channel, request: dict[str, Any]) -> None:
        host_id, seconds = str(request["host"]), request.get("seconds")
        identity = self._identity(host_id)
        if identity is None or not runs(identity):
            raise HostGone(f"the host {host_id} does not run")
        try:
            connection = await LocalReach(identity, self._folder(host_id)).connect(
                hub=bool(request.get("hub")), seconds=float(seconds) if seconds is not None else None
            )
        except (ConnectionError, EOFError) as error:
            raise HostGone(f"the host {host_id} does not run: {error}") from None
        self._accept(channel, _facts(identity))
        await relay(channel, connection)

    async def _look(self, channel: Channel, request: dict[str, Any]) -> None:
        host_id = str(request["host"])
        identity, end = self._identity(host_id), self._folder(host_id).exited()
        found = frames.pack_exited(end.code, end.signal, end.at_ms, end.head).hex() if end else None
        alive = identity is not None and end is None and runs(identity)
        self._accept(channel, {"runs": alive, "exited": found})

    async def _left(self, channel: Channel, request: dict[str, Any]) -> None:
        await self._hosts.find(str(request["host"]))  # ends what a killed host has left
        self._accept(channel, {})
        with suppress(HostLost):
            async for item in self._folder(str(request["host"])).read(int(request["offset"])):
                if isinstance(item, Chunk):
                    body = frames.pack_chunk(item.offset_after, item.at_ms, item.data)
                    await channel.write(frames.frame(frames.CHUNK, body))
                else:
                    end = frames.pack_exited(item.code, item.signal, item.at_ms, item.head)
                    await channel.write(frames.frame(frames.EXITED, end))

    async def _kill(self, channel: Channel, request: dict[str, Any]) -> None:
        identity = self._identity(str(request["host"]))
        if identity is not None:
            kill(identity)
            await LocalReach(identity, self._folder(identity.host_id)).until_over()
        self._accept(channel, {})

    async def _forget(self, channel: Channel, request: dict[str, Any]) -> None:
        host_id = str(request["host"])
        peer = self._offered.peers.get(str(request.get("program")))
        with suppress(ProgramAlive):
            if peer is not None:
                self._drivers[peer.driver].forget(peer, host_id)
            else:
                self._hosts.forget(host_id)
        self._accept(channel, {})

    async def _work_on_files(self, channel: Channel, request: dict[str, Any]) -> None:
        try:
            result = await self._files.call(str(request.get("method")), request.get("arguments"))
        except FilesFailed as failed:
            raise RhetorError(failed.detail, kind=failed.kind, journal=failed.journal) from None
        self._accept(channel, {})
        await channel.write(result)

    def _folder(self, host_id: str) -> HostFolder:
        return self._hosts.folder_of(host_id)

    def _identity(self, host_id: str) -> HostIdentity | None:
        return self._folder(host_id).identity()


async def relay(channel: Channel, connection: HostConnection) -> None:
    """Pass on bytes between the hub and a host until one of them ends. Of what the hub sends, only the
    requests in `ALLOWED` reach the host."""
    stream = connection.stream
    assert isinstance(stream, SocketStream)
    both = (
        asyncio.create_task(_to_hub(channel, stream), name=f"from host {channel.number}"),
        asyncio.create_task(_to_host(channel, stream), name=f"to host {channel.number}"),
    )
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await background.stop(*both)
        connection.close()


async def _to_hub(channel: Channel, stream: SocketStream) -> None:
    while data := await stream.reader.read(READ_BYTES):
        await channel.write(data)


async def _to_host(channel: Channel, stream: SocketStream) -> None:
    decoder = frames.FrameDecoder()
    while data := await channel.read(READ_BYTES):
        for kind, body in decoder.feed(data):
            if kind not in ALLOWED:
                raise ConnectionError("a request that a hub may not make")
            await stream.write(frames.frame(kind, body))


def _facts(identity: HostIdentity) -> dict[str, Any]:
    return {
        "host_pid": identity.host_pid,
        "host_start": identity.host_start,
        "program_pid": identity.program_pid,
        "program_start": identity.program_start,
        "boot_id": identity.boot_id,
        "mode": identity.mode,
    }


def _side(value: Any) -> int:
    return value if isinstance(value, int) and 1 <= value <= 1000 else 24
