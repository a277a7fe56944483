"""Admits or rejects a request by its host, its origin and its credentials, before its body is read.

The gate is plain ASGI, so it costs streams nothing. The router checks the policy of a route.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable
from functools import partial
from http.cookies import CookieError, SimpleCookie

from msgspec import Struct

from rhetor.auth.addresses import Addresses, Authority
from rhetor.auth.credentials import ByCookie, Credential
from rhetor.auth.limits import Attempts
from rhetor.auth.logins import Logins
from rhetor.auth.process_tree import Processes
from rhetor.auth.tcp_clients import Address, TcpClients
from rhetor.auth.verifier import KEY, Verified, Verifier
from rhetor.domain.principal import UNIDENTIFIED, UNKNOWN_PROGRAM, Principal
from rhetor.errors import (
    CommitUnresolved,
    Forbidden,
    LoginExpired,
    Malformed,
    Misdirected,
    RhetorError,
    ShuttingDown,
    Unauthenticated,
)

from . import cors, problems, vendor
from .bodies import Receive, Scope, Send, bodiless, bounded, counted, refuse_large
from .counters import REST, Tally, api_of
from .flow import EXTENSION
from .held_bytes import HeldBytes, Share
from .node import written
from .passed_on import HEADER, Passing
from .rates import ByteRates

App = Callable[[Scope, Receive, Send], Awaitable[None]]

ONCE = frozenset(
    {
        "host",
        "origin",
        "authorization",
        "x-api-key",
        "content-length",
        "content-type",
        "idempotency-key",
    }
)
SAFE = frozenset({"GET", "HEAD"})
# what a page would run, or let change how it looks; only the console's own files are that
CODE = frozenset({"script", "style", "worker", "sharedworker", "serviceworker", "object", "embed", "iframe"})
SOCKET = "socket"  # `Principal.credential`
# what is known of a caller's process if it does not tell which peer's program it is
VAGUE = frozenset({None, UNKNOWN_PROGRAM, UNIDENTIFIED})
NOT_A_TOKEN = "the Authorization header has no token; send `Bearer TOKEN`"


class Client(Struct):
    """The client of one connection, over all its requests.

    `agent`: the peer whose program has opened the connection; None for a person. Over TCP, `is_known` is
    False until the first request with credentials. `local`: the caller on the Unix socket; None over TCP.
    """

    local: Principal | None = None
    agent: str | None = None
    is_known: bool = False

    @property
    def is_local(self) -> bool:
        return self.local is not None


class Gate:
    """The ASGI app in front of the router.

    `public`: paths that need no token; with a name in braces, all paths that begin with the part before it.
    `owner`: the subject of a caller with the hub's token or on its Unix socket. A process that descends from
    a peer's program is the agent, not the owner, whatever its credentials. `held`: the bodies of all
    requests; `rates`: those of each caller. `refused` is called with each request that the gate forbids.
    `trusts_unidentified`: a caller whose process is not known counts as the owner. `passing` admits the
    requests that other nodes pass on.
    """

    def __init__(
        self,
        app: App,
        *,
        addresses: Callable[[], Addresses],
        verifier: Verifier,
        logins: Logins,
        tally: Tally,
        attempts: Attempts,
        owner: str,
        public: frozenset[str],
        held: HeldBytes,
        rates: ByteRates,
        processes: Processes,
        refused: Callable[[Scope, RhetorError], None] = lambda scope, error: None,
        trusts_unidentified: Callable[[], bool] = lambda: False,
        passing: Callable[[], Passing | None] = lambda: None,
    ) -> None:
        self._app = app
        self._addresses = addresses
        self._verifier = verifier
        self._logins = logins
        self._tally = tally
        self._attempts = attempts
        self._owner = owner
        self._public = frozenset(path for path in public if "{" not in path)
        self._public_folders = tuple(path.partition("{")[0] for path in public if "{" in path)
        self._held = held
        self._rates = rates
        self._processes = processes
        self._tcp_clients = TcpClients(processes)
        self._trusts_unidentified = trusts_unidentified
        self._refused = refused
        self._passing = passing

    def connected(self, pid: int, is_same: Callable[[], bool]) -> Client:
        """Return who has opened a connection on the Unix socket. Call this at once, because a process may
        pass on its connection and end. `is_same`: whether the id still means the process that opened it."""
        found = self._processes.agent(pid)
        agent = self._believed(found if is_same() else UNIDENTIFIED)
        address = f"unix pid {pid}"
        if agent is not None:
            return Client(Principal.agent(agent, local=True, address=address, credential=SOCKET), agent)
        return Client(Principal.person(self._owner, local=True, address=address, credential=SOCKET))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        state["credential"], state["gate"] = None, self
        if scope["type"] == "http" and (origin := self._sharing(scope)) is not None:
            if _is_preflight(scope):
                scope["extensions"].pop(EXTENSION).answering(scope)
                await cors.preflight(origin)(scope, receive, send)
                return
            send = cors.sharing(send, origin)
        if vendor.is_compatible(scope):
            send = vendor.identified(send, scope)
        try:
            state["principal"] = await self._admit(scope)
            refuse_large(scope)
        except RhetorError as error:
            self._tally.fault(api_of(scope), error.code)
            if isinstance(error, Forbidden):
                self._refused(scope, error)
            if scope["type"] == "http":
                scope["extensions"].pop(EXTENSION).answering(scope)
            await problems.refuse(error, scope, receive, send)
            return
        if scope["type"] == "websocket":  # the bytes of its frames are counted elsewhere
            await self._app(scope, receive, send)
            return
        state["traffic"] = self._tally.traffic[REST]
        is_here = partial(scope["extensions"][EXTENSION].has_body_of, scope)
        send, share = counted(send, state, scope), Share(self._held)
        try:
            if scope["method"] == "HEAD":  # as GET, without the body (RFC 9110, 9.3.2)
                scope, send = {**scope, "method": "GET"}, bodiless(send)
            await self._app_or_refusal(scope, bounded(receive, scope, share, is_here, self._rates), send)
        finally:
            share.shrink()
            del scope["extensions"][EXTENSION]  # the scope and the connection would keep each other in memory

    async def _app_or_refusal(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request. A hub that ends cancels what takes too long: the client may then send the request
        again, to the next hub or to another node."""
        try:
            await self._app(scope, receive, send)
        except asyncio.CancelledError:
            if "began" in scope["state"]:
                raise
            is_safe = scope["method"] in SAFE
            error = ShuttingDown() if is_safe else CommitUnresolved("the hub ended before it answered")
            await problems.refuse(error, scope, receive, send)

    def _sharing(self, scope: Scope) -> str | None:
        """Return the allowed origin of the page that sends the request to one of the hub's names; None if a
        page has not sent it, or if it may not read the response."""
        client: Client = scope["state"]["client"]
        found = [value.decode("latin-1") for name, value in scope["headers"] if name == b"origin"]
        if client.is_local or len(found) != 1:
            return None
        try:
            addresses = self._addresses()
            addresses.check_host(_headers(scope).get("host", ""))
        except RhetorError:
            return None
        return addresses.sharing(found[0])

    async def _admit(self, scope: Scope) -> Principal | None:
        headers = _headers(scope)
        if vendor.is_compatible(scope):
            headers = vendor.with_key(headers)
        client: Client = scope["state"]["client"]
        if client.local is not None:
            _check_local(headers)
            has_key = "authorization" in headers
            return self._by_key(scope, client.local, headers) if has_key else client.local
        if HEADER in headers and (passing := self._passing()) is not None:
            return await _passed_on(scope, passing, headers[HEADER])
        addresses = self._addresses()
        host = addresses.check_host(headers.get("host", ""))
        scope["state"]["is_console"] = addresses.is_console(host)
        if "origin" in headers:
            addresses.check_origin(headers["origin"])
        verified = await self._verified(scope, headers, host, addresses)
        if verified is not None:
            scope["state"]["credential"] = verified.credential  # checked again while the connection is open
            return _principal(verified, await self.agent_of(scope), scope["client"])
        if not self._is_public(scope["path"]):
            detail = "missing token; send `Authorization: Bearer TOKEN` (`rhetor token` prints it)"
            raise Unauthenticated(detail)
        return None

    def _is_public(self, path: str) -> bool:
        return path in self._public or path.startswith(self._public_folders)

    def _by_key(self, scope: Scope, caller: Principal, headers: dict[str, str]) -> Principal:
        """Return the caller on the Unix socket: if its process does not show to which peer's program it
        belongs, the peer to which its key belongs. Other tokens have no effect there."""
        found = self._verifier.program(_token(headers["authorization"]) or "")
        if found is None or caller.peer not in VAGUE:
            return caller
        peer, scope["state"]["credential"] = found
        return Principal.agent(peer, local=True, address=caller.address, credential=f"{KEY} {peer}")

    async def agent_of(self, scope: Scope) -> str | None:
        """Return the peer whose program has opened the connection of a request; None if it was a person."""
        client: Client = scope["state"]["client"]
        if not client.is_local and not client.is_known:
            client.agent = self._believed(await self._tcp_clients.agent(scope["client"], scope["server"]))
            client.is_known = True
        return client.agent

    async def by_token(self, token: str, client: Address, agent: str | None) -> tuple[Principal, Credential]:
        """Return the caller that sends a token after its request was admitted without one. `client`: the
        address of its connection; `agent`: what `agent_of` returned for it.

        Raises:
            Unauthenticated, LoginExpired: the token is invalid.
            TooManyAttempts: the address has sent too many invalid tokens.
        """
        verified = await self._verify(token, client[0])
        return _principal(verified, agent, client), verified.credential

    async def _verify(self, token: str, address: str) -> Verified:
        try:
            return await self._verifier.verify(token)
        except (Unauthenticated, LoginExpired) as error:
            raise self._attempts.failed(address, error, asyncio.get_running_loop().time()) from error

    def _believed(self, agent: str | None) -> str | None:
        return None if agent == UNIDENTIFIED and self._trusts_unidentified() else agent

    async def _verified(
        self, scope: Scope, headers: dict[str, str], host: Authority, addresses: Addresses
    ) -> Verified | None:
        """Return what the credential of a request stands for; None if it has none."""
        if "authorization" in headers:
            token = _token(headers["authorization"])
            if token is None:
                raise wrong(self._attempts, scope, NOT_A_TOKEN)
            return await self._verify(token, address_of(scope))
        if "cookie" in headers and scope["state"]["is_console"]:
            return await self._by_cookie(scope, headers, addresses, host)
        return None

    async def _by_cookie(
        self, scope: Scope, headers: dict[str, str], addresses: Addresses, host: Authority
    ) -> Verified | None:
        try:
            cookie = SimpleCookie(headers["cookie"]).get(addresses.cookie)
        except CookieError:
            return None
        if cookie is not None:
            await self._logins.look_up(cookie.value)
        login = self._logins.of(cookie.value, host[0]) if cookie is not None else None
        if login is None:
            return None
        # browsers send the cookie with requests from any page; accept only those from the hub's own pages
        reads = scope["type"] == "http" and scope["method"] in SAFE
        if "origin" in headers:
            from_us = addresses.is_page_at(host, headers["origin"])
        else:
            from_us = reads and headers.get("sec-fetch-site") in ("same-origin", "none")
        if not from_us:
            raise Forbidden("a cookie is accepted only in requests from the hub's own pages")
        if headers.get("sec-fetch-dest") in CODE and not self._is_public(scope["path"]):
            raise Forbidden("a page must not run what the hub's APIs answer")
        credential = ByCookie(self._logins, login)
        return Verified(login.subject, frozenset(login.scopes), login.credential, credential)


