"""The line on a terminal that shows the progress of long work."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from socket import socket

import pytest

from aish import progress
from aish.progress import Progress
from rhetor.domain.progress import describe

from .scripted import END, Script, ScriptedHub, Shell, answer, frame, problem, stream_head

MADE = {"checkpoint_id": "c_1", "name": "c_1", "files": 3, "folder": "/site", "left_out": [], "removed": []}
SESSION = {"id": "s_1", "name": "work", "specialist_id": "apollo", "head": 2}
FIND = "GET /api/v2/sessions?name=work"
MAKE = "POST /api/v2/sessions/s_1/checkpoint"


@pytest.mark.parametrize(
    ("seconds", "done", "total", "line"),
    [
        (2, 4000, 10_000, "checkpoint  4,000 of 10,000 files  2,000/s  3 s left"),
        (2, 3, 3, "checkpoint  3 of 3 files  1.5/s  0 s left"),
        (2, 5, 4, "checkpoint  5 of 5 files  2.5/s  0 s left"),
        (2, 4000, None, "checkpoint  4,000 files  2,000/s"),
        (3, 0, None, "checkpoint  3 s"),
        (100, 1, 100, "checkpoint  1 of 100 files  0.0/s  2 h 45 min left"),
        (10, 100, 10_000, "checkpoint  100 of 10,000 files  10/s  16 min left"),
    ],
)
def test_the_line_has_the_count_the_rate_and_the_time_left(
    seconds: float, done: int, total: int | None, line: str
) -> None:
    assert describe("checkpoint", seconds, done, total, "files") == line


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A terminal, as stderr of the module; the descriptor from which what it shows can be read."""
    ours, theirs = os.openpty()
    monkeypatch.setattr(progress, "STDERR", theirs)
    os.set_blocking(ours, False)
    yield ours
    os.close(ours)
    os.close(theirs)


def shown(terminal: int) -> str:
    try:
        return os.read(terminal, 4096).decode()
    except BlockingIOError:
        return ""


def test_nothing_is_shown_in_the_first_two_seconds_and_the_line_is_erased_at_the_end(terminal: int) -> None:
    now = [100.0]
    with Progress("import", lambda: now[0]) as line:
        for second in (0.0, 1.0, 1.9):
            now[0] = 100 + second
            line.show(1, 4, "files")
        assert shown(terminal) == ""
        now[0] = 102.0
        line.show(2, 4, "files")
        assert shown(terminal) == "\r\x1b[Kimport  2 of 4 files  1.0/s  2 s left"
        now[0] = 102.1
        line.show(3, 4, "files")  # too soon for another line
        assert shown(terminal) == ""
    assert shown(terminal) == "\r\x1b[K"


def test_quick_work_shows_nothing(terminal: int) -> None:
    with Progress("import") as line:
        line.show(4, 4, "files")
    assert shown(terminal) == ""


def test_nothing_is_shown_if_stderr_is_not_a_terminal(aish: Shell, hub: ScriptedHub) -> None:
    hub.on(FIND, answer({"sessions": [SESSION]}))
    hub.on(MAKE, answer(MADE))
    ran = aish("session", "checkpoint", "work")
    assert (ran.code, ran.out, ran.err) == (0, "✓ Made the checkpoint (c_1) with 3 files of /site\n", "")
    assert "accept" not in hub.wait_for(MAKE).headers


def slowly(result: object) -> Script:
    """Return a script that sends the progress of six files in three seconds, and then the result."""

    def script(connection: socket) -> None:
        connection.sendall(stream_head())
        for done in range(6):
            connection.sendall(frame({"progress": {"done": done, "total": 6, "unit": "files"}}))
            time.sleep(0.5)
        connection.sendall(frame({"result": result}) + END)

    return script


REPORT = {"dry_run": False, "files": [], "unchanged": 0, "more": False}


