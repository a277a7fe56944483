"""Passes requests on to the node that has what they are about: one hop, as the caller that this node has
admitted.

The other node gets no credentials of the caller. It believes who that is because it is sealed with the data
keys, which the nodes of one hub share. This node looks after the credentials: when they end, so does what was
passed on.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from rhetor.domain.principal import Principal
from rhetor.errors import Forbidden, NodeLost, RhetorError, SealBroken
from rhetor.hub.core.nodes import LiveNode

from . import vendor
from .bodies import Receive, Scope, Send
from .counters import api_of
from .disconnect import CallerGone, while_connected
from .exchange import OF_CONNECTION, ConnectionBroken, Exchange, Header, head_of
from .flow import EXTENSION
from .gate import Client, Gate
from .node import Node
from .node_connections import NodeConnections
from .passed_on import HEADER, Admitted
from .placement import At
from .sse import error_frame
from .tunnel import tunnel

if TYPE_CHECKING:
    from .http_protocol import BoundedProtocol
    from .websocket_protocol import SocketProtocol

ABOUT = b"passed on\0"
APART_SECONDS = 60.0  # how far the clocks of two nodes may differ
# what this node has dealt with
KEPT_HERE = frozenset({b"authorization", b"x-api-key", b"cookie", b"origin", HEADER.encode()})
UPGRADE = (b"connection", b"Upgrade"), (b"upgrade", b"websocket")
EXCHANGE = "exchange"  # in the state of a scope


class PassedRequests:
    """The requests that a node passes on to others, and that others pass on to it."""

    def __init__(self, node: Node, connections: NodeConnections) -> None:
        self._node = node
        self._nodes = node.hub.state.nodes
        self._connections = connections
        self._open: dict[str, set[_Passed]] = {}
        self._nodes.on_change(self._end_lost)

    async def elsewhere(self, at: At, scope: Scope, names: Mapping[str, str]) -> str | None:
        """Do the same as `Passing.elsewhere`."""
        if scope["state"].get("passed_on"):
            return None
        name = await at(self._node.hub.state, scope, names)
        return None if name == self._nodes.own else name

    async def pass_on(self, name: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Do the same as `Passing.pass_on`."""
        state, is_socket, api = scope["state"], scope["type"] == "websocket", api_of(scope)
        live = self._nodes.live.get(name)
        if live is None:
            raise NodeLost(name)
        try:
            with self._counted(api, scope), self._while_live(name):
                await (self._socket(live, scope) if is_socket else self._request(live, scope, receive, send))
        except RhetorError as error:
            if not state.get("began"):
                raise
            self._node.tally.end(api, error.code)
            if not is_socket:
                _break_off(scope, error)

    async def admitted(self, scope: Scope, sealed: str) -> Admitted:
        """Do the same as `Passing.admitted`."""
        try:
            text = await asyncio.to_thread(self._node.seal.open, base64.b64decode(sealed), ABOUT)
            found = msgspec.json.decode(text, type=Admitted)
        except (binascii.Error, ValueError, SealBroken, msgspec.DecodeError) as error:
            raise Forbidden("not passed on by a node of this hub") from error
        if found.to != self._nodes.own or found.request != _request_of(scope):
            raise Forbidden("passed on to another node, or as another request")
        if abs(found.at - time.time()) > APART_SECONDS:
            detail = f"the clocks of two nodes differ by more than {APART_SECONDS:g} s"
            raise Forbidden(detail, hint="keep the clocks of all nodes right, for example by NTP")
        return found

    async def _request(self, live: LiveNode, scope: Scope, receive: Receive, send: Send) -> None:
        headers = await self._headers(live, scope)
        reader, writer = await self._connections.streams(live)
        exchange = scope["state"][EXCHANGE] = Exchange(reader, writer, send)
        try:
            if not await exchange.ask(scope, headers, receive):
                raise CallerGone
            with while_connected(scope):
                await exchange.answer()
        except ConnectionBroken as error:
            raise NodeLost(live.name) from error
        finally:
            writer.transport.abort()

    async def _socket(self, live: LiveNode, scope: Scope) -> None:
        client: SocketProtocol = scope["extensions"][EXTENSION]
        client.traffic = self._node.tally.traffic[api_of(scope)]
        headers = await self._headers(live, scope)
        end = await self._connections.end(live)
        scope["state"]["began"] = True
        await tunnel(client, end, head_of("GET", scope, [*headers, *UPGRADE]))

    async def _headers(self, live: LiveNode, scope: Scope) -> Sequence[Header]:
        """Return the headers of a request as it is passed on."""
        state = scope["state"]
        gate: Gate = state["gate"]
        client: Client = state["client"]
        admitted = Admitted(
            live.name,
            _request_of(scope),
            time.time(),
            state["principal"],
            await gate.agent_of(scope),
            None if client.is_local else scope["client"],
            bool(state.get("is_console")),
        )
        sealed = await asyncio.to_thread(self._node.seal.seal, msgspec.json.encode(admitted), ABOUT)
        headers = [(name.lower(), value) for name, value in scope["headers"]]
        kept = [(name, value) for name, value in headers if name not in KEPT_HERE | OF_CONNECTION]
        return [*kept, (HEADER.encode(), base64.b64encode(sealed))]

    @contextmanager
    def _counted(self, api: str, scope: Scope) -> Iterator[None]:
        """Count a request among the caller's connections, if the caller is known."""
        state = scope["state"]
        who: Principal | None = state["principal"]
        if who is None:
            yield
            return
        is_new, credential = scope["type"] == "websocket", state["credential"]
        with self._node.connections.opened(api, who, credential, is_new=is_new) as state["connection"]:
            yield

    @contextmanager
    def _while_live(self, name: str) -> Iterator[None]:
        """Cancel the task in the context when the lease of the node ends.

        Raises:
            NodeLost: it has ended.
        """
        task = asyncio.current_task()
        assert task is not None
        passed = _Passed(task)
        self._open.setdefault(name, set()).add(passed)
        try:
            yield
        except asyncio.CancelledError:
            if not passed.is_lost:
                raise
            task.uncancel()  # the cancellation was ours
            raise NodeLost(name) from None
        finally:
            self._open.get(name, set()).discard(passed)

    def _end_lost(self) -> None:
        for name in self._open.keys() - self._nodes.live.keys():
            for passed in self._open.pop(name):
                passed.is_lost = True
                passed.task.cancel()


class _Passed:
    """A request that another node is answering, in a task of this one."""

    def __init__(self, task: asyncio.Task[Any]) -> None:
        self.task = task
        self.is_lost = False


def _request_of(scope: Scope) -> str:
    """Return what a request asks for, the same at both nodes."""
    target = b"%b?%b" % (scope["raw_path"], scope["query_string"])
    return f"{scope.get('method', 'WEBSOCKET')} {target.decode('latin-1')}"


def _break_off(scope: Scope, error: RhetorError) -> None:
    """End a response that has begun and will not be complete: an event stream with a frame that says why."""
    server: BoundedProtocol = scope["extensions"][EXTENSION]
    exchange: Exchange | None = scope["state"].get(EXCHANGE)
    if exchange is not None and exchange.is_event_stream and not vendor.is_compatible(scope):
        server.end_stream(error_frame(error))
    else:
        server.transport.abort()