async def _passed_on(scope: Scope, passing: Passing, sealed: str) -> Principal | None:
    """Return the caller of a request that another node has admitted, checked and passed on."""
    found = await passing.admitted(scope, sealed)
    who, state = found.principal, scope["state"]
    state["passed_on"], state["is_console"], scope["client"] = True, found.is_console, found.client
    state["client"] = Client(who if who is not None and who.local else None, found.agent, is_known=True)
    return who


def _principal(verified: Verified, agent: str | None, client: Address) -> Principal:
    """Return the caller with a credential. `agent`: the peer whose program has opened the connection. If that
    is not known, it is the peer that the key belongs to."""
    address, kind = written(client), verified.kind
    peer = verified.agent if verified.agent is not None and agent in VAGUE else agent
    if peer is not None:
        return Principal.agent(peer, local=False, address=address, credential=kind)
    return Principal(verified.subject, verified.scopes, address=address, credential=kind)


def _is_preflight(scope: Scope) -> bool:
    asks = any(name == b"access-control-request-method" for name, _ in scope["headers"])
    return scope["method"] == "OPTIONS" and asks


def _token(authorization: str) -> str | None:
    """Return the token in an Authorization header: that of `Bearer`, or the password of `Basic`, with any
    user (RFC 7617). None if there is none."""
    kind, _, value = authorization.partition(" ")
    if kind.lower() == "bearer":
        return value.strip()
    if kind.lower() != "basic":
        return None
    try:
        pair = base64.b64decode(value.strip(), validate=True).decode()
    except ValueError:
        return None
    return pair.partition(":")[2]


