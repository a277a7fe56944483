"""The host names that requests may be sent to, and the origins of pages that may send them. Both are exact
lists, without wildcards."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

from rhetor.errors import Forbidden, Misdirected

Authority = tuple[str, int]


class Addresses:
    """The hub's own host names and origins on its TCP port, and the additional ones from the settings.

    `console` is the host name that a browser's cookie is bound to, because cookies are not bound to ports.
    `names`: other names of the hub itself, as in its certificate.
    """

    def __init__(
        self,
        port: int,
        console: str,
        hosts: Iterable[str] = (),
        origins: Iterable[str] = (),
        *,
        tls: bool = False,
        names: Iterable[str] = (),
    ) -> None:
        scheme, default = ("https", 443) if tls else ("http", 80)
        self._configured, self._names = (tuple(hosts), tuple(origins)), tuple(names)
        hosts, origins = self._configured
        own = ["127.0.0.1", "localhost", "[::1]", console, *self._names]
        self._default = default
        self.tls = tls
        # with this prefix, browsers accept the cookie only from this very host, over https
        self.cookie = "__Host-rhetor" if tls else "rhetor"
        self.console: Authority = (console, port)
        self._hosts = {(name, port) for name in own}
        self._hosts |= {a for host in hosts if (a := _authority(host, default))}
        self._shared = {o: _written(o) for origin in origins if (o := _origin(origin))}
        self._origins = {(scheme, name, port) for name in own} | self._shared.keys()

    def allowing(self, hosts: Iterable[str], origins: Iterable[str]) -> Addresses:
        """Return the hub's own names with these additional ones."""
        name, port = self.console
        return Addresses(port, name, hosts, origins, tls=self.tls, names=self._names)

    def named(self, names: Iterable[str]) -> Addresses:
        """Return the same with these other names of the hub itself."""
        name, port = self.console
        return Addresses(port, name, *self._configured, tls=self.tls, names=names)

    def check_host(self, header: str) -> Authority:
        """Return the name and port in a Host header.

        Raises:
            Misdirected: the hub does not have this name.
        """
        authority = _authority(header, self._default)
        if authority is None or authority not in self._hosts:
            detail = "the hub does not have this host name; to allow it, add it to hub.allowed_hosts"
            raise Misdirected(detail, host=header[:200])
        return authority

    def check_origin(self, header: str) -> None:
        """Check an Origin header.

        Raises:
            Forbidden: the origin is not allowed; `null` never is.
        """
        if _origin(header) not in self._origins:
            detail = "this origin is not allowed; to allow it, add it to hub.allowed_origins"
            raise Forbidden(detail, origin=header[:200])

    def sharing(self, header: str) -> str | None:
        """Return the configured origin that an Origin header names, as browsers write it; None if pages of
        that origin may not read responses. It is never taken from the header."""
        origin = _origin(header)
        return self._shared.get(origin) if origin is not None else None


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach a host."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def own_names(host: str, names: Sequence[str], random: str) -> tuple[str, str]:
    """Return the names for the hub's URL and for its console: of the listener at `host`, with a certificate
    for `names`. On the loopback interface, the console has a name of its own: the one in the certificate that
    ends with `.localhost`, or `random`."""
    written = f"[{host}]" if ":" in host else host
    if is_loopback(host):
        return written, next((name for name in names if name.endswith(".localhost")), random)
    public = [name for name in names if not is_loopback(name)]
    url = written if written in public or not public else public[0]
    return url, url


def _written(origin: tuple[str, str, int]) -> str:
    scheme, name, port = origin
    is_default = port == (443 if scheme == "https" else 80)
    return f"{scheme}://{name}" if is_default else f"{scheme}://{name}:{port}"


def _authority(text: str, default: int) -> Authority | None:
    if not text or any(c in text for c in "/?#@\\") or not text.isascii() or any(c.isspace() for c in text):
        return None
    try:
        parts = urlsplit(f"//{text}")
        name, port = parts.hostname, parts.port
    except ValueError:
        return None
    if not name:
        return None
    return (f"[{name}]" if ":" in name else name, default if port is None else port)


def _origin(text: str) -> tuple[str, str, int] | None:
    scheme, separator, rest = text.partition("://")
    if not separator or scheme not in ("http", "https"):
        return None
    authority = _authority(rest, 443 if scheme == "https" else 80)
    return (scheme, *authority) if authority else None
