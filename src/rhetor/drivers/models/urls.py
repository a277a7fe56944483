"""Decides whether the hub may call a URL that a user has configured.

`pinned` returns the checked address, and the caller must call that address. So it does not matter if the name
resolves to another address after the check.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

import msgspec

from rhetor.errors import Unprocessable

if TYPE_CHECKING:
    import httpx2

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str], Awaitable[Sequence[Address]]]

# WHATWG URL, "ends in a number": such a host is an address, in whatever notation (2130706433, 0x7f.1, 0177.1)
_NUMERIC = re.compile(r"(?:^|\.)(?:0x[0-9a-f]*|[0-9]+)\.?$", re.IGNORECASE)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052
# IPv6 addresses that stand for IPv4 addresses: NAT64 for local use (RFC 8215), mapped and compatible ones
# (RFC 4291), translated ones (RFC 2765), 6to4 (RFC 3056) and Teredo (RFC 4380)
_STANDS_FOR_IPV4 = tuple(
    map(
        ipaddress.ip_network,
        ("64:ff9b:1::/48", "::ffff:0:0/96", "::/96", "::ffff:0:0:0/96", "2002::/16", "2001::/32"),
    )
)
_ISATAP = (0x5EFE, 0x02005EFE)  # RFC 5214: what comes before an IPv4 address, in any network
# cloud metadata outside the link-local ranges, and 0.0.0.0/8, which some systems take as this machine
_NEVER = tuple(
    map(
        ipaddress.ip_network,
        (
            "fd00:ec2::/32",
            "fd20:ce::/64",
            "100.100.100.200/32",
            "168.63.129.16/32",
            "192.0.0.192/32",
            "0.0.0.0/8",
        ),
    )
)


class Reach(msgspec.Struct, frozen=True):
    """Which non-public addresses may be called. `private` includes loopback."""

    loopback: bool = False
    private: bool = False

    def allows(self, address: Address) -> bool:
        """Return whether the address may be called. Link-local addresses (cloud metadata) never are."""
        if address.is_loopback and not _stands_for_ipv4(address):
            return self.loopback or self.private
        if address.is_link_local or address.is_multicast or address.is_unspecified or _is_never(address):
            return False
        if isinstance(address, ipaddress.IPv6Address) and address in _NAT64:
            # the way to the public IPv4 addresses in a network that has only IPv6
            return Reach().allows(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        if _stands_for_ipv4(address):
            return False
        # `is_private` is not used, because it leaves out 100.64.0.0/10, the addresses of overlay networks
        return address.is_global or (self.private and not address.is_reserved)


async def resolved(host: str) -> Sequence[Address]:
    """Return the addresses of a name, IPv4 first: only one address is called, and IPv4 works more often.

    Raises:
        OSError: the name does not resolve.
    """
    found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return sorted((ipaddress.ip_address(row[4][0]) for row in found), key=lambda address: address.version)


async def check_url(url: str, reach: Reach, resolve: Resolve = resolved) -> Address:
    """Return the address to call for `url`. `reach` must allow all addresses of its host.

    Raises:
        Unprocessable: the URL is invalid, is not http(s) or has credentials; an address is not allowed; or
            the name does not resolve.
    """
    return await pinned(_parsed(url).hostname or "", reach, resolve)


def check_literal(url: str, reach: Reach) -> None:
    """Do the same, except for a host name, which is not resolved.

    Raises:
        Unprocessable: as `check_url`.
    """
    host = _parsed(url).hostname or ""
    if literal := _literal(host):
        _require_allowed(host, literal, reach)


async def pinned(host: str, reach: Reach, resolve: Resolve = resolved) -> Address:
    """Return the checked address of a host, which is a name or an address.

    Raises:
        Unprocessable: an address is not allowed or has an unusual notation, or the name does not resolve.
    """
    try:
        addresses = [literal] if (literal := _literal(host)) else await resolve(host)
    except (OSError, UnicodeError) as error:
        raise Unprocessable(f"{host} cannot be resolved: {error}", host=host) from error
    for address in addresses:
        _require_allowed(host, address, reach)
    return addresses[0]


def _require_allowed(host: str, address: Address, reach: Reach) -> None:
    if not reach.allows(address):
        raise Unprocessable(
            f"{host} has the address {address}, which the configuration does not allow",
            host=host,
            private=Reach(private=True).allows(address),
        )


@lru_cache(maxsize=256)
def host_of(url: str) -> str:
    """Return the host of a URL; empty if it has none."""
    return urlsplit(url).hostname or ""


@lru_cache(maxsize=256)
def is_loopback(url: str) -> bool:
    """Return whether `url` names this machine by a loopback address or as localhost, or by a name below that
    (RFC 6761, 6.3). No name is resolved."""
    try:
        host = _parsed(url).hostname or ""
        return f".{host.rstrip('.')}".endswith(".localhost") or bool(
            (literal := _literal(host)) and literal.is_loopback
        )
    except Unprocessable:
        return False


def _parsed(url: str) -> SplitResult:
    # URL parsers treat these characters differently, so they are rejected
    if re.search(r"[\x00-\x20\x7f\\]", url):
        raise Unprocessable("a URL must not contain spaces, control characters or backslashes")
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  raises ValueError if the port is invalid
    except ValueError as error:
        raise Unprocessable(f"not a URL: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or "%" in parts.hostname:
        raise Unprocessable("a URL must begin with http:// or https:// and have a host")
    if parts.username is not None or parts.password is not None:
        raise Unprocessable("a URL must not contain credentials")
    return parts


def _literal(host: str) -> Address | None:
    """Return the address that `host` is; None if it is a name.

    Raises:
        Unprocessable: the host is an address in an unusual notation, or an IPv4 address written as IPv6.
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        if _NUMERIC.search(host) or ":" in host:
            raise Unprocessable(f"{host} is an address in an unusual notation", host=host) from None
        return None
    if address in _NAT64 or (_stands_for_ipv4(address) and not address.is_loopback):
        raise Unprocessable(
            f"{host} is an IPv4 address written as IPv6", host=host, hint="write the IPv4 address itself"
        )
    return address


def _is_never(address: Address) -> bool:
    site_local = isinstance(address, ipaddress.IPv6Address) and address.is_site_local
    return site_local or any(address in network for network in _NEVER)


def _stands_for_ipv4(address: Address) -> bool:
    """Return whether a network may translate the address to an IPv4 address, which could be any."""
    if isinstance(address, ipaddress.IPv4Address) or address == ipaddress.IPv6Address("::1"):
        return False
    return any(address in network for network in _STANDS_FOR_IPV4) or (
        (int(address) >> 32) & 0xFFFFFFFF in _ISATAP
    )


async def pin(request: httpx2.Request, reach: Reach, resolve: Resolve) -> None:
    """Point a request at the checked address, with the host's name in its header and in TLS."""
    host = request.url.host
    address = await pinned(host, reach, resolve)
    # a local server may listen on either loopback address, so the client tries both
    if host != "localhost":
        request.url = request.url.copy_with(host=str(address))
        request.extensions = {**request.extensions, "sni_hostname": host}
