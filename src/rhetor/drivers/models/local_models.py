"""Model servers on this machine: which ports they use, and which of them answer now.

The search sends a plain HTTP/1.0 request, whose response ends with the connection. Importing a client library
would take longer than the whole search.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec

from rhetor.drivers.models.urls import is_loopback

_PROBE_TIMEOUT = 0.15  # seconds, for all of them at once
_MAX_ANSWER = 1 << 20
_HOST = re.compile(r"[0-9A-Za-z._-]*|[0-9A-Fa-f:.]+")
_PATH = re.compile(r"[!-~]*")


class LocalServer(NamedTuple):
    """A server with OpenAI's API below `url`, which ends in /v1."""

    name: str
    url: str


class _Model(msgspec.Struct):
    id: str


class ModelList(msgspec.Struct):
    """The response to `GET /models` of any provider. `object` is "list" for servers with OpenAI's API."""

    data: list[_Model]
    object: str = ""

    @property
    def names(self) -> list[str]:
        return [model.id for model in self.data]


LOCAL_SERVERS = (
    LocalServer("ollama", "http://127.0.0.1:11434/v1"),
    LocalServer("lmstudio", "http://127.0.0.1:1234/v1"),
    LocalServer("llamacpp", "http://127.0.0.1:8080/v1"),
    LocalServer("vllm", "http://127.0.0.1:8000/v1"),
)


def local_servers(environment: Mapping[str, str]) -> tuple[LocalServer, ...]:
    """Return the usual local servers. If OLLAMA_HOST is set, Ollama has the URL that it gives."""
    host = environment.get("OLLAMA_HOST", "").strip()
    if not host:
        return LOCAL_SERVERS
    return (LocalServer("ollama", _ollama_url(host)), *LOCAL_SERVERS[1:])


def _ollama_url(host: str) -> str:
    """Return the URL for OLLAMA_HOST, read as Ollama reads it: scheme, host and port may each be left out. An
    invalid port counts as left out.

    The same variable sets the address that the server listens on, so 0.0.0.0 stands for this machine. A value
    that names no HTTP server at all stands for the usual place.
    """
    text = host.strip(" \t\"'")
    scheme, _, rest = text.rpartition("://")
    scheme = scheme.lower() or "http"
    authority, slash, path = rest.partition("/")
    name, port = _host_and_port(authority)
    if scheme not in ("http", "https") or not _HOST.fullmatch(name):
        return LOCAL_SERVERS[0].url
    if not port:
        port = {"https": 443, "http": 80}[scheme] if "://" in text else 11434
    name = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(name, name)
    name = f"[{name}]" if ":" in name else name
    path = f"{slash}{path}".split("?")[0].split("#")[0].rstrip("/")
    return f"{scheme}://{name}:{port}{path if _PATH.fullmatch(path) else ''}/v1"


def _host_and_port(authority: str) -> tuple[str, int]:
    """Return the host without brackets, and the port; 0 if there is none or it is not a port."""
    authority = authority.rpartition("@")[2]
    if authority.startswith("["):
        name, _, rest = authority[1:].partition("]")
        port = rest.removeprefix(":")
    elif authority.count(":") > 1:  # an IPv6 address without brackets
        name, port = authority, ""
    else:
        name, _, port = authority.partition(":")
    number = int(port) if port.isascii() and port.isdigit() and len(port) <= 5 else 0
    return name, number if number < 1 << 16 else 0


async def search(servers: Sequence[LocalServer]) -> list[tuple[LocalServer, list[str]]]:
    """Return those of `servers` that list at least one model, with the models' names, in the order given.

    Only loopback addresses are queried.
    """
    return [(server, names) for server, names in await searched(servers, _PROBE_TIMEOUT) if names]


async def searched(servers: Sequence[LocalServer], seconds: float) -> list[tuple[LocalServer, list[str]]]:
    """Do the same, and return also those that list no model. `seconds`: how long all of them have."""
    asked = [server for server in servers if server.url.startswith("http://") and is_loopback(server.url)]
    answers = await asyncio.gather(*(_names(server, seconds) for server in asked))
    return [(server, names) for server, names in zip(asked, answers, strict=True) if names is not None]


async def _names(server: LocalServer, seconds: float) -> list[str] | None:
    """Return the models of a server; None if there is none, a slow one, or another program on its port."""
    try:
        async with asyncio.timeout(seconds):
            listed = msgspec.json.decode(await _get(server.url + "/models"), type=ModelList)
    except (OSError, ValueError, msgspec.DecodeError):
        return None
    return listed.names if listed.object == "list" else None


async def _get(url: str) -> bytes:
    """Return the body of a response with the status 200, cut after about `_MAX_ANSWER` bytes.

    Raises:
        OSError: the connection failed.
        ValueError: the status is not 200.
    """
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 80)
    try:
        head = f"GET {parts.path} HTTP/1.0\r\nHost: {parts.netloc}\r\nAccept: application/json\r\n\r\n"
        writer.write(head.encode())
        answer = await _read(reader)
    finally:
        writer.close()
    header, _, body = answer.partition(b"\r\n\r\n")
    if header.split()[1:2] != [b"200"]:
        raise ValueError("not 200")
    return body


async def _read(reader: asyncio.StreamReader) -> bytes:
    answer = bytearray()
    while len(answer) < _MAX_ANSWER and (piece := await reader.read(1 << 16)):
        answer += piece
    return bytes(answer)
