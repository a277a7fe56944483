"""Raw bytes to the hub's socket, and the replies."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from tests.served import Served

# at once, on a busy machine; the hub closes silent connections, and those with half a head, after 30 seconds
PROMPT_SECONDS = 25.0
MESSAGE = "/api/v2/ai/apollo/message"


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def request(
    method: str,
    path: str,
    body: bytes | None = None,
    *,
    content_type: str | None = "application/json",
    more: bytes = b"",
) -> bytes:
    """Return a request with `Connection: close`. `more`: further lines of the head, each with its CRLF."""
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    if body is not None:
        head += f"Content-Length: {len(body)}\r\n"
        head += f"Content-Type: {content_type}\r\n" if content_type is not None else ""
    return head.encode() + more + b"\r\n" + (body or b"")


async def replies(home: Served, data: bytes) -> list[Reply]:
    """Send these bytes; return all replies until the hub closes the connection."""
    reader, writer = await asyncio.open_unix_connection(str(home.socket), limit=1 << 24)
    try:
        writer.write(data)
        async with asyncio.timeout(PROMPT_SECONDS):
            found = []
            while reply := await one_reply(reader):
                found.append(reply)
            return found
    finally:
        writer.close()


async def one_reply(reader: asyncio.StreamReader) -> Reply | None:
    """Read the next reply; None at the end of the connection."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        assert error.partial == b""
        return None
    first, *lines = head.decode("latin-1").split("\r\n")[:-2]
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Reply(int(first.split(" ")[1]), headers, body)


async def refusal(home: Served, data: bytes) -> tuple[int, str]:
    """Send these bytes; return status and code of the only reply, which is a problem."""
    (reply,) = await replies(home, data)
    return of_problem(reply)


def of_problem(reply: Reply) -> tuple[int, str]:
    if "x-should-retry" in reply.headers:  # in the shape of OpenAI or Anthropic
        assert reply.headers["content-type"] == "application/json", reply
        error = reply.json["error"]
        assert set(error) in ({"message", "type", "param", "code"}, {"message", "type"})
        return reply.status, error.get("code", error["type"])
    assert reply.headers["content-type"] == "application/problem+json", reply
    problem = reply.json
    assert {"type", "title", "status", "detail", "code", "retryable"} <= set(problem)
    assert (problem["status"], problem["type"]) == (reply.status, f"urn:rhetor:error:{problem['code']}")
    return reply.status, problem["code"]


async def require_well(home: Served) -> None:
    """Assert that the hub still answers a message."""
    answer = await home.ask("POST", MESSAGE, {"content": "still there?"})
    assert (answer.status, answer.json["response"]) == (200, "apollo heard: still there?")
