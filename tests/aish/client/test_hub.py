"""The shell's HTTP client: responses in any framing and any pieces, and rejected ones."""

from __future__ import annotations

import _socket
import contextlib
import os
import socket
import threading
from pathlib import Path
from time import monotonic

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aish import exits
from aish.client.connection import connect
from aish.client.home import socket_path, state_home
from aish.client.hub import Hub, quote
from aish.client.response import Response
from aish.exits import Failure
from rhetor.domain.provider_variables import fingerprint, provider_variables
from rhetor.home import state_home as hubs_state_home
from tests.aish.scripted import ScriptedHub, answer, problem

HEAD = b"HTTP/1.1 200 OK\r\nX-Session-Id: s_1\r\n"
SIZED = HEAD + b"Content-Length: 11\r\n\r\nhello world"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n"
UNTIL_CLOSED = HEAD + b"\r\nhello world"


def answer_of(*pieces: bytes) -> Response:
    """Return the response of a server that sends these pieces and closes the connection."""
    ours, theirs = _socket.socketpair()
    server = socket.socket(fileno=theirs.detach())

    def serve() -> None:
        with server, contextlib.suppress(BrokenPipeError):
            for piece in filter(None, pieces):
                server.sendall(piece)

    threading.Thread(target=serve).start()
    return Response(ours, None)


@pytest.mark.parametrize("sent", [SIZED, CHUNKED, UNTIL_CLOSED])
@given(cuts=st.lists(st.integers(0, 120), max_size=5))
def test_a_body_is_the_same_in_any_framing_and_any_pieces(sent: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(sent)) for cut in cuts), len(sent)]
    got = answer_of(*(sent[begin:end] for begin, end in zip(edges, edges[1:], strict=False)))  # noqa: RUF007
    try:
        assert (got.status, got.headers["x-session-id"], got.body()) == (200, "s_1", b"hello world")
    finally:
        got.close()


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\n", SIZED[:-1], CHUNKED[:-6], CHUNKED[:-3]])
def test_an_incomplete_response_raises_and_is_never_returned(sent: bytes) -> None:
    with pytest.raises(Failure) as refused:
        got = answer_of(sent)
        try:
            got.body()
        finally:
            got.close()
    assert refused.value.code == exits.UNREACHABLE


def test_a_socket_of_another_user_is_rejected(
    hub: ScriptedHub, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.on("GET /x", answer({}))
    assert Hub(str(home)).ask("GET", "/x") == {}
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(Failure, match="another user") as refused:
        connect(str(home))
    assert refused.value.code == exits.DENIED


def test_the_environment_is_sent_once_to_a_hub_that_has_another_one(
    hub: ScriptedHub, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in provider_variables():
        monkeypatch.delenv(name)
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    hub.on("GET /x", problem(409, "environment_differs", "hand them over"), answer({"now": 1}))
    hub.on("PUT /api/v2/environment", answer({}))
    assert Hub(str(home)).ask("GET", "/x") == {"now": 1}
    assert [r.headers.get("x-rhetor-env") for r in hub.requests] == [fingerprint()] * 3
    assert hub.bodies("PUT /api/v2/environment") == [{"variables": {"OPENAI_API_KEY": "k"}}]


def test_a_hub_that_keeps_its_environment_ends_the_request(
    hub: ScriptedHub, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    hub.on("GET /x", problem(409, "environment_differs", "no"))
    hub.on("PUT /api/v2/environment", answer({}))
    with pytest.raises(Failure, match="no"):
        Hub(str(home)).ask("GET", "/x")
    assert len(hub.requests) == 3


def test_the_fingerprint_depends_only_on_provider_variables_and_their_values() -> None:
    plain = {"OPENAI_API_KEY": "a", "PATH": "/bin", "RHETOR_MODEL": ""}
    assert fingerprint({"PATH": "/bin"}) == ""
    assert fingerprint(plain) == fingerprint({"OPENAI_API_KEY": "a"})
    assert (
        len({fingerprint(plain), fingerprint({"OPENAI_API_KEY": "b"}), fingerprint({"OLLAMA_HOST": "a"})})
        == 3
    )
    assert len(fingerprint(plain)) == 16


def test_a_request_times_out_at_its_deadline(hub: ScriptedHub, home: Path) -> None:
    over = threading.Event()

    def never(connection: socket.socket) -> None:
        over.wait(20)

    hub.on("GET /slow", never)
    slow = Hub(str(home))
    slow.deadline = monotonic() + 0.05
    with pytest.raises(Failure) as refused:
        slow.ask("GET", "/slow")
    over.set()
    assert refused.value.code == exits.TIMED_OUT


def test_names_are_percent_encoded_in_paths() -> None:
    assert quote("claude-code_2.1~") == "claude-code_2.1~"
    assert quote("a/b ?é") == "a%2Fb%20%3F%C3%A9"


def test_the_state_folder_comes_from_the_environment() -> None:
    assert state_home({"RHETOR_HOME": "/x/../y"}) == "/y"
    assert state_home({"XDG_STATE_HOME": "/state"}) == "/state/rhetor"
    assert state_home({"HOME": "/me"}) == "/me/.local/state/rhetor"
    assert state_home({}).startswith("/")
    for environment in ({"RHETOR_HOME": "~nosuchuser/x"}, {"XDG_STATE_HOME": "/state"}, {"HOME": "/me"}, {}):
        assert str(hubs_state_home(environment)) == state_home(environment)


def test_a_socket_whose_path_is_too_long_is_in_the_runtime_folder() -> None:
    assert socket_path("/h" * 45) == "/h" * 45 + "/hub.sock"
    moved = socket_path("/h" * 46, {"XDG_RUNTIME_DIR": "/run/me"})
    folder, name = moved.rsplit("/", 1)
    assert (folder[: len("/run/me/rhetor-")], name) == ("/run/me/rhetor-", "hub.sock")
    assert folder != socket_path("/h" * 47, {"XDG_RUNTIME_DIR": "/run/me"}).rsplit("/", 1)[0]
