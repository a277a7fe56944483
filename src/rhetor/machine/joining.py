"""Keeps this machine connected to a hub: connects, and connects again when the connection is lost."""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
import sys
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from rhetor.codec.machine_link import LinkBroken
from rhetor.domain.machine import LINK_VERSION, Hello
from rhetor.drivers.programs.remote.session import Session
from rhetor.errors import RhetorError

from .offers import Offered
from .programs import Served

FIRST_SECONDS, LONGEST_SECONDS = 0.5, 30.0  # between two attempts
OPEN_SECONDS = 10.0
MESSAGE_BYTES = 1 << 23
log = logging.getLogger(__name__)


class Welcome(msgspec.Struct):
    """The hub's answer to `Hello`."""

    name: str
    session: str
    received: int | None


class Rejected(ConnectionError):
    """The hub does not let this machine join."""


class Joining:
    """This machine's side of the link. `say` shows a line to the person who started it."""

    def __init__(
        self,
        url: str,
        token: Callable[[], str],
        secret: str,
        hostname: str,
        offered: Offered,
        served: Served,
        tls: ssl.SSLContext | None,
        say: Callable[[str], None],
    ) -> None:
        self._url = url
        self._token = token
        self._secret = secret
        self._hostname = hostname
        self._offered = offered
        self._served = served
        self._tls = tls
        self._say = say
        self._session: Session | None = None
        self._session_id = ""
        self._failures = 0
        self._said = ""

    async def run(self) -> None:
        """Stay connected until the task is cancelled."""
        try:
            while True:
                await self._attempt()
                await asyncio.sleep(self._pause())
        finally:
            await self._served.aclose()

    def _pause(self) -> float:
        """Return for how long to wait before the next attempt, in seconds."""
        most: float = min(FIRST_SECONDS * 2**self._failures, LONGEST_SECONDS)
        return most / 2 + random.random() * most / 2  # it only spreads the attempts

    async def _attempt(self) -> None:
        self._failures += 1
        try:
            headers = {"Authorization": f"Bearer {self._token()}"}
            async with connect(
                self._url,
                additional_headers=headers,
                ssl=self._tls,
                open_timeout=OPEN_SECONDS,
                ping_interval=None,  # the link has its own
                max_size=MESSAGE_BYTES,
                compression=None,
                proxy=True,
            ) as socket:
                await self._talk(socket)
        except InvalidStatus as error:
            self._disconnected(_rejection(error))
        except ConnectionClosed as error:
            self._disconnected(_closed(error))
        except ssl.SSLCertVerificationError as error:
            self._disconnected(f"the hub's certificate is not accepted: {error.verify_message}; see --ca")
        except (OSError, InvalidHandshake, InvalidURI, LinkBroken, RhetorError, TimeoutError) as error:
            self._disconnected(str(error) or type(error).__name__)

    async def _talk(self, socket: ClientConnection) -> None:
        received = self._session.received if self._session is not None else 0
        hello = Hello(
            LINK_VERSION,
            self._secret,
            version("tekton-aish"),
            self._hostname,
            self._session_id,
            received,
            self._offered.offers(),
            self._offered.offered_projects(),
        )
        await socket.send(msgspec.json.encode(hello).decode())
        async with asyncio.timeout(OPEN_SECONDS):
            answer = await socket.recv()
        welcome = _welcome(answer)
        if welcome.received is None or self._session is None:
            self._session, self._session_id = self._served.begin(), welcome.session
        self._failures, self._said = 0, ""
        names = ", ".join(f"{offer.name}@{welcome.name}" for offer in hello.offers) or "no programs"
        self._say(f"connected to {self._url} as {welcome.name}, offering {names}")
        await self._session.run(_Socket(socket), welcome.received or 0)
        raise ConnectionError("the hub has closed the connection")

    def _disconnected(self, why: str) -> None:
        """Report why there is no connection, once for each reason."""
        if why != self._said:
            self._said = why
            self._say(f"not connected: {why}; trying again")


class _Socket:
    """The connection to the hub, as the link uses it."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    async def send(self, data: bytes) -> None:
        try:
            await self._socket.send(data)
        except ConnectionClosed as closed:
            raise ConnectionError(_closed(closed)) from None

    async def receive(self) -> bytes | None:
        try:
            data = await self._socket.recv()
        except ConnectionClosed as closed:
            raise ConnectionError(_closed(closed)) from None
        if isinstance(data, str):
            raise LinkBroken("a text message, where only binary ones are expected")
        return data


def _welcome(answer: str | bytes) -> Welcome:
    """Decode the hub's answer.

    Raises:
        Rejected: the hub does not let this machine join; the message says why.
    """
    try:
        found: dict[str, Any] = msgspec.json.decode(answer)
        if "code" in found:
            detail, hint = str(found.get("detail", "")), str(found.get("hint", ""))
            raise Rejected(f"{detail}; {hint}" if hint else detail)
        return msgspec.convert(found, Welcome)
    except (msgspec.DecodeError, TypeError) as error:
        raise Rejected(f"the hub answered with something else than expected: {error}") from None


def _rejection(error: InvalidStatus) -> str:
    """Return what the hub says about a handshake that it has rejected."""
    try:
        said: dict[str, Any] = msgspec.json.decode(error.response.body or b"{}")
        detail, hint = str(said.get("detail", "")), str(said.get("hint", ""))
    except (msgspec.DecodeError, AttributeError):
        detail, hint = "", ""
    detail = detail or f"the server answered with status {error.response.status_code}"
    return f"{detail}; {hint}" if hint and hint not in detail else detail


def _closed(error: ConnectionClosed) -> str:
    received = error.rcvd
    if received is None:
        return "the connection was lost"
    return f"the hub has closed the connection: {received.reason or received.code}"


def say(line: str) -> None:
    sys.stderr.write(f"rhetor join: {line}\n")
    sys.stderr.flush()
