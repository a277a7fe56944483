"""The host names that requests may be sent to, and the origins of pages that may send them. Both are exact
lists, without wildcards."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import urlsplit

from rhetor.errors import Forbidden, Misdirected

Authority = tuple[str, int]


class Addresses:
    """The hub's own host names and origins on its TCP port, and the additional ones from the settings.

    `console` is the host name at which a browser on this machine logs in. It is used for nothing else,
    because cookies are not bound to ports. `names`: other names of the hub itself, as in its certificate.
    `for_network`: other machines can reach the hub, so browsers may also log in at those of its names that
    are not of the loopback interface.
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
        for_network: bool = False,
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
        self.is_for_network = for_network
        self.network_names = tuple(filter(_is_of_network, dict.fromkeys(self._names))) if for_network else ()
        self._consoles = {console, *self.network_names}
        self._hosts = {(name, port) for name in own}
        self._hosts |= {a for host in hosts if (a := _authority(host, default))}
        self._shared = {o: _written(o) for origin in origins if (o := _origin(origin))}
        self._origins = {(scheme, name, port) for name in own} | self._shared.keys()

    def allowing(self, hosts: Iterable[str], origins: Iterable[str]) -> Addresses:
        """Return the hub's own names with these additional ones."""
        return self._with(hosts, origins, self._names)

    def named(self, names: Iterable[str]) -> Addresses:
        """Return the same with these other names of the hub itself."""
        return self._with(*self._configured, names)

    def _with(self, hosts: Iterable[str], origins: Iterable[str], names: Iterable[str]) -> Addresses:
        name, port = self.console
        return Addresses(
            port, name, hosts, origins, tls=self.tls, names=names, for_network=self.is_for_network
        )

    def is_console(self, authority: Authority) -> bool:
        """Return whether browsers may log in at this name and port."""
        return authority[1] == self.console[1] and authority[0] in self._consoles

    def console_url(self, name: str) -> str:
        """Return the URL of the console at one of the hub's names."""
        scheme, port = "https" if self.tls else "http", self.console[1]
        return f"{scheme}://{name}" if port == self._default else f"{scheme}://{name}:{port}"

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

    def is_page_at(self, host: Authority, origin: str) -> bool:
        """Return whether an Origin header names the page at one of the hub's names itself. The configured
        origins do not count."""
        return _origin(origin) == ("https" if self.tls else "http", *host)

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


def _is_of_network(name: str) -> bool:
    return not is_loopback(name) and name not in ("0.0.0.0", "[::]")


def own_names(host: str, names: Sequence[str], private: str) -> tuple[str, str]:
    """Return the host names of the hub's URL and of its console on this machine. `host`: where the hub
    listens; `names`: those in its certificate.

    On the loopback interface, the console's name is the one in the certificate that ends with `.localhost`,
    or `private`. If other machines can reach the hub and the certificate has no such name, the console has
    the name of the URL."""
    written = f"[{host}]" if ":" in host else host
    own = next((name for name in names if name.endswith(".localhost")), None)
    if is_loopback(host):
        return written, own or private
    public = [name for name in names if not is_loopback(name)]
    url = written if written in public or not public else public[0]
    return url, own if own and can_be_local(host) else url


def can_be_local(host: str) -> bool:
    """Return whether a listener at `host` also accepts connections to 127.0.0.1, which is where browsers look
    for names that end with `.localhost`."""
    return is_loopback(host) or host in ("0.0.0.0", "::")


def _written(origin: tuple[str, str, int]) -> str:
    scheme, name, port = origin
    is_default = port == (443 if scheme == "https" else 80)
    return f"{scheme}://{name}" if is_default else f"{scheme}://{name}:{port}"


@lru_cache(maxsize=16)  # all requests of a client have the same
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