def wrong(attempts: Attempts, scope: Scope, why: str) -> RhetorError:
    """Count a wrong credential, and return the error for it."""
    return failed(attempts, scope, Unauthenticated(why))


def failed(attempts: Attempts, scope: Scope, error: RhetorError) -> RhetorError:
    """Count a wrong credential with this error, and return the error for the caller."""
    return attempts.failed(address_of(scope), error, asyncio.get_running_loop().time())


def address_of(scope: Scope) -> str:
    return scope["client"][0] if scope.get("client") else "unix"


def _check_local(headers: dict[str, str]) -> None:
    """Reject browsers on the Unix socket, which could be forwarded to an address that they can reach."""
    if headers.get("host") != "localhost":
        detail = "on the Unix socket, the Host header must be localhost"
        raise Misdirected(detail, host=headers.get("host", "")[:200])
    if "origin" in headers:
        raise Forbidden("web pages must not use the Unix socket", origin=headers["origin"][:200])


def _headers(scope: Scope) -> dict[str, str]:
    """Return the headers by their names in lower case.

    Raises:
        Malformed: a header that admission depends on occurs twice.
    """
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        key = name.decode("latin-1").lower()
        if key in found and key in ONCE:
            raise Malformed(f"the header {key} occurs twice")
        found[key] = value.decode("latin-1")
    return found
