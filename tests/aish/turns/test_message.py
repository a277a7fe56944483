"""`aish apollo "message"` as a process, with a scripted hub."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from socket import socket
from time import monotonic, sleep

import pytest

from aish.turns.message import NoOptions
from rhetor.domain.grammar import Options
from tests.aish.scripted import (
    APOLLO,
    DONE,
    END,
    SESSION,
    TIMEOUT,
    Ran,
    ScriptedHub,
    Shell,
    answer,
    content,
    event,
    frame,
    says,
    stream,
    stream_head,
)


def test_a_message_is_sent_and_its_answer_goes_to_stdout(aish: Shell, hub: ScriptedHub) -> None:
    hub.on(APOLLO, says("It is ", "the loop: ü\n"))
    assert aish("apollo", "why is", "this slow?") == Ran(0, "It is the loop: ü\n", "")
    assert hub.bodies(APOLLO) == [{"content": "why is this slow?"}]
    assert hub.folders(APOLLO) == [str(aish.folder)]


def test_piped_input_follows_the_message(aish: Shell, hub: ScriptedHub) -> None:
    hub.on(APOLLO, says("ok"))
    aish("apollo", "review this", given="a\nb\n")
    aish("apollo", given=b"only this\r\n")
    assert hub.bodies(APOLLO) == [
        {"content": "review this\n\na\nb", "execute": True},
        {"content": "only this", "execute": True},
    ]


def test_stderr_says_that_input_which_is_not_utf_8_is_changed(aish: Shell, hub: ScriptedHub) -> None:
    hub.on("GET /api/v2/ai", answer({"peers": [{"id": "apollo", "kind": "specialist"}]}))
    hub.on(APOLLO, says("ok"))
    told = "the input is not text in UTF-8; invalid bytes are sent as \ufffd\n"
    ran = [
        aish("apollo", given=b"only \xff this\r\n"),
        aish("-c", "apollo", given=b"only \xff this\n"),
        aish("-c", "printf 'only \\377 this' | apollo", env={"LC_ALL": "C"}),
    ]
    assert ran == [Ran(0, "ok\n", told)] * 3
    assert [body["content"] for body in hub.bodies(APOLLO)] == ["only \ufffd this"] * 3


def test_an_answer_that_ended_only_by_silence_exits_with_6(aish: Shell, hub: ScriptedHub) -> None:
    silent = stream(content("half"), {**DONE, "finish_reason": "silence"})
    hub.on(APOLLO, silent)
    notice = "apollo fell silent; nothing else shows that its answer is complete\n"
    assert aish("apollo", "go") == Ran(6, "half\n", notice)
    assert aish("apollo", "go", "--quiet") == Ran(6, "half\n", notice)


def test_the_screen_of_a_full_screen_program_is_an_answer(aish: Shell, hub: ScriptedHub) -> None:
    hub.on(APOLLO, stream(content("drawn"), {**DONE, "finish_reason": "screen"}))
    assert aish("apollo", "go") == Ran(0, "drawn\n", "")


def test_text_that_was_typed_and_not_run_is_reported(aish: Shell, hub: ScriptedHub) -> None:
    hub.on(APOLLO, stream({**DONE, "finish_reason": "typed"}))
    assert aish("apollo", "ls") == Ran(0, "", "typed, not run (add -x)\n")


def test_an_empty_message_is_sent_as_enter(aish: Shell, hub: ScriptedHub) -> None:
    hub.on(APOLLO, says("ok"))
    assert aish("apollo", "", "-x").out == "ok\n"
    assert hub.bodies(APOLLO) == [{"content": "", "execute": True}]


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("length", "the limit of tokens was reached (length)"),
        ("content_filter", "a content filter ended it (content_filter)"),
        ("refusal", "the model refused to answer (refusal)"),
        ("tired", "it ended with 'tired'"),
    ],
)
def test_a_truncated_answer_is_reported_on_stderr(
    aish: Shell, hub: ScriptedHub, reason: str, told: str
) -> None:
    line = f"aish: the answer of apollo may be incomplete: {told}\n"
    hub.on(APOLLO, stream(content("half"), {**DONE, "finish_reason": reason}))
    assert aish("apollo", "hi") == Ran(0, "half\n", line)
    assert aish("apollo", "hi", "--quiet") == Ran(0, "half\n", "")
    completed = event("turn.completed", text="half", finish_reason=reason)
    hub.on("POST /api/v2/ai/athena/stream", stream(completed))
    assert aish("athena", "hi", "--json").err == line.replace("apollo", "athena")


def test_a_complete_answer_prints_nothing_on_stderr(aish: Shell, hub: ScriptedHub) -> None:
    hub.on(APOLLO, stream(content("all"), {**DONE, "finish_reason": "stop"}))
    assert aish("apollo", "hi") == Ran(0, "all\n", "")


@pytest.mark.parametrize("words", [("apollo",), ("-c", "apollo"), ("-i", "apollo")])
def test_late_input_on_a_nonblocking_pipe_is_read_to_its_end(
    aish: Shell, hub: ScriptedHub, words: tuple[str, ...]
) -> None:
    hub.on("GET /api/v2/ai/apollo", answer({"id": "apollo"}))
    hub.on("GET /api/v2/ai", answer({"peers": [{"id": "apollo"}]}))
    hub.on(APOLLO, says("ok"))
    reads, writes = os.pipe2(os.O_NONBLOCK)
    with aish.running(*words, stdin=reads) as shell:
        os.close(reads)
        os.set_blocking(writes, True)
        for piece in (b"the ", b"whole ", b"input\n"):
            wait_until_it_sleeps(shell.pid)
            os.write(writes, piece)
        wait_until_it_sleeps(shell.pid)
        os.close(writes)
        assert shell.communicate(timeout=TIMEOUT)[0] == b"ok\n"
    assert [body["content"] for body in hub.bodies(APOLLO)] == ["the whole input"]


def wait_until_it_sleeps(pid: int) -> None:
    """Wait until the process sleeps and has used no CPU time since the last check."""
    seen = ""
    deadline = monotonic() + TIMEOUT
    while monotonic() < deadline:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        now = f"{fields[0]} {fields[11]} {fields[12]}"  # state, user and system CPU ticks
        if now == seen and fields[0] == "S" and fields[11] != "0":
            return
        seen = now
        sleep(0.1)
    raise AssertionError("the shell did not come to rest")


def test_a_folder_as_input_is_an_error_and_not_an_empty_input(aish: Shell, hub: ScriptedHub) -> None:
    hub.on("GET /api/v2/ai", answer({"peers": [{"id": "apollo"}]}))
    assert aish("-c", "< . apollo x") == Ran(1, "", "aish: cannot read the input: Is a directory\n")


def test_an_answer_without_a_newline_gets_one(aish: Shell, hub: ScriptedHub) -> None:
    hub.on(APOLLO, says("no newline"), says("one\n"), says())
    assert [aish("apollo", "x").out for _ in range(3)] == ["no newline\n", "one\n", ""]


def test_bytes_pass_unchanged_if_stdout_is_not_a_terminal(aish: Shell, hub: ScriptedHub) -> None:
    hub.on(APOLLO, says("\x1b]0;t\x07\x1b[2J\r\n"))
    assert aish("apollo", "x").out.encode() == b"\x1b]0;t\x07\x1b[2J\r\n"


def test_only_the_answer_goes_to_stdout(aish: Shell, hub: ScriptedHub) -> None:
    parts = [content("hm", channel="reasoning"), content("oops\n", channel="stderr"), content("yes")]
    permission = {"type": "permission", "request_id": "r_1", "tool": "Bash"}
    hub.on(APOLLO, stream(*parts, permission, DONE))
    ran = aish("apollo", "x")
    asked = "aish: apollo asks to use Bash (aish approve r_1 · aish deny r_1)\n"
    assert ran == Ran(0, "yes\n", "oops\n" + asked)


def test_a_permission_request_shows_what_would_run(aish: Shell, hub: ScriptedHub) -> None:
    detail = {"call_id": "c", "arguments": {"note": "y" * 300, "path": "/srv/\x1b[8mall"}}
    permission = {"type": "permission", "request_id": "r_1", "tool": "remove", "detail": detail}
    hub.on(APOLLO, stream(permission, content("yes"), DONE))
    lines = aish("apollo", "x").err.splitlines()
    assert lines[1:] == [f"    note: {'y' * 300}", "    path: /srv/\\x1b[8mall"]


def test_options_become_members_of_the_request(aish: Shell, hub: ScriptedHub) -> None:
    hub.on(APOLLO, says("ok", headers=SESSION))
    ran = aish("apollo", "-s", "5", "ls", "--interrupt", "-x", "\\r")
    assert ran == Ran(0, "ok\n", "Session s_1 (continue it with --session-id s_1)\n")
    aish("--quiet", "apollo", "--session-id", "s_1", "ls", "--if-idle")
    assert hub.bodies(APOLLO) == [
        {
            "content": "ls",
            "context_window": 5,
            "delimiter": "\r",
            "execute": True,
            "if_busy": "interrupt",
        },
        {"content": "ls", "session_id": "s_1", "if_busy": "refuse"},
    ]


def test_without_options_the_grammars_defaults_are_sent() -> None:
    assert {name: getattr(NoOptions, name) for name in Options.__slots__} == {
        name: getattr(Options(), name) for name in Options.__slots__
    }


def test_no_stream_prints_the_complete_answer(aish: Shell, hub: ScriptedHub) -> None:
    hub.on(APOLLO, says("a", "b"))
    assert aish("apollo", "x", "--no-stream") == Ran(0, "ab\n", "")


def test_json_prints_one_raw_event_per_line(aish: Shell, hub: ScriptedHub) -> None:
    events = [event("output.delta", text="hi", channel="answer"), event("turn.completed", text="hi")]
    hub.on(APOLLO, stream(*events))
    ran = aish("apollo", "x", "--json")
    assert (ran.code, [json.loads(line) for line in ran.out.splitlines()]) == (0, events)
    assert hub.requests[0].headers["accept"] == "text/event-stream; events=raw"


def test_an_answer_is_streamed(aish: Shell, hub: ScriptedHub) -> None:
    seen = threading.Event()

    def slowly(connection: socket) -> None:
        connection.sendall(stream_head() + frame(content("first ")))
        assert seen.wait(20)
        connection.sendall(frame(content("second")) + frame(DONE) + END)

    hub.on(APOLLO, slowly)
    with aish.running("apollo", "x") as process:
        assert process.stdout
        assert os.read(process.stdout.fileno(), 100) == b"first "
        seen.set()
        assert process.communicate(timeout=60) == (b"second\n", b"")


def test_the_offline_notice_is_shown_once_and_not_with_quiet(aish: Shell, hub: ScriptedHub) -> None:
    hub.on(APOLLO, says("hi", headers={"x-rhetor-notice": "offline"}))
    told = aish("apollo", "x")
    assert told.code == 0 and "OPENAI_API_KEY" in told.err and told.err.count("offline") == 1
    assert aish("apollo", "x", "--quiet") == Ran(0, "hi\n", "")


def test_one_message_imports_only_these_modules(aish: Shell, hub: ScriptedHub) -> None:
    hub.on(APOLLO, says("ok"))
    ran = aish("apollo", "x", env={"PYTHONPROFILEIMPORTTIME": "1"})
    imported = {line.rsplit("|", 1)[1].strip() for line in ran.err.splitlines() if "|" in line}
    ours = {name for name in imported if name.startswith(("aish", "rhetor"))}
    assert ours == {
        *(
            "aish",
            "aish.client.response",
            "aish.cli",
            "aish.client.hub",
            "aish.client.json_sse",
            "aish.commands",
            "aish.exits",
            "aish.client",
            "aish.client.connection",
            "aish.client.home",
        ),
        *(
            "aish.output",
            "aish.dispatch",
            "aish.turns",
            "aish.turns.input",
            "aish.turns.message",
            "aish.turns.signals",
        ),
    }
    slow = {
        "socket",
        "json",
        "argparse",
        "re",
        "typing",
        "enum",
        "collections",
        "select",
        "http",
        "subprocess",
    }
    assert not slow & imported - {"re", "enum"} - _of_runpy()


def _of_runpy() -> set[str]:
    """Return the modules that `python -m` itself imports before it runs a module."""
    return {"collections", "typing"}
