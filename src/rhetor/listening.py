"""Where the hub listens over TCP, and the addresses by which it is reached there."""

from __future__ import annotations

import hmac
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import Struct

from rhetor.auth.addresses import Addresses, is_loopback, own_names
from rhetor.auth.tokens import TokenFile
from rhetor.home import last_port
from rhetor.settings import HubSettings
from rhetor.transports.server.certificate import Certificate, tls_files
from rhetor.transports.server.node import Node
from rhetor.transports.server.server import tcp_listener


class Listening(Struct, frozen=True):
    """The TCP listener of a hub. `certificate`: with which it has TLS, if it has."""

    settings: HubSettings
    tcp: socket.socket
    certificate: Certificate | None

    @property
    def port(self) -> int:
        port: int = self.tcp.getsockname()[1]
        return port

    @property
    def url(self) -> str:
        name, _ = own_names(self.settings.host, self._names, "")
        return f"{'https' if self.certificate else 'http'}://{name}:{self.port}"

    def set_addresses(self, node: Node, unix: Path, tokens: TokenFile) -> None:
        """Set the hub's addresses. `unix`: its socket in the file system."""
        settings, certificate = self.settings, self.certificate
        name, console = own_names(settings.host, self._names, _console_name(tokens))
        node.url = self.url
        node.console = f"{urlsplit(node.url).scheme}://{console}:{self.port}"
        node.sockets = (f"unix:{unix}", node.url)
        node.addresses = Addresses(
            self.port,
            console,
            settings.allowed_hosts,
            settings.allowed_origins,
            tls=bool(certificate),
            names=(name, *self._names),
            for_network=not is_loopback(settings.host),
        )
        if certificate is None:
            return

        def changed() -> None:
            assert node.addresses is not None
            node.addresses = node.addresses.named((name, *certificate.names))

        node.certificate, certificate.changed = certificate, changed

    @property
    def _names(self) -> tuple[str, ...]:
        return tuple(self.certificate.names) if self.certificate else ()


@contextmanager
def listen(settings: HubSettings, folder: Path, *, or_any: bool) -> Iterator[Listening]:
    """Listen over TCP. `or_any`: on another port if the configured one is taken.

    Raises:
        InvalidSettings: the hub cannot listen there, or its certificate cannot be used.
    """
    files = tls_files(settings.tls_cert, settings.tls_key)
    certificate = Certificate(files) if files else None
    last = last_port(folder, settings.port)
    with tcp_listener(
        settings.host, settings.port, or_any=or_any, last=last, tls=certificate is not None
    ) as tcp:
        yield Listening(settings, tcp, certificate)


def _console_name(tokens: TokenFile) -> str:
    """Return a name for the console that nobody can guess. It stays the same until the hub's token is
    replaced, so that a page which is open when the hub is started again finds it."""
    key = (tokens.current or "").encode()
    return f"{hmac.new(key, b'console', 'sha256').hexdigest()[:16]}.localhost"
