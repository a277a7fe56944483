"""Headers for browsers, which restrict what a page may do with the hub's responses."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

Header = tuple[bytes, bytes]

# for every response, the rejection of a WebSocket included
SECURITY_HEADERS: tuple[Header, ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
# for every response that has no policy of its own; two policies would both apply
CONTENT_POLICY: Header = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
# browsers use https for this host from now on, for 180 days (RFC 6797)
HSTS: Header = (b"strict-transport-security", b"max-age=15552000")


def may_require_https(host: bytes) -> bool:
    """Return whether a response to this Host header may have HSTS. For `localhost`, it would apply to all
    ports, and so to other programs of the machine."""
    return not host.lower().startswith(b"localhost")


def with_policy(message: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Return the start of a response with a policy for its content."""
    if CONTENT_POLICY[0] in [name for name, _ in message["headers"]]:
        return message
    return {**message, "headers": [*message["headers"], CONTENT_POLICY]}
