"""Messages forwarded to a terminal: shown above the input line, or over the program that runs there."""

from __future__ import annotations

import json
import sys
import threading
from socket import socket
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aish.terminal.forwarded import format_message
from aish.terminal.overlay import SHOWN_SECONDS, SILENCE_SECONDS, Overlay
from tests.aish.attachable import Attachable, window
from tests.aish.commands.test_commands import peer
from tests.aish.pseudo_terminal import at_terminal
from tests.aish.scripted import (
    TIMEOUT,
    Request,
    ScriptedHub,
    Shell,
    answer,
    frame,
    problem,
    stream_head,
)

TERMINAL = "PUT /api/v2/terminals/jill"
EVENTS = "GET /api/v2/terminals/jill/events?after=e:1"


def forwarded(seq: int, content: str, **more: Any) -> dict[str, Any]:
    data = {"from": "apollo", "to": "jill", "via": ["apollo"], "content": content, "as_json": False, **more}
    return {"type": "message.forwarded", "cursor": f"e:{seq}", "data": data}


@pytest.fixture(autouse=True)
def jill(hub: ScriptedHub) -> None:
    hub.on("GET /api/v2/ai", answer({"peers": [peer("apollo", "specialist", evidence="no turn running")]}))
    hub.on(TERMINAL, answer({"name": "jill", "seen": "e:1"}))


def seen(hub: ScriptedHub) -> list[Any]:
    return [r.body["seen"] for r in hub.requests if _is_seen(r)]


def _is_seen(request: Request) -> bool:
    return f"{request.method} {request.path}" == TERMINAL and bool(request.body)


class Stream:
    """A stream that the scripted hub sends to its followers, controlled by the test."""

    def __init__(self) -> None:
        self._connections: list[socket] = []
        self._came = threading.Condition()
        self._over = threading.Event()

    def serve(self, connection: socket) -> None:
        connection.sendall(stream_head())
        with self._came:
            self._connections.append(connection)
            self._came.notify_all()
        self._over.wait(TIMEOUT)

    def send(self, event: dict[str, Any], number: int = 0) -> None:
        with self._came:
            assert self._came.wait_for(lambda: len(self._connections) > number, TIMEOUT), "no client follows"
            self._connections[number].sendall(frame(event))

    def cut(self) -> None:
        self._over.set()


@pytest.mark.long
def test_a_forwarded_message_is_shown_above_the_input_line(aish: Shell, hub: ScriptedHub) -> None:
    stream = Stream()
    hub.on(EVENTS, stream.serve)
    hub.on("POST /api/v2/ai/apollo/message", problem(409, "peer_busy", "apollo is busy"))
    with at_terminal(aish, "--name", "jill", echo=True) as terminal:
        terminal.wait_for("aish> ")
        terminal.type("apollo h")
        terminal.wait_for("apollo h")
        stream.send(forwarded(2, "look\x1b]0;title\x07\x1b[2J here"))
        terminal.wait_for("[From Apollo] look here\naish> apollo h")
        terminal.type("i\n")
        terminal.wait_for("aish: apollo is busy\n")
        assert hub.bodies("POST /api/v2/ai/apollo/message") == [{"content": "hi", "from": "jill"}]
        terminal.type("exit 0\n")
        assert terminal.wait_for_end() == 0
    stream.cut()


@pytest.mark.long
def test_after_a_lost_connection_messages_continue_from_the_last_cursor(
    aish: Shell, hub: ScriptedHub
) -> None:
    first, second = Stream(), Stream()
    hub.on(EVENTS, first.serve)
    hub.on("GET /api/v2/terminals/jill/events?after=e:2", second.serve)
    with at_terminal(aish, "--name=jill") as terminal:
        terminal.wait_for("aish> ")
        first.send(forwarded(2, "one"))
        terminal.wait_for("[From Apollo] one\n")
        first.cut()
        second.send(forwarded(3, "two\nlines"))
        terminal.wait_for("[From Apollo]\ntwo\nlines\n")
        terminal.type("exit\n")
        assert terminal.wait_for_end() == 0
    second.cut()
    assert seen(hub)[0] == "e:2"


