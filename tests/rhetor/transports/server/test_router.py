"""A request with an idempotency key is answered like the same request without one."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from tests.served import served

pytestmark = pytest.mark.anyio

MESSAGE, STREAM = "/api/v2/ai/apollo/message", "/api/v2/ai/apollo/stream"
JSON = "application/json"


@pytest.mark.parametrize("path", [MESSAGE, STREAM, "/api/v2/sessions/s_none/message"])
@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", JSON),
        (b"{}", JSON),
        (b"[]", JSON),
        (b"null", JSON),
        (b"not JSON", JSON),
        (b'{"content": 1, "message": 1}', JSON),
        (b'{"content": "a", "message": "a", "context_window": -1, "if_busy": "explode"}', JSON),
        (b'{"content": "a", "message": "a"}', "text/plain"),
        (b'{"content": "", "message": ""}', JSON),
    ],
)
async def test_an_invalid_request_gets_the_same_error_with_a_key(
    tmp_path: Path, path: str, body: bytes, kind: str
) -> None:
    async with served(tmp_path) as home:
        answers = []
        for key in ({}, {"idempotency-key": "k"}):
            headers = {"content-type": kind, **key}
            answer = await home.ask("POST", path, data=io.BytesIO(body), headers=headers)
            answers.append((answer.status, answer.json, answer.headers["content-type"]))
        assert answers[0][0] >= 400
        assert answers[0] == answers[1]
        assert home.driver.heard == []


async def test_a_key_does_not_change_the_answer(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        answers = []
        for key in ({}, {"idempotency-key": "k"}):
            whole = await home.ask("POST", MESSAGE, {"content": "hi", "context_window": 2}, headers=key)
            session, own = whole.json["session_id"], {"session_id": "", "turn_id": "", "execution_time": 0}
            path = f"/api/v2/sessions/{session}/message"
            again = await home.ask("POST", path, {"message": "ho"}, headers=dict.fromkeys(key, "k2"))
            assert again.json["session_id"] == session
            answers.append((whole.status, whole.json | own, again.status, again.json | own))
        assert answers[0] == answers[1]
        assert [message for _, message in home.driver.heard] == ["hi", "ho"] * 2


@pytest.mark.parametrize("key", ["", "k" * 201])
async def test_a_key_of_the_wrong_length_is_rejected_and_nothing_is_sent(tmp_path: Path, key: str) -> None:
    async with served(tmp_path) as home:
        answer = await home.ask("POST", MESSAGE, {"content": "hi"}, headers={"idempotency-key": key})
        assert answer.status == 422
        assert home.driver.heard == []


async def test_a_method_that_the_path_does_not_have_sends_nothing(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        answer = await home.ask("PUT", MESSAGE, {"content": "hi"})
        assert answer.status == 405
        assert home.driver.heard == []


async def test_a_slash_in_a_name_is_written_as_percent_2f(tmp_path: Path) -> None:
    async with served(tmp_path) as home:
        created = await home.ask("POST", "/api/v2/sessions", {"specialist_id": "apollo", "name": "a/b c"})
        path = "/api/v2/sessions/a%2Fb%20c"
        assert (await home.ask("GET", path)).json["id"] == created.json["id"]
        assert (await home.ask("GET", f"{path}/events")).status == 200
        assert (await home.ask("GET", "/api/v2/sessions/a/b%20c")).status == 404
        share = {"subject": "team:https://login/anna", "scopes": ["read"]}
        assert (await home.ask("POST", f"{path}/shares", share)).status == 200
        taken_back = await home.ask("DELETE", f"{path}/shares/team%3Ahttps%3A%2f%2flogin%2fanna")
        assert (taken_back.status, taken_back.json["subject"]) == (200, share["subject"])
        assert (await home.ask("GET", f"{path}/shares")).json == {"shares": []}
        assert (await home.ask_tcp("GET", path)).status == 401
