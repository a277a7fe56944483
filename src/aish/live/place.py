"""Where a hub is, who may talk to it, and that it runs. It refuses to know what is said there."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from typing import TYPE_CHECKING, Any

import aiohttp

from aish.client.connection import connect, server_of
from aish.client.home import socket_path, state_home
from aish.exits import Failure
from rhetor.domain.provider_variables import fingerprint

from .errors import Denied, HubUnreachable, Invalid

if TYPE_CHECKING:
    from aiohttp.client_proto import ResponseHandler

_CONNECT_SECONDS, _SILENCE_SECONDS = 10.0, 60.0


class Place:
    """A hub of this user, at its Unix socket, or one at a URL.

    `home`: the folder of the hub's state (`RHETOR_HOME`); `url` (`http://…`, `https://…`) and `token`: of one
    that is somewhere else; `starts`: whether a hub of this user is started where none runs.
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
        self._token = token and token.strip()  # as a file has it
        if not self.url.startswith(("http://", "https://")):
            raise Invalid(f"{url!r} is no address of a hub: http://HOST:PORT", "malformed")

    def open(self) -> aiohttp.ClientSession:
        """What speaks HTTP to it; to be closed."""
        connector = _OwnersSocket(socket_path(self.home), limit=0) if self.is_local else None
        return aiohttp.ClientSession(
            connector=connector,
            headers=self._headers(),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(None, sock_connect=_CONNECT_SECONDS, sock_read=_SILENCE_SECONDS),
        )

    async def start(self) -> None:
        """Start the hub, where none runs, in a process that ends when the hub listens.

        Raises:
            HubUnreachable: it does not start; with the end of its log.
        """
        command = (sys.executable, "-m", "aish.client.start", self.home)
        if self._answers():
            return
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
        )
        try:
            _, said = await process.communicate()
        except asyncio.CancelledError:
            process.kill()
            await process.wait()
            raise
        if process.returncode:
            raise HubUnreachable(said.decode("utf-8", "replace").strip() or "the hub did not start")

    def _answers(self) -> bool:
        """Whether somebody takes connections there: then no process needs to look."""
        try:
            connect(self.home).close()
        except (OSError, Failure):
            return False
        return True

    def _headers(self) -> dict[str, str]:
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        if self.is_local and (variables := fingerprint()):
            headers["x-rhetor-env"] = variables
        return headers


class _OwnersSocket(aiohttp.UnixConnector):
    """Talks only to a hub of the same user, whoever could put a socket there."""

    async def _create_connection(self, *arguments: Any, **named: Any) -> ResponseHandler:
        protocol = await super()._create_connection(*arguments, **named)
        assert protocol.transport is not None
        connection: socket.socket = protocol.transport.get_extra_info("socket")
        server = server_of(connection)
        if server is not None and server[1] != os.geteuid():
            protocol.close()
            raise Denied(f"the hub's socket is served by another user (uid {server[1]})", "forbidden")
        return protocol
