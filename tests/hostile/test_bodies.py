"""Invalid bodies, at every route that accepts one: each is answered with a problem, and nothing is stored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.hostile.raw import MESSAGE, of_problem, refusal, replies, request, require_well
from tests.served import Served, served

from rhetor.domain.principal import Principal
from rhetor.hub.sessions.sessions import listed

pytestmark = pytest.mark.anyio

# each route with a valid body
BODIES: dict[str, dict[str, Any]] = {
    "POST /api/v2/ai/apollo/message": {"content": "x"},
    "POST /api/v1/ai/apollo/message": {"content": "x"},
    "POST /api/v2/ai/apollo/stream": {"content": "x"},
    "POST /api/v2/sessions": {"specialist_id": "apollo"},
    "POST /api/v2/sessions/{session}/message": {"message": "x"},
    "POST /api/v2/sessions/{session}/stream": {"message": "x"},
    "POST /api/v2/sessions/{session}/checkpoint": {"name": "x"},
    "POST /api/v2/sessions/{session}/restore": {"at": "x"},
    "POST /api/v2/sessions/{session}/fork": {"name": "x"},
    "POST /api/v2/sessions/{session}/tool-results/c": {"result": "x"},
    "POST /api/v2/sessions/{session}/permissions/r": {"option_id": "x"},
    "POST /api/v2/plans": {"line": "apollo x"},
    "POST /api/v2/bulk": {"operations": [{"id": "a", "ai": "apollo", "message": "x"}]},
    "PUT /api/v2/environment": {"variables": {}},
}
# all members of these bodies are optional, so no body means {}; a plan needs one of its members
EMPTY_IS_FINE = ("POST /api/v2/sessions/{session}/checkpoint", "POST /api/v2/sessions/{session}/fork")
EMPTY_IS_MALFORMED = ("POST /api/v2/plans",)
BROKEN: dict[str, tuple[bytes, int]] = {
    "nothing": (b"", 422),
    "half an object": (b'{"', 400),
    "two values": (b"{}{}", 400),
    "a word": (b"undefined", 400),
    "a list": (b"[]", 422),
    "a number": (b"1", 422),
    "null": (b"null", 422),
    "a text": (b'"x"', 422),
    "a byte order mark": (b"\xef\xbb\xbf{}", 400),
    "UTF-16": ("{}".encode("utf-16"), 400),
    "invalid UTF-8": (b'{"x": "\xff\xfe"}', 400),
    "UTF-8 of half a surrogate pair": (b'{"x": "\xed\xa0\x80"}', 400),
    "half a surrogate pair": (b'{"x": "\\ud800"}', 400),
    "half a surrogate pair as a name": (b'{"\\udc00": 1}', 400),
    "NaN": (b'{"x": NaN}', 400),
    "Infinity": (b'{"x": -Infinity}', 400),
    "lists 100,000 deep": (b"[" * 100_000 + b"]" * 100_000, 400),
    "objects 100,000 deep": (b'{"x":' * 100_000 + b"1" + b"}" * 100_000, 400),
    "a control character": (b'{"x": "\n"}', 400),
    "a NUL behind it": (b"{}\0", 400),
}


@pytest.mark.parametrize("route", BODIES)
async def test_a_malformed_body_is_a_problem_and_changes_nothing(tmp_path: Path, route: str) -> None:
    async with served(tmp_path) as home:
        method, path = await _there(home, route)
        before = await _kept(home)
        for name, (body, status) in BROKEN.items():
            if name == "nothing" and route in EMPTY_IS_FINE:
                continue
            if name == "nothing" and route in EMPTY_IS_MALFORMED:
                status = 400
            answered = await refusal(home, request(method, path, body))
            assert (name, answered) == (name, (status, "malformed" if status == 400 else "unprocessable"))
        assert (await _kept(home), home.driver.heard) == (before, [])
        await require_well(home)


async def test_unknown_members_are_skipped_and_the_last_duplicate_counts(
    tmp_path: Path,
) -> None:
    async with served(tmp_path) as home:
        for body in (
            b'{"content": "y", "content": "x"}',
            b'{"content": "x", "x": 1, "x": [{"y": {"z": 1, "\\u007a": 2}}]}',
            b'{"content": "x", "y": 1e999, "z": ' + b"9" * 5000 + b"}",
        ):
            (reply,) = await replies(home, request("POST", MESSAGE, body))
            assert (body[:40], reply.status) == (body[:40], 200)
        assert home.driver.heard == [("apollo", "x")] * 3


@pytest.mark.parametrize("number", [b"1e999", b"-1e999", b"9" * 5000], ids=["1e999", "-1e999", "digits"])
@pytest.mark.parametrize(
    "body",
    [
        b'{"specialist_id": "apollo", "ttl": %b}',
        b'{"specialist_id": "apollo", "context_window": %b}',
        b'{"specialist_id": "apollo", "metadata": {"x": [%b]}}',
        b'{"specialist_id": "apollo", "tools": [{"name": "x", "parameters": {"x": %b}}]}',
    ],
)
async def test_a_number_out_of_range_is_422(tmp_path: Path, body: bytes, number: bytes) -> None:
    async with served(tmp_path) as home:
        (reply,) = await replies(home, request("POST", "/api/v2/sessions", body % number))
        assert of_problem(reply) == (422, "unprocessable")
        assert await _kept(home) == []


@pytest.mark.parametrize("route", BODIES)
async def test_a_body_without_the_json_content_type_is_415(tmp_path: Path, route: str) -> None:
    async with served(tmp_path) as home:
        method, path = await _there(home, route)
        body = json.dumps(BODIES[route]).encode()
        kinds = (None, "", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "json")
        for kind in kinds:
            answered = await refusal(home, request(method, path, body, content_type=kind))
            assert (kind, answered) == (kind, (415, "unsupported_media"))
        assert home.driver.heard == []


@pytest.mark.parametrize("route", BODIES)
async def test_a_body_with_one_invalid_member_is_422_and_names_it(tmp_path: Path, route: str) -> None:
    async with served(tmp_path) as home:
        method, path = await _there(home, route)
        for name in BODIES[route]:
            if name == "result":
                continue  # any JSON is valid
            wrongs: tuple[Any, ...] = (5, True, 1.5, [[]], {"a": {}}, [None])
            for wrong in wrongs:
                body = json.dumps({**BODIES[route], name: wrong}).encode()
                (reply,) = await replies(home, request(method, path, body))
                assert (name, wrong, of_problem(reply)) == (name, wrong, (422, "unprocessable"))
                assert reply.json["faults"][0]["where"].startswith(f"body.{name}")
        assert home.driver.heard == []


SESSION = "POST /api/v2/sessions"
PLAN = "POST /api/v2/plans"
BULK = "POST /api/v2/bulk"
SEND = "POST /api/v2/ai/apollo/message"
LARGE = {"x": "y" * 65536}
CHAIN = [(f"s{n}", [f"s{n - 1}"] if n else []) for n in range(9)]
DENSE = [(f"s{n}", [f"s{m}" for m in range(500)] if n >= 500 else []) for n in range(521)]
WIDE = {"line": "{" + "|".join(["apollo"] * 1001) + "}"}
EMPTY = {"id": "a", "ai": "apollo", "message": " "}
DEEP: Any = 1
for _ in range(40):
    DEEP = [DEEP]


def _steps(*steps: tuple[str, list[str]], ai: str = "apollo") -> dict[str, Any]:
    return {"steps": [{"id": id, "ai": ai, "message": "x", "depends_on": needs} for id, needs in steps]}


INVALID: list[tuple[str, str, Any, int, str]] = [
    ("an unknown peer", SESSION, {"specialist_id": "nobody"}, 404, "unknown_peer"),
    ("a peer with CRLF", SESSION, {"specialist_id": "apollo\r\n"}, 422, "unprocessable"),
    ("a name with NUL", SESSION, {"specialist_id": "apollo", "name": "a\0b"}, 422, "unprocessable"),
    ("a name with ESC", SESSION, {"specialist_id": "apollo", "name": "\x1b[2J"}, 422, "unprocessable"),
    ("a name with CSI", SESSION, {"specialist_id": "apollo", "name": "\x9b2J"}, 422, "unprocessable"),
    ("a long name", SESSION, {"specialist_id": "apollo", "name": "n" * 201}, 422, "unprocessable"),
    ("an empty name", SESSION, {"specialist_id": "apollo", "name": ""}, 422, "unprocessable"),
    ("a project with LF", SESSION, {"specialist_id": "apollo", "project_id": "\n"}, 422, "unprocessable"),
    ("no time", SESSION, {"specialist_id": "apollo", "ttl": 0}, 422, "unprocessable"),
    ("endless time", SESSION, {"specialist_id": "apollo", "ttl": 1e300}, 422, "unprocessable"),
    ("time as a text", SESSION, {"specialist_id": "apollo", "ttl": "60"}, 422, "unprocessable"),
    ("a negative window", SESSION, {"specialist_id": "apollo", "context_window": -1}, 422, "unprocessable"),
    ("a huge window", SESSION, {"specialist_id": "apollo", "context_window": 1 << 64}, 422, "unprocessable"),
    ("large metadata", SESSION, {"specialist_id": "apollo", "metadata": LARGE}, 422, "unprocessable"),
    ("deep metadata", SESSION, {"specialist_id": "apollo", "metadata": {"x": DEEP}}, 422, "unprocessable"),
    ("a long key", SESSION, {"specialist_id": "apollo", "command_id": "k" * 201}, 422, "unprocessable"),
    ("no plan", PLAN, {}, 400, "malformed"),
    ("two plans", PLAN, {"line": "apollo x", "steps": []}, 400, "malformed"),
    ("a plan without steps", PLAN, {"steps": []}, 422, "unprocessable"),
    ("an invalid line", PLAN, {"line": "apollo 'x"}, 422, "unprocessable"),
    ("a line with a program", PLAN, {"line": "ls | apollo"}, 404, "unknown_peer"),
    ("a cycle", PLAN, _steps(("a", ["b"]), ("b", ["a"])), 422, "unprocessable"),
    ("a step that needs itself", PLAN, _steps(("a", ["a"])), 422, "unprocessable"),
    ("a double id", PLAN, _steps(("a", []), ("a", [])), 422, "unprocessable"),
    ("an unknown need", PLAN, _steps(("a", ["z"])), 422, "unprocessable"),
    ("an id with CRLF", PLAN, _steps(("a\r\n", [])), 422, "unprocessable"),
    ("an id with a path", PLAN, _steps(("../a", [])), 422, "unprocessable"),
    ("an unknown peer", PLAN, _steps(("a", []), ai="nobody"), 404, "unknown_peer"),
    ("an unknown team", PLAN, _steps(("a", []), ai="team:nobody"), 404, "unknown_team"),
    ("an unknown capability", PLAN, _steps(("a", []), ai="@flying"), 404, "no_capable_peer"),
    ("too long a chain", PLAN, _steps(*CHAIN), 422, "hop_limit"),
    ("too many steps", PLAN, _steps(*((f"s{n}", []) for n in range(1001))), 422, "unprocessable"),
    ("too many needs", PLAN, _steps(*DENSE), 422, "unprocessable"),
    ("a line of too many steps", PLAN, WIDE, 422, "unprocessable"),
    ("too long a line", PLAN, {"line": "apollo " + "x" * 65536}, 422, "unprocessable"),
    ("no operations", BULK, {"operations": []}, 422, "unprocessable"),
    ("none at once", BULK, {**BODIES[BULK], "max_parallel": 0}, 422, "unprocessable"),
    ("an unknown mode", BULK, {**BODIES[BULK], "execution": "random"}, 422, "unprocessable"),
    ("a double id", BULK, {"operations": BODIES[BULK]["operations"] * 2}, 422, "unprocessable"),
    ("an empty message", BULK, {"operations": [EMPTY]}, 400, "malformed"),
    ("an empty message", SEND, {"content": ""}, 400, "malformed"),
    ("only white space", SEND, {"content": " \n\t\u3000"}, 400, "malformed"),
    ("5 MB", SEND, {"content": "x" * 5_000_000}, 413, "too_large"),
    ("an unknown session", SEND, {"content": "x", "session_id": "s_none"}, 404, "not_found"),
    ("a session with NUL", SEND, {"content": "x", "session_id": "s\0"}, 422, "unprocessable"),
    ("a long delimiter", SEND, {"content": "x", "delimiter": "d" * 101}, 422, "unprocessable"),
    ("a sender with CRLF", SEND, {"content": "x", "from": "me\r\nyou"}, 422, "unprocessable"),
    ("an unknown if_busy", SEND, {"content": "x", "if_busy": "explode"}, 422, "unprocessable"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("route", "body", "status", "code"),
    [case[1:] for case in INVALID],
    ids=[f"{case[0]}-{case[1].rsplit('/', 1)[1]}" for case in INVALID],
)
async def test_an_invalid_body_is_rejected_with_its_code(
    tmp_path: Path, route: str, body: Any, status: int, code: str
) -> None:
    async with served(tmp_path) as home:
        method, path = route.split(" ")
        assert await refusal(home, request(method, path, json.dumps(body).encode())) == (status, code)
        assert (await _kept(home), home.driver.heard) == ([], [])
        await require_well(home)


async def test_unusual_characters_are_kept_unchanged(tmp_path: Path) -> None:
    odd = "\0\r\n\x1b[2J\u202e\ufeff\uffff\U0001f600e\u0301"
    async with served(tmp_path) as home:
        answer = await home.ask("POST", MESSAGE, {"content": odd})
        assert answer.json["response"] == f"apollo heard: {odd}"
        page = (await home.ask("GET", f"/api/v2/sessions/{answer.json['session_id']}")).json
        assert page["messages"][0]["content"] == odd


async def test_metadata_up_to_the_limit_is_returned_unchanged(tmp_path: Path) -> None:
    metadata = {"x": "y" * 65_000, "deep": DEEP[0][0][0][0][0][0][0][0][0][0]}
    async with served(tmp_path) as home:
        body = {"specialist_id": "apollo", "metadata": metadata, "ttl": 60}
        assert (await home.ask("POST", "/api/v2/sessions", body)).json["metadata"] == metadata


async def test_an_invalid_or_repeated_header_is_rejected(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        for lines, expected in (
            (b"Idempotency-Key: " + b"k" * 201 + b"\r\n", (422, "unprocessable")),
            (b"Idempotency-Key:\r\n", (422, "unprocessable")),
            (b"Idempotency-Key: a\r\nIdempotency-Key: b\r\n", (400, "malformed")),
            (b"Content-Type: text/plain\r\n", (400, "malformed")),
        ):
            data = request("POST", MESSAGE, b'{"content": "x"}', more=lines)
            assert (lines[:30], await refusal(home, data)) == (lines[:30], expected)
        assert home.driver.heard == []


async def test_a_chunked_body_is_accepted(tmp_path: Path) -> None:
    head = b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n"
    async with served(tmp_path) as home:
        for chunks, expected in (
            (b'b\r\n{"content":\r\n4\r\n"x"}\r\n0\r\n\r\n', 200),
            (b"1\r\n{\r\n0\r\n\r\n", 400),
            (b"0\r\n\r\n", 422),
        ):
            (reply,) = await replies(home, request("POST", MESSAGE, more=head) + chunks)
            assert (chunks, reply.status) == (chunks, expected)
        assert home.driver.heard == [("apollo", "x")]


async def _there(home: Served, route: str) -> tuple[str, str]:
    """Return method and path of a route, with the id of a new session."""
    method, path = route.split(" ")
    if "{session}" in path:
        made = await home.ask("POST", "/api/v2/sessions", {"specialist_id": "apollo"})
        path = path.replace("{session}", made.json["id"])
    return method, path


async def _kept(home: Served) -> list[tuple[str, int]]:
    """Return each session with the number of its last event."""
    state = home.hub.state
    heads = [(s.id, await state.store.head(s.id)) for s in await listed(state, Principal.person("me"))]
    return [(id, head.head if head else 0) for id, head in heads]
