"""Plain requests over HTTP: `tools/list` and `tools/call` as almost all clients send them.

A `Recognizer` recognizes them by their headers and their body. Whatever is unusual, invalid or of another
method is not plain, and is left to the library, which alone decides what to reject.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec
from mcp_types import methods
from mcp_types.version import LATEST_MODERN_VERSION
from msgspec import Struct, field
from pydantic import ValidationError

# revisions with sessions whose results have structured content
WITH_SESSIONS = (b"2025-06-18", b"2025-11-25")
MODERN = LATEST_MODERN_VERSION.encode()
OWN = "io.modelcontextprotocol/"  # prefix of the keys of `_meta` that the protocol defines
TOKEN = "progressToken"
ONCE = frozenset(
    {b"mcp-protocol-version", b"mcp-method", b"mcp-name", b"mcp-session-id", b"accept", b"content-type"}
)
ACCEPTED = {"application/json", "text/event-stream"}
MOST_KNOWN = 32


class _Params(Struct, frozen=True, forbid_unknown_fields=True):
    name: str | None = None
    arguments: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    meta: dict[str, Any] | msgspec.UnsetType = field(default=msgspec.UNSET, name="_meta")


class _Request(Struct, frozen=True, forbid_unknown_fields=True):
    jsonrpc: Literal["2.0"]
    id: int | str
    method: Literal["tools/list", "tools/call"]
    params: _Params = _Params()


class Plain(Struct, frozen=True):
    """A plain request. `tool`: its name; None for `tools/list`. `session`: the id of its session, in
    revisions that have them. `token`: the client asks for progress under this token."""

    id: int | str
    version: str
    tool: str | None
    arguments: dict[str, Any]
    session: str | None
    token: int | str | None


class Recognizer:
    """Recognizes plain requests. It remembers the `_meta` values that the library has found valid: a client
    sends the same with each request."""

    def __init__(self) -> None:
        self._decoder = msgspec.json.Decoder(_Request)
        self._known: list[dict[str, Any]] = []

    def plain(self, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> Plain | None:
        """Return the request if it is plain."""
        head = _once(headers)
        version = head.get(b"mcp-protocol-version") if head else None
        if head is None or version is None or not (version == MODERN or version in WITH_SESSIONS):
            return None
        is_modern = version == MODERN
        if is_modern is (b"mcp-session-id" in head):
            return None
        session = None if is_modern else head[b"mcp-session-id"].decode("latin-1")
        plain = self.message(body, version.decode(), session)
        return plain if plain is None or not is_modern or _agree(head, plain) else None

    def message(self, body: bytes | str, version: str, session: str | None = None) -> Plain | None:
        """Return a request without headers if it is plain. `version`: the revision that the client uses."""
        try:
            request = self._decoder.decode(body)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return None
        params = request.params
        is_call = request.method == "tools/call"
        if is_call is not bool(params.name) or not (is_call or params.arguments is msgspec.UNSET):
            return None
        meta = {} if params.meta is msgspec.UNSET else params.meta
        token = meta.get(TOKEN)
        if (TOKEN in meta and type(token) not in (int, str)) or not self._describes(meta, version):
            return None
        arguments = {} if params.arguments is msgspec.UNSET else params.arguments
        return Plain(request.id, version, params.name, arguments, session, token)

    def _describes(self, meta: dict[str, Any], version: str) -> bool:
        """Return whether the client describes itself validly; up to 2025-11-25 it does so only at first."""
        own = {key: value for key, value in meta.items() if key.startswith(OWN)}
        if version != LATEST_MODERN_VERSION:
            return not own
        if own.get(f"{OWN}protocolVersion") != LATEST_MODERN_VERSION:
            return False
        return own in self._known or self._is_valid(own)

    def _is_valid(self, own: dict[str, Any]) -> bool:
        if f"{OWN}clientCapabilities" not in own:
            return False
        try:
            methods.validate_client_request("tools/list", LATEST_MODERN_VERSION, {"_meta": own})
        except ValidationError:
            return False
        self._known = [*self._known[1 - MOST_KNOWN :], own]
        return True


def _once(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes] | None:
    """Return the headers that matter; None if one of them is unusual."""
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in ONCE:
            if name in found:
                return None
            found[name] = value
        elif name.startswith(b"mcp-param-"):
            return None
    accepted = {each.strip() for each in found.get(b"accept", b"").decode("latin-1").split(",")}
    kind = found.get(b"content-type", b"").partition(b";")[0].strip()
    return found if accepted >= ACCEPTED and kind == b"application/json" else None


def _agree(head: Mapping[bytes, bytes], plain: Plain) -> bool:
    """Return whether the headers say the same as the body."""
    if plain.tool is None:
        return head.get(b"mcp-method") == b"tools/list"
    name = plain.tool.encode()
    is_bare = not name.startswith(b"=?")  # otherwise the header is encoded
    return is_bare and head.get(b"mcp-method") == b"tools/call" and head.get(b"mcp-name") == name
