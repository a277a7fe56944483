"""What the process's environment says about the way to providers: proxies and certificates.

Neither may stop a turn that does not need it: this machine is never called through a proxy, and certificates
that are no longer there are left out.
"""

from __future__ import annotations

import logging
import os
import ssl
from urllib.parse import urlsplit

from rhetor.drivers.models.urls import is_loopback

_SUPPORTED = ("http", "https")
log = logging.getLogger(__name__)


class ProxyUnsupported(Exception):
    """The environment sets a proxy that cannot be used. `variable`: its name. `proxy`: its URL, without
    credentials."""

    def __init__(self, variable: str, proxy: str, why: str) -> None:
        super().__init__(f"{variable} is {proxy}, {why}")
        self.variable = variable
        self.proxy = proxy


def proxy_for(url: str) -> str | None:
    """Return the proxy that the environment sets for a URL; None if it sets none.

    Raises:
        ProxyUnsupported: the proxy is not an HTTP proxy, or its URL is invalid.
    """
    from urllib.request import getproxies, proxy_bypass  # only calls of providers need it

    parts, known = urlsplit(url), getproxies()
    scheme = parts.scheme if known.get(parts.scheme) else "all"
    found = known.get(scheme)
    if not found or is_loopback(url) or proxy_bypass(parts.netloc):
        return None
    found = found if "://" in found else f"http://{found}"
    variable = _variable(scheme)
    try:
        proxy = urlsplit(found)
        place = f"{proxy.hostname or ''}{'' if proxy.port is None else f':{proxy.port}'}"
    except ValueError:
        raise ProxyUnsupported(variable, "not a URL", "so no request can be sent") from None
    shown = f"{proxy.scheme}://{place}"
    if proxy.scheme.startswith("socks"):
        raise ProxyUnsupported(variable, shown, "but SOCKS proxies are not supported")
    if proxy.scheme not in _SUPPORTED or not proxy.hostname:
        raise ProxyUnsupported(variable, shown, "which is not the URL of an HTTP proxy")
    return found


def _variable(scheme: str) -> str:
    """Return the name of the variable that sets the proxy for a scheme. A lower-case name has priority."""
    name = f"{scheme}_proxy"
    return name if os.environ.get(name) else name.upper()


def certificates() -> ssl.SSLContext:
    """Return the certificates for https: those of SSL_CERT_FILE or SSL_CERT_DIR, or those of the system if
    neither is set or can be read. This takes time."""
    import httpx2

    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        if (value := os.environ.get(name)) and not os.path.exists(value):  # noqa: PTH110
            log.warning("certificates not found", extra={"variable": name, "path": value})
            return httpx2.create_ssl_context(trust_env=False)
    try:
        return httpx2.create_ssl_context()
    except OSError as error:  # ssl.SSLError is one
        log.warning("certificates unreadable", extra={"error": str(error)})
        return httpx2.create_ssl_context(trust_env=False)