@pytest.mark.long
@pytest.mark.parametrize(
    ("words", "route", "result", "shown"),
    [
        (("session", "checkpoint", "work"), MAKE, MADE, "✓ Made the checkpoint (c_1) with 3 files of /site"),
        (("sessions", "import", "x.jsonl"), "POST /api/v2/imports", REPORT, "No conversations to import"),
    ],
)
def test_work_that_takes_long_shows_its_progress_on_the_terminal(
    aish: Shell, hub: ScriptedHub, words: tuple[str, ...], route: str, result: object, shown: str
) -> None:
    hub.on(FIND, answer({"sessions": [SESSION]}))
    hub.on(route, slowly(result))
    code, out, err = on_a_terminal(aish, *words)
    assert (code, shown in out.decode()) == (0, True)
    assert b"  4 of 6 files" in err or b"  5 of 6 files" in err
    assert b"  1 of 6" not in err
    assert err.endswith(b"\r\x1b[K")


@pytest.mark.long
def test_a_restore_that_takes_long_shows_its_progress_on_the_terminal(aish: Shell, hub: ScriptedHub) -> None:
    done: dict[str, object] = {"changed": [], "before": None, "saved": None, "retold": False, "messages": []}
    compared = stream_head() + frame({"result": done}) + END
    hub.on(FIND, answer({"sessions": [SESSION]}))
    hub.on("GET /api/v2/sessions/s_1/checkpoints", answer({"checkpoints": [MADE]}))
    hub.on("POST /api/v2/sessions/s_1/restore", compared, slowly(done))
    code, out, err = on_a_terminal(aish, "session", "restore", "work", "c_1", "--yes")
    assert (code, out.decode()) == (0, "✓ Restored work to c_1 (0 changes to files)\n")
    assert b"restore  4 of 6 files" in err or b"restore  5 of 6 files" in err
    assert err.endswith(b"\r\x1b[K")


@pytest.mark.long
def test_an_export_that_takes_long_shows_its_progress_on_the_terminal(aish: Shell, hub: ScriptedHub) -> None:
    pages = "GET /api/v2/sessions/s_1/events?limit=1000"

    def slowly(connection: socket) -> None:
        time.sleep(2.1)
        connection.sendall(answer({"events": [{"type": "note", "cursor": "e:1"}]}))

    hub.on(FIND, answer({"sessions": [SESSION]}))
    hub.on("GET /api/v2/sessions/s_1?messages=0", answer(SESSION))
    hub.on(pages, slowly)
    hub.on(f"{pages}&after=e%3A1", answer({"events": []}))
    code, out, err = on_a_terminal(aish, "session", "export", "work", "--format", "jsonl")
    assert (code, out) == (0, b'{"type": "note", "cursor": "e:1"}\n')
    assert b"export  1 of 2 events" in err and err.endswith(b"\r\x1b[K")


def test_a_failure_of_long_work_is_reported_as_usual(aish: Shell, hub: ScriptedHub) -> None:
    failed = {"status": 422, "code": "unprocessable", "detail": "the disk is full"}
    hub.on(FIND, answer({"sessions": [SESSION]}))
    hub.on(MAKE, stream_head() + frame({"problem": failed}) + END)
    assert on_a_terminal(aish, "session", "checkpoint", "work")[::2] == (2, b"aish: the disk is full\r\n")


def test_a_request_that_is_rejected_at_once_is_reported_as_usual(aish: Shell, hub: ScriptedHub) -> None:
    hub.on(FIND, answer({"sessions": [SESSION]}))
    hub.on(MAKE, problem(409, "peer_busy", "apollo is busy"))
    code, _, err = on_a_terminal(aish, "session", "checkpoint", "work")
    assert (code != 0, err) == (True, b"aish: apollo is busy\r\n")


def on_a_terminal(aish: Shell, *words: str) -> tuple[int, bytes, bytes]:
    """Run the shell with a terminal as stderr; return its exit code, its stdout, and what was shown."""
    ours, theirs = os.openpty()
    try:
        with aish.running(*words, stderr=theirs, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            out = process.stdout.read()
            code = process.wait()
        os.set_blocking(ours, False)
        return code, out, shown_bytes(ours)
    finally:
        os.close(ours)
        os.close(theirs)


def shown_bytes(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except BlockingIOError:
        return b""
