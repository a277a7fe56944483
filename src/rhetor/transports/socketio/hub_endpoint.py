"""The hub's Socket.IO endpoint: it admits a client by the token in its CONNECT, and then serves it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack
from functools import partial

from starlette.types import ASGIApp, Scope

from rhetor.auth.credentials import Credential
from rhetor.codec.engineio import Timing
from rhetor.codec.socketio import MAIN, Packet
from rhetor.dialects import socketio as dialect
from rhetor.dialects.socketio import Auth
from rhetor.domain.principal import READ, Principal
from rhetor.errors import Forbidden, NotFound, RhetorError, ShuttingDown, TooManyInvalid, Unauthenticated
from rhetor.transports.server.gate import Client, Gate
from rhetor.transports.server.node import Node
from rhetor.transports.server.placement import tagged

from .client import SocketIoClient
from .connection import API, EngineConnection, Origin
from .endpoint import EngineEndpoint
from .hub_client import MOST_FAULTS, HubClient

TIMING = Timing(ping_interval=15.0, ping_timeout=20.0, max_payload=8 << 20)
CONNECT_SECONDS = 5.0
Caller = tuple[Principal, Credential | None, Auth]


def hub_endpoint(node: Node) -> ASGIApp:
    """Return the app that serves Socket.IO clients of this hub."""
    start = node.hub.state.background.start
    return EngineEndpoint(
        partial(_serve, node),
        TIMING,
        start=start,
        identify=_identify,
        tally=node.tally,
        held=node.held,
        tag=partial(tagged, node.hub.state.nodes),
    )


async def _identify(scope: Scope) -> Origin:
    node: Node = scope["state"]["node"]
    if node.hub.state.closing:
        raise ShuttingDown
    gate: Gate = scope["state"]["gate"]
    client: Client = scope["state"]["client"]
    agent = await gate.agent_of(scope)
    principal, credential = scope["state"]["principal"], scope["state"]["credential"]
    admit = partial(gate.by_token, client=scope["client"], agent=agent)
    return Origin(client.is_local, agent, principal, credential, admit)


async def _serve(node: Node, connection: EngineConnection) -> None:
    client = SocketIoClient(connection)
    packets = client.packets()
    with node.hub.state.presence.connected() as reader:
        try:
            while await _serve_caller(node, client, packets):
                pass  # the client has left the namespace, and may connect again
        except asyncio.CancelledError:
            if reader.ended is None:
                raise
            reader.task.uncancel()
            raise reader.ended from None


async def _serve_caller(node: Node, client: SocketIoClient, packets: AsyncIterator[Packet]) -> bool:
    """Admit the next caller of a session, and serve it until it disconnects from the namespace. Return False
    if the session has ended."""
    with ExitStack() as stack:
        found = await _admitted(node, client, packets, stack)
        if found is None:
            return False
        who, _, auth = found
        try:
            async with asyncio.TaskGroup() as tasks:
                hub_client = HubClient(node, client, who, tasks)
                await hub_client.connect(auth)
                raise _Over(await hub_client.serve(packets))
        except ExceptionGroup as group:
            return _ended(group)


class _Over(Exception):
    """The caller is served; its tasks end. `stays`: its session continues."""

    def __init__(self, stays: bool) -> None:
        self.stays = stays


def _ended(group: ExceptionGroup[Exception]) -> bool:
    """Return whether the session continues, or raise the error that ended it."""
    errors = [error for error in group.exceptions if not isinstance(error, _Over)]
    group.__traceback__ = None  # has the frame that holds the group
    if not errors:
        (over,) = group.exceptions
        assert isinstance(over, _Over)
        return over.stays
    raise next((error for error in errors if not isinstance(error, RhetorError)), errors[0])


async def _admitted(
    node: Node, client: SocketIoClient, packets: AsyncIterator[Packet], stack: ExitStack
) -> Caller | None:
    """Return the caller of the next valid CONNECT; None if the session has ended.

    Raises:
        Unauthenticated: there was none in time.
        TooManyInvalid: too many were invalid.
    """
    faults = 0
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            async for packet in packets:
                try:
                    caller = await _caller(node, client.connection.origin, packet, stack)
                    client.connection.charge = partial(node.charge_bytes, caller[0])
                    return caller
                except RhetorError as error:
                    node.tally.fault(API, error.code)
                    await _refuse(client, packet, error)
                    faults += 1
                    if faults >= MOST_FAULTS:
                        raise TooManyInvalid(MOST_FAULTS) from error
    except TimeoutError:
        raise Unauthenticated(f"no valid CONNECT within {CONNECT_SECONDS:g} s") from None
    return None


async def _caller(node: Node, origin: Origin, packet: Packet, stack: ExitStack) -> Caller:
    """Return the caller that a CONNECT names, and count its connection.

    Raises:
        NotFound: the namespace does not exist.
        Unauthenticated, LoginExpired, TooManyAttempts: the token is missing or invalid.
        Forbidden: the caller lacks the scope `read`.
        TooManyConnections: the caller has too many connections.
    """
    if packet.namespace != MAIN:
        raise NotFound("namespace", packet.namespace)
    auth = dialect.auth_of(packet.auth)
    principal, credential = origin.principal, origin.credential
    if auth.token is not None and not origin.is_local:
        assert origin.admit is not None
        principal, credential = await origin.admit(auth.token)
    if principal is None:
        raise Unauthenticated("missing token; send it in `auth: {token}` (`rhetor token` prints it)")
    try:
        principal.require(READ)
    except Forbidden as error:
        node.hub.state.audit.refused(principal, "request", error, "CONNECT", api=API)
        raise
    stack.enter_context(node.connections.opened(API, principal, credential))
    return principal, credential, auth


async def _refuse(client: SocketIoClient, packet: Packet, error: RhetorError) -> None:
    if packet.namespace != MAIN:
        await client.refuse(packet.namespace, "Invalid namespace")
    else:
        await client.refuse(MAIN, error.detail, dialect.problem(error))
