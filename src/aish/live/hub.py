"""A hub, as a program uses it: its peers, sessions and permission requests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import msgspec

from .activity import ActivityWatch
from .connection import Connection
from .endpoint import Endpoint
from .errors import NameTaken
from .following import Follow
from .permissions import PermissionWatch
from .requests import Requests, new_key, path
from .session import IfBusy, IfOffline, Session, Turn, send_turn
from .socket import Socket
from .values import BulkResult, Peer, Permission, SessionState

_OPEN = ("active", "paused", "waiting")
RECONNECT_TIMEOUT = 30.0  # seconds


class Hub:
    """A connection to a hub, from `connect`. Tasks of one event loop may call its methods at the same
    time."""

    def __init__(self, requests: Requests, connection: Connection) -> None:
        self._requests = requests
        self._connection = connection
        self._sockets: set[Socket] = set()  # until they are closed

    async def peers(self) -> list[Peer]:
        """Return all peers."""
        return msgspec.convert((await self.request("GET", "/api/v2/ai"))["peers"], list[Peer])

    async def peer(self, name: str) -> Peer:
        """Return the peer with this name.

        Raises:
            UnknownPeer: no peer has this name.
        """
        return msgspec.convert(await self.request("GET", path("ai", name)), Peer)

    async def session(
        self,
        peer: str,
        *,
        name: str | None = None,
        context_window: int | None = None,
        ttl: float | None = None,
        tools: Sequence[Mapping[str, Any]] = (),
        metadata: Mapping[str, Any] | None = None,
    ) -> Session:
        """Return the open session with this `name`, or a new one. The other arguments apply to a new session.

        A model receives the last `context_window` messages besides the new one, by default as many as the
        hub's `session.context_window`. The session expires after `ttl` seconds without use. `tools` are
        `{name, description, parameters}`; this program runs them (`Session.tool_result`).

        Raises:
            UnknownPeer: no peer has this name.
            NameTaken: a session with another peer has this name.
        """
        body = {"specialist_id": peer, "name": name, "context_window": context_window, "ttl": ttl}
        given = {**body, "tools": list(tools), "metadata": dict(metadata or {})}
        fields = {key: value for key, value in given.items() if value is not None}
        try:
            made = await self._requests.ask("POST", "/api/v2/sessions", fields, key=new_key())
        except NameTaken:
            if name is not None and (known := await self._find_open(peer, name)):
                return known
            raise
        return self._session(msgspec.convert(made, SessionState))

    async def resume(self, session_id: str) -> Session:
        """Return the session with this id.

        Raises:
            NotFound: there is no such session, or it belongs to someone else.
        """
        return self._session(
            msgspec.convert(await self.request("GET", path("sessions", session_id)), SessionState)
        )

    async def sessions(self, peer: str | None = None) -> list[SessionState]:
        """Return your sessions without their messages, the most recently used first."""
        found = await self.request("GET", "/api/v2/sessions" + (f"?peer={quote(peer)}" if peer else ""))
        return msgspec.convert(found["sessions"], list[SessionState])

    async def send(
        self,
        peer: str,
        content: str,
        *,
        if_busy: IfBusy = "queue",
        if_offline: IfOffline = "refuse",
        command_id: str | None = None,
    ) -> Turn:
        """Send a message to a peer or to `@capability` without opening a session first. A wrapped program
        receives it in its default session. Otherwise, this is like `Session.send`."""
        where = path("ai", peer, "message")
        body = {"content": content, "if_busy": if_busy, "if_offline": if_offline}
        return await send_turn(self._requests, self._connection, where, body, command_id)

    async def best(self, capability: str, threshold: float = 0.7) -> Peer | None:
        """Return the best peer whose score for the capability reaches the threshold; None if none does."""
        where = f"{path('capabilities', capability)}?threshold={threshold}"
        found = await self.request("GET", where)
        return await self.peer(found[0]["ai_id"]) if found else None

    async def bulk(
        self,
        operations: Sequence[Mapping[str, Any]],
        *,
        sequential: bool = False,
        max_parallel: int | None = None,
        command_id: str | None = None,
    ) -> dict[str, BulkResult]:
        """Run operations `{id, ai, message, depends_on?, session_id?}`, each when its dependencies are
        complete; return their results by id.

        Raises:
            Invalid: an operation is invalid, and none has run.
        """
        body: dict[str, Any] = {"operations": list(operations)}
        body["execution"] = "sequential" if sequential else "parallel"
        if max_parallel is not None:
            body["max_parallel"] = max_parallel
        done = await self.request("POST", "/api/v2/bulk", body, key=command_id or new_key())
        return msgspec.convert(done["results"], dict[str, BulkResult])

    async def socket(
        self, peer: str, *, model: str | None = None, prompt: str | None = None, context: Any = None
    ) -> Socket:
        """Open a named socket on a peer, with a model, a prompt and a context of its own. `team-chat-all` and
        `rhetor` return the sockets that always exist."""
        given = {"ai_name": peer, "model": model, "prompt": prompt, "context": context}
        body = {name: value for name, value in given.items() if value is not None}
        made = await self.request("POST", "/api/ai/socket/create", body, key=new_key())
        socket = Socket(made["socket_id"], made["ai"], self._requests, self._sockets.discard)
        self._sockets.add(socket)
        return socket

    async def permissions(self) -> list[Permission]:
        """Return the pending permission requests, the oldest first."""
        found = await self.request("GET", "/api/v2/permissions")
        return msgspec.convert(found["permissions"], list[Permission])

    def watch_permissions(self) -> PermissionWatch:
        """Yield the pending permission requests, and then each change."""
        return PermissionWatch(self._connection)

    def watch_activity(self, place: str | None = None) -> ActivityWatch:
        """Yield how many turns run, and how many messages and permission requests wait, and then each change.
        `place`: the peer or the terminal whose messages are counted; without it, none are."""
        return ActivityWatch(self._connection, place)

    async def answer_permission(
        self,
        request: Permission,
        option_id: str | None = None,
        *,
        answers: Mapping[str, Sequence[str] | str] | None = None,
    ) -> None:
        """Answer a permission request; see `Session.answer_permission`."""
        where = Session(self._requests, self._connection, request.session_id, request.peer)
        await where.answer_permission(request.request_id, option_id, answers=answers)

    def follow(self, stream: str, after: str | None = None) -> Follow:
        """Follow the events of a session or a plan, by its id, or of `hub`; see `Session.follow`."""
        return Follow(self._connection, stream, after)

    async def request(self, method: str, path: str, body: Any = None, *, key: str | None = None) -> Any:
        """Send any other request (docs/reference/rest.md).

        JSON is returned as a value, other text as `str`, and anything else as `bytes`. If the connection
        breaks, a POST is repeated only if it has a `key`, which is its idempotency key.
        """
        return await self._requests.ask(method, path, body, key=key)

    async def submit(self, path: str, body: Any, *, key: str) -> Mapping[str, str]:
        """Post a message or a plan without waiting for its answer. Return the headers, which say where the
        answer will be: after `x-cursor` in the stream `x-session-id` or `x-plan-id`."""
        _, headers = await self._requests.reply("POST", path, body, key=key, prefer="respond-async")
        return headers

    async def aclose(self) -> None:
        """Close the connections. `connect` does it at its end."""
        for socket in list(self._sockets):
            await socket.disconnect()
        await self._connection.aclose()

    async def _find_open(self, peer: str, name: str) -> Session | None:
        """Return the open session with this name and this peer, if there is one."""
        peer_id = None if peer.startswith("@") else (await self.peer(peer)).id
        for state in await self.sessions():
            if state.name == name and state.state in _OPEN and peer_id in (None, state.specialist_id):
                return self._session(state)
        return None

    def _session(self, state: SessionState) -> Session:
        return Session(self._requests, self._connection, state.id, state.specialist_id, state.name)


@asynccontextmanager
async def connect(
    home: str | None = None,
    *,
    url: str | None = None,
    token: str | None = None,
    start: bool = True,
    reconnect_timeout: float | None = RECONNECT_TIMEOUT,
) -> AsyncIterator[Hub]:
    """Connect to a hub for the duration of the `async with`.

    Without `url`, it is this user's hub, at the Unix socket in `home` (default: `RHETOR_HOME`). If no hub is
    running, the client starts one, unless `start` is false. With `url` and `token`, it is a hub elsewhere.

    If the connection is lost, the client reconnects, and pending calls wait for it, up to `reconnect_timeout`
    seconds. None means no limit.

    Raises:
        HubUnreachable: there is no hub, or it does not start.
        Invalid: the `url` is invalid.
    """
    endpoint = Endpoint(home, url, token, starts=start)
    if endpoint.starts:
        await endpoint.start()
    async with endpoint.open() as http:
        connection = Connection(endpoint, http, reconnect_timeout)
        hub = Hub(Requests(endpoint, http, reconnect_timeout), connection)
        try:
            yield hub
        finally:
            await hub.aclose()
