"""Connections to other nodes. With TLS, the certificate of another node must be the own one, or one for the
same name, from a CA that the system or the own chain of certificates trusts."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from typing import Any, TypeVar

from rhetor.errors import NodeLost
from rhetor.hub.core.nodes import LiveNode

from .certificate import Certificate
from .exchange import READ_BYTES
from .server import expect_acknowledgements
from .tunnel import End

DIAL_SECONDS = 2.0
P = TypeVar("P", bound=asyncio.BaseProtocol)
log = logging.getLogger(__name__)


class NodeConnections:
    """Connects to other nodes. `certificate`: that of this node, if it has TLS; then all nodes have."""

    def __init__(self, certificate: Certificate | None = None) -> None:
        self._certificate = certificate
        self._made: tuple[ssl.SSLContext, ssl.SSLContext] | None = None
        self._failing: set[str] = set()

    async def streams(self, node: LiveNode) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a connection for one request.

        Raises:
            NodeLost: the node does not accept it.
        """
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(READ_BYTES, loop)
        protocol = asyncio.StreamReaderProtocol(reader)
        transport = await self._connected(node, lambda: protocol)
        return reader, asyncio.StreamWriter(transport, protocol, reader, loop)

    async def end(self, node: LiveNode) -> End:
        """Open a connection that becomes one end of a tunnel.

        Raises:
            NodeLost: the node does not accept it.
        """
        end = End()
        await self._connected(node, lambda: end)
        return end

    async def _connected(self, node: LiveNode, protocol: Callable[[], Any]) -> asyncio.Transport:
        host, _, port = node.address.rpartition(":")
        options: dict[str, Any] = {}
        if self._certificate is not None:
            options = {
                "ssl": self._context(self._certificate),
                "server_hostname": _name(self._certificate, host),
            }
        try:
            async with asyncio.timeout(DIAL_SECONDS):
                transport, _ = await asyncio.get_running_loop().create_connection(
                    protocol, host.strip("[]"), int(port), **options
                )
        except (OSError, TimeoutError, ValueError) as error:  # an error of TLS is an OSError
            if node.address not in self._failing:  # once, and not for each request
                self._failing.add(node.address)
                reason = {"node": node.name, "address": node.address, "reason": str(error)}
                log.warning("connecting to another node failed", extra=reason)
            raise NodeLost(node.name) from error
        self._failing.discard(node.address)
        expect_acknowledgements(transport.get_extra_info("socket"))
        return transport

    def _context(self, certificate: Certificate) -> ssl.SSLContext:
        if self._made is None or self._made[0] is not certificate.context:
            self._made = certificate.context, context_for(certificate)
        return self._made[1]


def context_for(certificate: Certificate) -> ssl.SSLContext:
    """Return the context with which a node checks another one's certificate. Reads the own one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_default_certs()
    context.load_verify_locations(certificate.files.certificate)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # the own certificate need not be that of a CA
    return context


def _name(certificate: Certificate, host: str) -> str:
    """Return the name that the certificate of another node must be for. The own one may have wildcards
    only; then it is the name in the node's address."""
    return next(iter(certificate.names), host).strip("[]")
