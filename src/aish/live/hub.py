"""A hub, as a program uses it: its peers, its sessions, and who waits for permission."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import msgspec

from .errors import NameTaken
from .following import Follow
from .link import Link
from .permissions import PermissionWatch
from .place import Place
from .requests import Requests, new_key, path
from .session import IfBusy, Session, Turn, sent
from .values import Peer, Permission, SessionState

_OPEN = ("active", "paused", "waiting")
PATIENCE = 30.0


class Hub:
    """Made by `connect`. All methods may be used at once, from tasks of one event loop."""

    def __init__(self, requests: Requests, link: Link) -> None:
        self._requests = requests
        self._link = link

    async def peers(self) -> list[Peer]:
        """Everybody who can be talked to."""
        return msgspec.convert((await self.request("GET", "/api/v2/ai"))["peers"], list[Peer])

    async def peer(self, name: str) -> Peer:
        """Raises:
        UnknownPeer: nobody is called so."""
        return msgspec.convert(await self.request("GET", path("ai", name)), Peer)

    async def session(
        self,
        peer: str,
        *,
        name: str | None = None,
        context_window: int = 10,
        ttl: float | None = None,
        tools: Sequence[Mapping[str, Any]] = (),
        metadata: Mapping[str, Any] | None = None,
    ) -> Session:
        """A conversation with `peer`: the one that is called `name`, where there is one that is not over,
        else a new one, for which the rest counts.

        `context_window`: messages that a model is given besides the new one; `ttl`: seconds without use after
        which it expires; `tools`: `{name, description, parameters}`, each run here (`Session.tool_result`).

        Raises:
            UnknownPeer: nobody is called so. NameTaken: another peer's session is called so.
        """
        body = {"specialist_id": peer, "name": name, "context_window": context_window, "ttl": ttl}
        given = {**body, "tools": list(tools), "metadata": dict(metadata or {})}
        said = {key: value for key, value in given.items() if value is not None}
        try:
            made = await self._requests.ask("POST", "/api/v2/sessions", said, key=new_key())
        except NameTaken:
            if name is not None and (known := await self._named(peer, name)):
                return known
            raise
        return self._session(msgspec.convert(made, SessionState))

    async def resume(self, session_id: str) -> Session:
        """A session by its id.

        Raises:
            NotFound: there is none of yours.
        """
        return self._session(
            msgspec.convert(await self.request("GET", path("sessions", session_id)), SessionState)
        )

    async def sessions(self, peer: str | None = None) -> list[SessionState]:
        """Your sessions, without their messages, the one used last first."""
        found = await self.request("GET", "/api/v2/sessions" + (f"?peer={quote(peer)}" if peer else ""))
        return msgspec.convert(found["sessions"], list[SessionState])

    async def send(
        self, peer: str, content: str, *, if_busy: IfBusy = "queue", command_id: str | None = None
    ) -> Turn:
        """One message without a conversation, to a peer or to `@capability`; for a program that is a peer,
        the next one of its own. Else as `Session.send`."""
        where = path("ai", peer, "message")
        return await sent(
            self._requests, self._link, where, {"content": content, "if_busy": if_busy}, command_id
        )

    async def permissions(self) -> list[Permission]:
        """The requests that wait for an answer, the oldest first."""
        found = await self.request("GET", "/api/v2/permissions")
        return msgspec.convert(found["permissions"], list[Permission])

    def watch_permissions(self) -> PermissionWatch:
        """The requests that wait, then each as it comes and goes."""
        return PermissionWatch(self._link)

    async def answer_permission(self, request: Permission, option_id: str) -> None:
        """As `Session.answer_permission`."""
        where = Session(self._requests, self._link, request.session_id, request.peer)
        await where.answer_permission(request.request_id, option_id)

    def follow(self, stream: str, after: str | None = None) -> Follow:
        """The events of a session, a plan, or `hub`, by its id; as `Session.follow`."""
        return Follow(self._link, stream, after)

    async def request(self, method: str, path: str, body: Any = None, *, key: str | None = None) -> Any:
        """Anything else that the hub answers (docs/reference/rest.md): JSON as a value, other text as `str`,
        binary content as `bytes`. With a `key` of your own a POST is repeated where the connection breaks."""
        return await self._requests.ask(method, path, body, key=key)

    async def place(self, path: str, body: Any, *, key: str) -> Mapping[str, str]:
        """Post a message or a plan without waiting for its answer; the headers that say where it will be
        (`x-cursor` in `x-session-id` or `x-plan-id`). It is sent once, as by `request`."""
        _, headers = await self._requests.reply("POST", path, body, key=key, prefer="respond-async")
        return headers

    async def _named(self, peer: str, name: str) -> Session | None:
        """The session of that name, where it goes on and is with who is meant."""
        meant = None if peer.startswith("@") else (await self.peer(peer)).id
        for state in await self.sessions():
            if state.name == name and state.state in _OPEN and meant in (None, state.specialist_id):
                return self._session(state)
        return None

    def _session(self, state: SessionState) -> Session:
        return Session(self._requests, self._link, state.id, state.specialist_id, state.name)


@asynccontextmanager
async def connect(
    home: str | None = None,
    *,
    url: str | None = None,
    token: str | None = None,
    start: bool = True,
    patience: float | None = PATIENCE,
) -> AsyncIterator[Hub]:
    """A hub, for as long as the `async with` lasts.

    It is that of this user, at the Unix socket in `home` (`RHETOR_HOME` where nothing is said), which is
    started where none runs (`start`), also after it was killed; or one at a `url`, with a `token`. A
    connection that is lost is made anew; everything waits for that up to `patience` seconds (None: for ever).

    Raises:
        HubUnreachable: there is no hub, or it does not start.
        Invalid: the `url` is none.
    """
    place = Place(home, url, token, starts=start)
    if place.starts:
        await place.start()
    async with place.open() as http:
        link = Link(place, http, patience)
        try:
            yield Hub(Requests(place, http, patience), link)
        finally:
            await link.aclose()
