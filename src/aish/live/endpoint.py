"""The address of a hub, the credentials for it, and starting it."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from typing import TYPE_CHECKING, Any

import aiohttp

from aish.client.connection import connect, other_user, server_of
from aish.client.home import own_key, socket_path, state_home
from aish.exits import Failure
from rhetor.domain.provider_variables import fingerprint

from .errors import Denied, HubUnreachable, Invalid

if TYPE_CHECKING:
    from aiohttp.client_proto import ResponseHandler

_CONNECT_TIMEOUT, _READ_TIMEOUT = 10.0, 60.0  # seconds


class Endpoint:
    """The hub of this user, at its Unix socket, or a hub at a URL.

    `home` is the folder of the hub's state (default: `RHETOR_HOME`). `url` (`http://…`, `https://…`) and
    `token` are those of a hub elsewhere. `starts` says whether to start this user's hub if none is running.
    """

    def __init__(
        self,
        home: str | None = None,
        url: str | None = None,
        token: str | None = None,
        *,
        starts: bool = True,
    ) -> None:
        self.home = os.path.abspath(home) if home else state_home()  # noqa: PTH100
        self.is_local = url is None
        self.starts = starts and self.is_local
        self.url = ("http://localhost" if url is None else url).rstrip("/")
        self._token = token and token.strip()  # a token from a file ends with a newline
        if not self.url.startswith(("http://", "https://")):
            raise Invalid(f"invalid URL {url!r}; write http://HOST:PORT or https://HOST:PORT", "malformed")

    def open(self) -> aiohttp.ClientSession:
        """Return an HTTP session with the hub, which the caller closes."""
        connector = _OwnersSocket(socket_path(self.home), limit=0) if self.is_local else None
        return aiohttp.ClientSession(
            connector=connector,
            headers=self._headers(),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(None, sock_connect=_CONNECT_TIMEOUT, sock_read=_READ_TIMEOUT),
        )

    async def start(self) -> None:
        """Start the hub if none is running. A separate process starts it, and exits when the hub listens.

        Raises:
            HubUnreachable: the hub does not start. The message contains the end of its log.
        """
        if self._accepts_connections():
            return
        command = (sys.executable, "-m", "aish.client.start", self.home)
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
        )
        try:
            _, stderr = await process.communicate()
        except asyncio.CancelledError:
            process.kill()
            await process.wait()
            raise
        if process.returncode:
            raise HubUnreachable(stderr.decode("utf-8", "replace").strip() or "the hub did not start")

    def _accepts_connections(self) -> bool:
        """Whether a hub is listening, so that no process needs to be started."""
        try:
            connect(self.home).close()
        except (OSError, Failure):
            return False
        return True

    def _headers(self) -> dict[str, str]:
        token = self._token or (own_key() if self.is_local else "")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        if self.is_local and (variables := fingerprint()):
            headers["x-rhetor-env"] = variables
        return headers


class _OwnersSocket(aiohttp.UnixConnector):
    """Connects only to a hub of the same user, even if another user can create a socket in the folder."""

    async def _create_connection(self, *arguments: Any, **named: Any) -> ResponseHandler:
        protocol = await super()._create_connection(*arguments, **named)
        assert protocol.transport is not None
        connection: socket.socket = protocol.transport.get_extra_info("socket")
        server = server_of(connection)
        if server is not None and server[1] != os.geteuid():
            protocol.close()
            raise Denied(other_user(server[1]), "forbidden")
        return protocol