def test_a_taken_name_ends_the_shell_before_the_prompt(aish: Shell, hub: ScriptedHub) -> None:
    hub.on(
        "PUT /api/v2/terminals/apollo", problem(409, "name_taken", "a peer called 'apollo' already exists")
    )
    with at_terminal(aish, "--name", "apollo") as terminal:
        assert terminal.wait_for_end() == 1
        assert terminal.screen == "aish: a peer called 'apollo' already exists\n"


def test_a_json_forward_is_one_object_with_from_to_time_and_purpose() -> None:
    message = forwarded(2, 'say "x"', as_json=True, time="t", purpose="reviews")["data"]
    assert json.loads(format_message(message)) == {
        "from": "apollo",
        "to": "jill",
        "time": "t",
        "purpose": "reviews",
        "message": 'say "x"',
    }


NOTICE = {"type": "notice", "cursor": "e:7", "from": "apollo", "title": "Apollo", "text": "look here"}
# `aish` with an overlay that is shown only for a moment
HASTY = """
import sys
from aish.terminal import overlay
overlay.SHOWN_SECONDS = 0.5
from aish.cli import main
sys.exit(main())
"""
LINE = b"\x1b7\x1b[?6l\x1b[30;1H\x1b[0;7m[From Apollo] look here\x1b[0m\x1b[K\x1b8"


def test_over_a_program_a_message_is_shown_briefly_and_again_after_detaching(
    aish: Shell, hub: ScriptedHub
) -> None:
    box = Attachable(hub)
    with window(aish, command=[sys.executable, "-c", HASTY, "tools", "attach", "box"]) as shown_in:
        view = box.view()
        shown_in.wait_until(shown_in.is_raw)
        view.wait_for_size(30, 100)
        view.show(b"the program")
        view.tell(**NOTICE)
        shown_in.wait_for("look here")
        assert LINE in shown_in.shown
        after = shown_in.shown.index(LINE) + len(LINE)  # then the status line is drawn again
        shown_in.wait_until(lambda: b"\x1b[30;1H\x1b[0;7m box  Ctrl-] detach" in shown_in.shown[after:])
        shown_in.press(b"\x1d")
        assert shown_in.wait_for_end() == 0
        assert view.keys == b""
        assert shown_in.screen.endswith(
            "[From Apollo] look here\nDetached from box (aish tools attach box reattaches)\n"
        )


def test_a_read_only_view_prints_forwarded_messages_on_stderr(aish: Shell, hub: ScriptedHub) -> None:
    box = Attachable(hub, mode="r")
    with aish.running("tools", "attach", "box", "-r") as process:
        view = box.view()
        view.show(b"the program\n")
        view.tell(**NOTICE)
        view.tell("exited", exit_code=0, signal=None)
        view.close(1000)
        out, err = process.communicate(timeout=TIMEOUT)
    assert (out, err) == (b"the program\n", b"[From Apollo] look here\nbox exited\n")


def test_the_overlay_waits_for_a_silent_program_and_disappears() -> None:
    overlay = Overlay()
    assert overlay.due is None
    overlay.add(NOTICE, 10.0)
    overlay.program_wrote(10.0 + SILENCE_SECONDS / 2)
    assert overlay.draw(10.0 + SILENCE_SECONDS, 30, 100) == b""
    assert overlay.due == pytest.approx(10.0 + SILENCE_SECONDS * 1.5)
    assert overlay.draw(11.0, 30, 100) == LINE
    assert not overlay.is_over(11.0 + SHOWN_SECONDS / 2)
    assert overlay.is_over(11.0 + SHOWN_SECONDS)
    assert (overlay.is_over(99.0), overlay.due) == (False, None)
    assert (overlay.cursor, overlay.notices) == ("e:7", ["[From Apollo] look here"])


@given(st.text(max_size=200), st.integers(1, 50))
def test_the_overlay_fits_the_terminal_and_has_no_escape_sequence(text: str, columns: int) -> None:
    overlay = Overlay()
    overlay.add({"title": text, "text": text}, 0.0)
    drawn = overlay.draw(1.0, 30, columns).decode()
    line = drawn.removeprefix("\x1b7\x1b[?6l\x1b[30;1H\x1b[0;7m").removesuffix("\x1b[0m\x1b[K\x1b8")
    assert len(line) < columns
    assert not any(char < " " or "\x7f" <= char <= "\x9f" for char in line)
