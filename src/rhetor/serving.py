"""Runs a hub until it is stopped: its sockets, its server, and what it does beside serving requests."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import sys
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rhetor.app import Start, node_of, opened_hub
from rhetor.auth.tokens import TokenFile
from rhetor.certificate_renewal import keep_renewed
from rhetor.domain.principal import Principal
from rhetor.domain.secrets import is_secret, passwords_of
from rhetor.errors import FenceLost
from rhetor.home import note_port, note_schedules
from rhetor.hub.hub import Hub
from rhetor.hub.programs.instances import end_all
from rhetor.hub.state import State
from rhetor.listening import listen
from rhetor.routes import gated
from rhetor.settings import SQLITE
from rhetor.storage import state_files
from rhetor.store.prompt_history import PromptHistory
from rhetor.transports.server.certificate import Certificate
from rhetor.transports.server.memory import keep_small
from rhetor.transports.server.node import Node
from rhetor.transports.server.server import (
    HubServer,
    on_hang_up,
    remove_socket,
    stop_when_idle,
    unix_listener,
)
from rhetor.wiring import Configured

if TYPE_CHECKING:
    from rhetor.nodes import Membership
    from rhetor.store.postgres.leases import Leases

GC_THRESHOLDS = (20_000, 20, 50)
Work = Coroutine[Any, Any, object]


def collect_seldom() -> None:
    """Make garbage collections rarer and shorter. Call this when everything is imported.

    Imported objects live as long as the process, so collections need not visit them. The pauses of a busy
    hub come from collections of the oldest generation.
    """
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    gc.enable()


async def serve(start: Start) -> None:
    """Run a hub until it is stopped.

    Raises:
        InvalidSettings: the hub cannot be started with these settings.
    """
    settings, home = start.settings, start.home
    collect_seldom()
    async with AsyncExitStack() as stack:
        listening = stack.enter_context(listen(settings.hub, home.folder, or_any=start.by_itself))
        files = state_files(home.folder, settings)
        member = await _membership(stack, start, listening.tcp)
        unix = stack.enter_context(unix_listener(home.socket))
        own_socket = home.socket.stat()
        note_port(home.folder, settings.hub.port, listening.port)
        opened = await stack.enter_async_context(opened_hub(start, files, listening.url, member))
        node, state = node_of(start, opened, files), opened.hub.state
        state.schedules.counted = partial(note_schedules, home.folder)
        note_schedules(home.folder, state.schedules.waiting)
        tokens = _token_file(start, node)
        app = gated(node, tokens, start.mark)
        listening.set_addresses(node, home.socket, tokens)
        close = partial(_close, opened.hub, member)
        server = HubServer(app, lambda: _say(node), close, certificate=listening.certificate)
        node.shut_down = lambda: setattr(server, "should_exit", True)
        stack.enter_context(on_hang_up(opened.reloading.try_reload, node.shut_down))
        work = _work(node, opened.made, files.prompt)
        if listening.certificate is not None:
            work |= _work_of_certificate(listening.certificate, home.folder)
        if member is not None:
            _connect_nodes(node, member, listening.certificate)
            work["loss of the lease"] = _end_when_lost(member.leases, node)
        if start.by_itself:
            work["idle-exit"] = stop_when_idle(server, lambda: _is_needed(state), settings.hub.idle_exit)
        # no failure of these ends the hub: it is logged
        beside = [state.background.start(each, name) for name, each in work.items()]
        try:
            await server.serve(sockets=[unix, listening.tcp])
        finally:
            for task in beside:
                task.cancel()
        remove_socket(home.socket, own_socket)
        if member is not None and member.leases.lost.is_set():
            raise FenceLost


def _work(node: Node, made: Configured, prompt: PromptHistory) -> dict[str, Work]:
    """Return what every hub does beside serving requests, by name."""
    starter, state = Principal(node.owner, address=f"pid {os.getpid()}"), node.hub.state
    return {
        "audit of the start": state.audit.begin(starter, node.version),
        "warm-up": made.access.warm_up(),
        "models": made.access.check_models(),
        "connections": node.connections.keep_checking(),
        "prompt history": asyncio.to_thread(prompt.settle),
        "memory": keep_small(node.tally, node.held, state.store.forget_unused),
    }


def _work_of_certificate(certificate: Certificate, folder: Path) -> dict[str, Work]:
    return {
        "certificate": certificate.keep_current(),
        "renewal of the certificate": keep_renewed(certificate, folder),
    }


def _token_file(start: Start, node: Node) -> TokenFile:
    """Return the hub's token. When it is replaced, the logins that were made with it end, too."""

    def changed() -> None:
        node.logins.codes.forget_all()
        start.secrets.add(filter(None, [tokens.current]))
        who, state = Principal(node.owner, credential="file"), node.hub.state
        state.background.start(state.audit.note(who, "token.replace"), "audit of the token")

    tokens = TokenFile(start.home.folder / "token", changed)
    start.secrets.add(filter(None, [tokens.current]))
    return tokens


def _connect_nodes(node: Node, member: Membership, certificate: Certificate | None) -> None:
    """Let this node pass requests on to the others, and describe them."""
    from rhetor.transports.server.node_connections import NodeConnections
    from rhetor.transports.server.passing import PassedRequests

    node.nodes = member.described
    node.passing = PassedRequests(node, NodeConnections(certificate))


async def _membership(stack: AsyncExitStack, start: Start, tcp: socket.socket) -> Membership | None:
    """Return this node among those that share its database, with its lease; None without such a database."""
    settings = start.settings
    if settings.store == SQLITE:
        return None
    # most hubs never need it
    from rhetor.nodes import membership, node_name, own_address
    from rhetor.store.postgres.leases import Leases

    start.secrets.add(filter(is_secret, passwords_of(settings.store)))
    address = own_address(settings.hub.host, tcp, settings.hub.node_address)
    leases = Leases(settings.store, node_name(start.home.folder), address)
    return await stack.enter_async_context(membership(leases))


async def _close(hub: Hub, member: Membership | None) -> None:
    if member is not None and member.leases.lost.is_set():
        await end_all(hub.state)
    elif member is not None:
        member.keeps_lease = any(not each.peer.machine for each in hub.state.instances.values())
    await hub.aclose()


async def _end_when_lost(leases: Leases, node: Node) -> None:
    await leases.lost.wait()
    node.shut_down()


def _is_needed(state: State) -> bool:
    """Return whether the hub must not stop although nobody uses it: something is running, or will run."""
    return bool(state.running or state.instances or state.schedules.waiting)


def _say(node: Node) -> None:
    """Print the one line on stdout which says that the hub accepts clients."""
    sys.stdout.write(f"rhetor listening on {node.url} and {node.sockets[0]}\n")
    sys.stdout.flush()
