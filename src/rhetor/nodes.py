"""Which node serves, if several share a database: this one waits for the lease, and keeps it while it serves.

While it waits, it passes the connections of its clients on to the node that serves.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from rhetor.background import start, stop
from rhetor.errors import FenceLost, StoreRefused
from rhetor.sealing.ring import Ring
from rhetor.store.postgres.leases import Leases
from rhetor.transports.server.standby import Address, Standby

LOOK_SECONDS = 1.0  # between attempts to take the lease
RENEWALS = 4  # attempts to renew the lease before it ends
AGAIN_SECONDS = 0.5  # after a failed one
ID = "node"
EVERY_ADDRESS = ("0.0.0.0", "::", "")
log = logging.getLogger(__name__)


def node_name(home: Path) -> str:
    """Return the name of this node: the machine's, and an id that is made once for its state folder."""
    file = home / ID
    try:
        own = file.read_text().strip()
    except FileNotFoundError:
        own = secrets.token_hex(4)
        file.write_text(f"{own}\n")
    return f"{socket.gethostname()}-{own}"


def address_of(text: str) -> Address | None:
    """Return the host and port of an address `HOST:PORT`; None if it is not one."""
    host, _, port = text.rpartition(":")
    return (host.strip("[]"), int(port)) if host and port.isdecimal() else None


def own_address(host: str, listener: socket.socket, configured: str | None) -> str:
    """Return where other nodes reach this one, as `HOST:PORT`. `host`: on which it listens. `configured`: the
    setting `hub.node_address`."""
    if configured is not None:
        return configured
    name = socket.gethostname() if host in EVERY_ADDRESS else host
    return f"[{name}]:{port_of(listener)}" if ":" in name else f"{name}:{port_of(listener)}"


def port_of(listener: socket.socket) -> int:
    port: int = listener.getsockname()[1]
    return port


@asynccontextmanager
async def serving(leases: Leases, ring: Ring, listener: socket.socket) -> AsyncIterator[None]:
    """Wait until this node has the lease, and keep it while the block runs. `leases.lost` is set when another
    node has taken it.

    Raises:
        StoreRefused: the database cannot be used at the beginning.
        KeysUnavailable: the database has sealed content, and this node lacks its keys.
    """
    try:
        await wait_for_lease(leases, ring, listener)
        keeping = start(keep_lease(leases), "lease")
        try:
            yield
        finally:
            await stop(keeping)
            with suppress(StoreRefused):  # it ends by itself
                await leases.release()
    finally:
        await leases.aclose()


async def wait_for_lease(leases: Leases, ring: Ring, listener: socket.socket) -> None:
    """Return when this node has the lease. Until then, pass on what the listener accepts.

    Raises:
        StoreRefused, KeysUnavailable: as `serving`.
    """
    found = await leases.take_alone()
    if found is None:
        await take_what_is_left(leases)
        return
    if needed := await leases.keys():  # better now than when the node is needed
        ring.load(needed=needed)
    sys.stdout.write(f"rhetor stands by: {found.name} at {found.address} serves\n")
    sys.stdout.flush()
    standby = Standby(lambda: address_of(found.address) if found else None)
    async with standby.listening(listener):
        while found is not None:
            log.debug("standing by", extra={"serving": found.name, "seconds": found.seconds})
            await asyncio.sleep(LOOK_SECONDS)
            try:
                found = await leases.take_alone()
            except StoreRefused as error:
                log.warning("looking for the lease failed", extra={"reason": error.detail})
    log.warning("this node takes over", extra={"node": leases.name})
    await take_what_is_left(leases)


async def take_what_is_left(leases: Leases) -> None:
    """Become the owner of all streams."""
    await leases.take_over()
    await leases.claim()


async def keep_lease(leases: Leases) -> None:
    """Renew the lease until another node has taken it."""
    pause = leases.seconds / RENEWALS
    while True:
        await asyncio.sleep(pause)
        try:
            await leases.renew()
            pause = leases.seconds / RENEWALS
        except FenceLost:
            log.error("another node has taken over", extra={"node": leases.name})
            return
        except StoreRefused as error:
            log.warning("renewing the lease failed", extra={"reason": error.detail})
            pause = AGAIN_SECONDS


async def described(leases: Leases) -> list[dict[str, Any]]:
    """Return the nodes, the one that serves first."""
    return [
        {
            "name": node.name,
            "address": node.address,
            "serves": node.seconds > 0,
            "own": node.name == leases.name,
            "refused_writes": node.refused,
        }
        for node in await leases.nodes()
    ]
