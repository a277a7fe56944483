"""Invalid paths, ids, queries and methods."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.hostile.raw import of_problem, refusal, replies, request, require_well
from tests.served import served

from rhetor.transports.compatible.table import ROUTES as COMPATIBLE
from rhetor.transports.rest.table import ROUTES

pytestmark = pytest.mark.anyio

OPERATIONS = [f"{row.method} {row.path}" for row in (*ROUTES, *COMPATIBLE)]
# unknown ids, as they appear in a path
IDS = (
    "nobody",
    "%00",
    "a%00b",
    "a%0d%0aX-Evil:%201",
    "%2e%2e",
    "%2e%2e%5c%2e%2e",
    "%ff%fe",
    "%ed%a0%80",
    "%f0%9f%98%80",
    "%25%32%65",
    "a%20b",
    "'%20OR%201=1%20--",
    "a" * 20_000,
    "%",
    "%zz",
)
MISSING = ("not_found", "unknown_peer", "model_not_found")
WITH_ID = [label for label in OPERATIONS if "{id}" in label]
BODY = (
    b'{"subject": "x", "scopes": ["read"], "content": "x", "message": "x", "at": "x", "result": 1, '
    b'"option_id": "x"}'
)


@pytest.mark.parametrize("label", WITH_ID)
async def test_an_unknown_id_is_404_and_injects_no_header_and_no_path(tmp_path: Path, label: str) -> None:
    method, path = label.split(" ")
    path = path.replace("{call_id}", "c").replace("{request_id}", "r")
    async with served(tmp_path) as home:
        for id in IDS:
            body = BODY if method == "POST" else None
            (reply,) = await replies(home, request(method, path.replace("{id}", id), body))
            status, code = of_problem(reply)
            assert (id[:30], status, code in MISSING) == (id[:30], 404, True)
            assert "x-evil" not in reply.headers
        assert home.driver.heard == []
        await require_well(home)


@pytest.mark.parametrize(
    "path",
    [
        "/api/v2/sessions/../../../etc/passwd",
        "/api/v2/sessions/%2e%2e/%2e%2e/openapi.json",
        "/api/v2/ai/apollo/..%2fapollo",
        "//healthz",
        "/healthz/",
        "/HEALTHZ",
        "/healthz;x=1",
        "/" + "a" * 50_000,
        "/%00",
        "/index.html?",
    ],
)
async def test_an_unknown_path_is_404(tmp_path: Path, path: str) -> None:
    async with served(tmp_path) as home:
        assert await refusal(home, request("GET", path)) == (404, "not_found")


QUERIES = [
    ("/api/v2/history?limit=0", 422),
    ("/api/v2/history?limit=1001", 422),
    ("/api/v2/history?limit=-1", 422),
    ("/api/v2/history?limit=1e2", 422),
    ("/api/v2/history?limit=%00", 422),
    ("/api/v2/history?limit=" + "9" * 5000, 422),
    ("/api/v2/history?limit=١", 400),
    ("/api/v2/history?limit=%D9%A1", 422),
    ("/api/v2/search", 422),
    ("/api/v2/search?q=", 422),
    ("/api/v2/search?q=" + "q" * 1001, 422),
    ("/api/v2/capabilities/x?threshold=nan", 422),
    ("/api/v2/capabilities/x?threshold=inf", 422),
    ("/api/v2/capabilities/x?threshold=-0.1", 422),
    ("/api/v2/capabilities/x?threshold=1e999", 422),
    ("/api/v2/sessions?state=nonsense", 422),
    ("/api/v2/sessions?state=%00", 422),
    ("/api/v2/sessions/hub/events?after=nonsense", 400),
    ("/api/v2/sessions/hub/events?after=" + "0" * 32 + ":" + "9" * 5000, 400),
    ("/api/v2/sessions/hub/events?after=" + "0" * 32 + ":-1", 400),
    ("/api/v2/sessions/hub/events?after=%00:1", 400),
    ("/login?code=" + "c" * 201, 422),
]


@pytest.mark.parametrize(("path", "status"), QUERIES, ids=[path[:60] for path, _ in QUERIES])
async def test_an_invalid_query_is_a_problem(tmp_path: Path, path: str, status: int) -> None:
    async with served(tmp_path) as home:
        assert (await refusal(home, request("GET", path)))[0] == status


@pytest.mark.parametrize("query", ["%00", "%ff", '%22"', "a%0db", "NEAR(a,b)", "*", "-%20-", "%ed%a0%80"])
async def test_any_search_text_is_accepted(tmp_path: Path, query: str) -> None:
    async with served(tmp_path) as home:
        (reply,) = await replies(home, request("GET", f"/api/v2/search?q={query}"))
        assert (reply.status, reply.json) == (200, {"hits": []})


async def test_an_unsupported_method_is_405_with_the_allowed_ones(tmp_path: Path) -> None:
    paths = {path for _, path in map(str.split, OPERATIONS)}
    async with served(tmp_path) as home:
        for route in sorted(paths):
            path = re.sub(r"{(\w+)}", r"\1", route)
            there = {method for method, other in map(str.split, OPERATIONS) if other == route}
            for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"} - there:
                (reply,) = await replies(home, request(method, path))
                status, code = of_problem(reply)
                assert (method, path, status) == (method, path, 405)
                assert code in ("method_not_allowed", "invalid_request_error")  # as Anthropic names it
                assert set(reply.headers["allow"].split(", ")) == there


async def test_head_has_no_body_and_unknown_methods_are_rejected(
    tmp_path: Path,
) -> None:
    async with served(tmp_path) as home:
        for path, status in (("/healthz", 200), ("/api/v2/ai/nobody", 404), ("/api/v2/bulk", 405)):
            data = await _all_bytes(home.socket, request("HEAD", path))
            assert data.startswith(b"HTTP/1.1 %d " % status)
            assert data.index(b"\r\n\r\n") == len(data) - 4
        for method in ("BREW", "get", "G\0T"):
            assert await refusal(home, request(method, "/healthz")) == (400, "malformed")


async def _all_bytes(socket: Path, data: bytes) -> bytes:
    import asyncio

    reader, writer = await asyncio.open_unix_connection(str(socket))
    writer.write(data)
    found = await reader.read()
    writer.close()
    return found
