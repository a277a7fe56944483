"""`rhetor mcp`: copies MCP messages between standard input and output and the hub, one a line.

The hub answers them, so this process neither needs the MCP library nor decides anything. It starts the hub if
none is running. If the hub ends, waiting requests fail, and the next one continues at a new hub.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from rhetor.domain.program_keys import KEY
from rhetor.domain.secrets import KEY_PREFIX
from rhetor.home import Home, accepts_connections

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

LINE_BYTES = 8 << 20
MESSAGE_BYTES = 3 << 20  # the hub accepts no longer ones
READ_AHEAD = 16  # lines that are read before the hub has taken them
PARSE_ERROR, INVALID_REQUEST, HUB_LOST = -32700, -32600, -32000
STDIN, STDOUT = 0, 1


class NoHub(Exception):
    """The hub cannot be started."""


def run(home: Home) -> int:
    """Serve until standard input ends and all requests are answered. Return the exit status."""
    try:
        return asyncio.run(_serve(home))
    except KeyboardInterrupt:
        return 0
    except NoHub as error:
        sys.stderr.write(f"rhetor: {error}\n")
        return 1


async def _serve(home: Home) -> int:
    bridge = Bridge(home)
    await bridge.connect()
    async for line in _lines():
        await bridge.pass_on(line)
    await bridge.finish()
    return 0


def _own_key() -> dict[str, str]:
    """Return the header with the key of the peer whose program this process belongs to, if it has one."""
    key = os.environ.get(KEY, "")
    is_key = key.startswith(KEY_PREFIX) and key.isascii() and key.isprintable()
    return {"Authorization": f"Bearer {key}"} if is_key else {}


class Bridge:
    """The connection to the hub. `opening`: the client's first messages, which a new connection needs too."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._socket: ClientConnection | None = None
        self._reader: asyncio.Task[None] | None = None
        self._opening: list[str] = []
        self._waiting: set[Any] = set()
        self._unheard: set[Any] = set()
        self._answered = asyncio.Event()

    async def connect(self) -> ClientConnection:
        """Return the connection to the hub, which is started if none is running.

        Raises:
            NoHub: it cannot be started.
        """
        if self._socket is not None:
            return self._socket
        from websockets.asyncio.client import unix_connect
        from websockets.exceptions import WebSocketException

        await asyncio.to_thread(_start, self._home)
        try:
            path, uri = str(self._home.socket), "ws://localhost/ws/mcp"
            options: dict[str, Any] = {"max_size": None, "compression": None}
            self._socket = await unix_connect(path, uri, additional_headers=_own_key(), **options)
        except (OSError, WebSocketException) as error:
            raise NoHub(f"no hub answers on {self._home.socket}: {error}") from error
        for text in self._opening:
            self._unheard |= {_id_of(json.loads(text))} - {None}
            await self._socket.send(text)
        self._reader = asyncio.create_task(self._read(self._socket), name="hub")
        return self._socket

    async def pass_on(self, line: bytes) -> None:
        """Send a line of the client to the hub."""
        try:
            message = json.loads(line)
        except ValueError:
            _fail(None, PARSE_ERROR, f"not a JSON object in one line of at most {LINE_BYTES} bytes")
            return
        id = _id_of(message)
        if len(line) > MESSAGE_BYTES:
            _fail(id, INVALID_REQUEST, f"the message is larger than {MESSAGE_BYTES} bytes")
            return
        from websockets.exceptions import ConnectionClosed

        socket = await self.connect()
        text = line.decode()
        if id is not None:
            self._waiting.add(id)
        if isinstance(message, dict):
            self._note(message, text)
        try:
            await socket.send(text)
        except ConnectionClosed:
            self._lose(socket)

    async def finish(self) -> None:
        """Wait until all requests are answered, and close the connection."""
        while self._waiting:
            self._answered.clear()
            await self._answered.wait()
        if self._socket is not None:
            await self._socket.close()

    def _note(self, message: dict[str, Any], text: str) -> None:
        if message.get("method") == "initialize":
            self._opening = [text]
        elif message.get("method") == "notifications/initialized" and len(self._opening) == 1:
            self._opening.append(text)
        elif message.get("method") == "notifications/cancelled":
            params = message.get("params")
            self._done(params.get("requestId") if isinstance(params, dict) else None)

    async def _read(self, socket: ClientConnection) -> None:
        from websockets.exceptions import ConnectionClosed

        with suppress(ConnectionClosed):
            async for text in socket:
                self._hear(text)
        self._lose(socket)

    def _hear(self, text: str | bytes) -> None:
        message = json.loads(text)
        id = message.get("id") if "method" not in message else None
        if id is not None and id in self._unheard:
            self._unheard.discard(id)  # the answer to what was sent again
            return
        _write(text if isinstance(text, bytes) else text.encode())
        self._done(id)

    def _done(self, id: Any) -> None:
        self._waiting.discard(id)
        self._answered.set()

    def _lose(self, socket: ClientConnection) -> None:
        """Answer the requests that the lost hub will not answer."""
        if self._socket is not socket:
            return
        self._socket = None
        self._unheard.clear()
        for id in list(self._waiting):
            _fail(id, HUB_LOST, "the hub ended before it answered; send the request again")
            self._done(id)


def _id_of(message: Any) -> Any:
    """Return the id of a request; None if the message is something else."""
    if not isinstance(message, dict) or "method" not in message:
        return None
    id = message.get("id")
    return id if isinstance(id, str | int) else None


def _fail(id: Any, code: int, why: str) -> None:
    _write(json.dumps({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": why}}).encode())


def _write(message: bytes) -> None:
    """Write a message as a line. If the client does not read, this process waits, and so does the hub."""
    left = memoryview(message + b"\n")
    try:
        while left:
            left = left[os.write(STDOUT, left) :]
    except BrokenPipeError:
        os._exit(0)  # nobody reads the answers any more


async def _lines() -> AsyncIterator[bytes]:
    """Yield the lines of standard input, without empty ones. It may be a file, which an event loop cannot
    watch, so a thread reads it."""
    queue: asyncio.Queue[bytes | None] = asyncio.Queue(READ_AHEAD)
    loop = asyncio.get_running_loop()

    def put(line: bytes | None) -> None:
        asyncio.run_coroutine_threadsafe(queue.put(line), loop).result()

    def read() -> None:
        held = b""
        while piece := os.read(STDIN, 1 << 16):
            *lines, held = (held + piece).split(b"\n")
            for line in lines:
                put(line)
            held = held[: LINE_BYTES + 1]  # the rest of a longer line is no JSON
        put(held)
        put(None)

    threading.Thread(target=read, name="stdin", daemon=True).start()
    while (line := await queue.get()) is not None:
        if line.strip():
            yield line


def _start(home: Home) -> None:
    """Start the hub of this home, unless it is running, just as a shell does."""
    if accepts_connections(home.socket):
        return
    command = [sys.executable, "-m", "aish.client.start", str(home.folder)]
    started = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=False)
    if started.returncode:
        raise NoHub(f"the hub of {home.folder} could not be started")
