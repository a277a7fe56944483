"""`aish apollo "message"` as a process, with a scripted hub."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path
from socket import socket
from time import monotonic, sleep

import pytest

from aish.turns.message import NoOptions
from rhetor.domain.grammar import Options
from tests.aish.scripted import (
    DONE,
    END,
    TIMEOUT,
    Ran,
    ScriptedHub,
    Shell,
    answer,
    content,
    event,
    frame,
    problem,
    says,
    spoken,
    stream,
    stream_head,
)

APOLLO = "POST /api/v2/ai/apollo/stream"
SESSION = {"x-session-id": "s_1", "x-turn-id": "t_1"}
HINT = "aish --help lists the options; write -- before text that begins with -\n"
INTERRUPT = "POST /api/v2/sessions/s_1/turns/t_1/abandon"


def test_a_message_is_sent_and_its_answer_goes_to_stdout(aish: Shell, hub: ScriptedHub) -> None:
    hub.on(APOLLO, says("It is ", "the loop: ü\n"))
    assert aish("apollo", "why is", "this slow?") == Ran(0, "It is the loop: ü\n", "")
    assert hub.bodies(APOLLO) == [{"content": "why is this slow?"}]
    assert hub.folders(APOLLO) == [str(aish.folder)]


def test_piped_input_follows_the_message(aish: Shell, hub: ScriptedHub) -> None:
    hub.on(APOLLO, says("ok"))
    aish("apollo", "review this", given="a\nb\n")
    aish("apollo", given=b"only \xff this\r\n")
    assert hub.bodies(APOLLO) == [
        {"content": "review this\n\na\nb", "execute": True},
        {"content": "only \ufffd this", "execute": True},
    ]


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


@pytest.mark.parametrize(
    ("detail", "told"),
    [
        ("openai refused the request: no", "apollo failed: openai refused the request: no"),
        ("apollo failed: no", "apollo failed: no"),
        ("claude failed: no", "apollo failed: claude: no"),
        ("apollo: it exited with 3", "apollo failed: it exited with 3"),
        ("apollo gave an answer without text", "apollo gave an answer without text"),
        ("the check failed: no", "apollo failed: the check failed: no"),
    ],
)
def test_a_failure_is_shown_once_with_its_hint(aish: Shell, hub: ScriptedHub, detail: str, told: str) -> None:
    error = {"type": "error", "code": "provider_failed", "detail": detail, "hint": "try that"}
    hub.on(APOLLO, stream(error))
    assert aish("apollo", "hi") == Ran(1, "", f"aish: {told}\ntry that\n")


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


def test_json_of_a_failed_turn_exits_with_1(aish: Shell, hub: ScriptedHub) -> None:
    failed = event("turn.failed", code="provider_failed", detail="overloaded", retryable=True)
    hub.on(APOLLO, stream(failed))
    ran = aish("apollo", "x", "--json")
    assert (ran.code, ran.err) == (1, "aish: apollo failed: overloaded (you can try again)\n")


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


@pytest.mark.parametrize(
    ("refusal", "code", "says"),
    [
        (problem(404, "unknown_peer", "no", peer="apollo"), 3, "Error: Unknown CI or command: apollo"),
        (problem(401, "unauthenticated", "who are you"), 4, "aish: who are you"),
        (problem(403, "forbidden", "not you"), 4, "aish: not you"),
        (problem(400, "malformed", "bad"), 2, "aish: bad"),
        (problem(413, "too_large", "too much"), 2, "aish: too much"),
        (problem(422, "unprocessable", "hm"), 2, "aish: hm"),
        (problem(409, "peer_busy", "apollo is busy"), 1, "aish: apollo is busy"),
        (problem(502, "provider_failed", "down"), 1, "aish: down"),
        (problem(503, "shutting_down", "ending"), 5, "aish: ending"),
        (problem(504, "timeout", "too slow"), 124, "aish: too slow"),
        (answer("no object", 500), 1, "aish: the hub answered with status 500"),
        (b"HTTP/1.1 500 X\r\n\r\nnot json", 1, "aish: the hub answered with status 500"),
        (b"SSH-2.0-x\r\n\r\n", 5, "aish: something other than rhetor is listening on SOCKET"),
        (stream_head() + b"zz\r\n", 5, "aish: something other than rhetor is listening on SOCKET"),
        (
            stream_head() + b"d\r\ndata: no json\r\n",
            5,
            "aish: lost the connection to the hub in the middle of its answer",
        ),
        (stream_head() + b"f\r\ndata: no json\n\n\r\n", 5, "aish: the hub sent an invalid event"),
        (b"", 5, "aish: the hub closed the connection without answering"),
    ],
)
def test_a_rejected_request_shows_the_reason_and_has_its_exit_code(
    aish: Shell, hub: ScriptedHub, refusal: bytes, code: int, says: str
) -> None:
    hub.on(APOLLO, refusal)
    says = says.replace("SOCKET", f"{hub.home}/hub.sock")
    assert aish("apollo", "x") == Ran(code, "", says + "\n")


@pytest.mark.parametrize(
    ("end", "code", "says"),
    [
        (
            frame({"type": "error", "code": "provider_failed", "detail": "gone"}) + END,
            1,
            "apollo failed: gone",
        ),
        (frame({"type": "error", "code": "timeout", "detail": "slow"}) + END, 124, "apollo failed: slow"),
        (END, 5, "the connection to the hub closed before the answer was complete"),
        (b"", 5, "lost the connection to the hub in the middle of its answer"),
    ],
)
def test_a_failed_turn_keeps_its_partial_answer_and_shows_the_failure(
    aish: Shell, hub: ScriptedHub, end: bytes, code: int, says: str
) -> None:
    hub.on(APOLLO, stream_head() + frame(content("half an ")) + end)
    assert aish("apollo", "x") == Ran(code, "half an \n", f"aish: {says}\n")


@pytest.mark.parametrize("words", [("apollo",), ("apollo", ""), ("apollo", " "), ("apollo", "-s"), ("a,b",)])
def test_a_call_without_a_message_is_a_usage_error(
    aish: Shell, hub: ScriptedHub, words: tuple[str, ...]
) -> None:
    hub.on("GET /api/v2/ai/apollo", answer({"id": "apollo"}))
    ran = aish(*words)
    assert (ran.code, ran.out) == (2, "")
    assert [request.method for request in hub.requests] == ["GET"] * (words[0] == "apollo")
    assert ran.err.startswith("aish: no message for ")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("apollo", "--bogus", "x"), f"aish: unknown option --bogus\n{HINT}"),
        (("apollo", "what is", "-foo"), f"aish: unknown option -foo\n{HINT}"),
        (
            ("apollo", "x", "--tiemout", "3"),
            f"aish: unknown option --tiemout; did you mean --timeout?\n{HINT}",
        ),
        (
            ("apollo", "x", "-x", "\\r", "--quiet"),
            "aish: write the delimiter as -x=\\r\n",
        ),
        (
            ("apollo", "what does", "--json", "do"),
            "aish: 'do' after --json is not an option; write -- before text that contains --json\n",
        ),
        (("apollo", "ls", "-d", "--", "x"), "aish: -d needs a value\n"),
        (("--timeout", "--", "apollo", "x"), "aish: --timeout needs a value\n"),
        (("a,b", "x", "--bogus"), f"aish: unknown option --bogus\n{HINT}"),
        (("route", "r", "x", "--bogus"), f"aish: unknown option --bogus\n{HINT}"),
        (("review.aish", "-x"), "aish: unexpected '-x' after review.aish; a script takes no arguments\n"),
        (
            ("--json", "list"),
            "aish: options of a message cannot precede list; write options after the command\n",
        ),
        (
            ("apollo", "--timeout", "soon", "x"),
            "aish: a timeout must be a number of seconds above 0, not 'soon'\n",
        ),
        (("--bogus", "apollo"), f"aish: unknown option --bogus\n{HINT}"),
        (("a,,b", "x"), "aish: a target's name is missing\n"),
        (("-c",), "aish: -c needs a line: aish -c 'LINE'\n"),
    ],
)
def test_a_usage_error_shows_what_is_wrong(
    aish: Shell, hub: ScriptedHub, words: tuple[str, ...], says: str
) -> None:
    assert aish(*words) == Ran(2, "", says)
    assert hub.requests == []


def test_a_hint_of_the_hub_follows_on_its_own_line(aish: Shell, hub: ScriptedHub) -> None:
    hub.on(APOLLO, problem(502, "provider_failed", "openai has no key", hint="set OPENAI_API_KEY"))
    assert aish("apollo", "x") == Ran(1, "", "aish: openai has no key\nset OPENAI_API_KEY\n")


def test_a_hint_of_a_failed_turn_follows_on_its_own_line(aish: Shell, hub: ScriptedHub) -> None:
    error = {"type": "error", "code": "provider_failed", "detail": "no key", "hint": "set OPENAI_API_KEY"}
    hub.on(APOLLO, stream(error))
    assert aish("apollo", "x") == Ran(1, "", "aish: apollo failed: no key\nset OPENAI_API_KEY\n")


def test_a_hint_that_the_message_contains_is_not_repeated(aish: Shell, hub: ScriptedHub) -> None:
    detail = "there is no program 'x' on the PATH: install it with make x"
    hub.on(APOLLO, problem(422, "program_missing", detail, hint="install it with make x"))
    assert aish("apollo", "x") == Ran(2, "", f"aish: {detail}\n")


def test_input_that_is_too_large_is_rejected_before_it_is_sent(aish: Shell, hub: ScriptedHub) -> None:
    ran = aish("apollo", given=b"x" * (8 * 1024 * 1024 + 1))
    assert (ran.code, hub.requests) == (2, [])


def test_a_timeout_interrupts_the_turn(aish: Shell, hub: ScriptedHub) -> None:
    over = threading.Event()

    def never(connection: socket) -> None:
        connection.sendall(stream_head(SESSION) + frame(content("well")))
        over.wait(20)

    hub.on(APOLLO, never)
    hub.on(INTERRUPT, answer({}))
    ran = aish("apollo", "x", "--timeout", "0.2")
    over.set()
    assert ran == Ran(124, "well\n", "aish: timed out waiting for an answer\n")
    hub.wait_for(INTERRUPT)


def test_stderr_names_a_wrapped_program_that_continues(aish: Shell, hub: ScriptedHub) -> None:
    over = threading.Event()

    def never(connection: socket) -> None:
        connection.sendall(stream_head(SESSION))
        over.wait(20)

    hub.on("POST /api/v2/ai/box/stream", never)
    hub.on(INTERRUPT, answer({"turn_id": "t_1", "continues": "box"}))
    ran = aish("box", "make", "-x", "--timeout", "0.2")
    over.set()
    assert (ran.code, ran.err) == (
        124,
        "box continues with the message (aish explain box shows its status)\n"
        "aish: timed out waiting for an answer\n",
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_an_anonymous_turn_and_then_the_shell(
    aish: Shell, hub: ScriptedHub, number: signal.Signals
) -> None:
    over = threading.Event()

    def never(connection: socket) -> None:
        connection.sendall(stream_head(SESSION) + frame(content("well")))
        over.wait(20)

    hub.on(APOLLO, never)
    hub.on(INTERRUPT, answer({}))
    for words, abandoned in ((("-s",), 0), ((), 1)):
        with aish.running("apollo", "x", *words) as process:
            assert process.stdout
            assert os.read(process.stdout.fileno(), 100) == b"well"
            process.send_signal(number)
            assert process.communicate(timeout=TIMEOUT)[0] == b"\n"
            assert process.returncode == -number
        assert [f"{r.method} {r.path}" for r in hub.requests].count(INTERRUPT) == abandoned
    over.set()


def test_a_signal_ends_a_plan_and_its_programs(aish: Shell, hub: ScriptedHub) -> None:
    over = threading.Event()
    hub.on("GET /api/v2/ai", answer({"peers": [{"id": "apollo"}, {"id": "athena"}]}))

    def never(connection: socket) -> None:
        steps = [{"id": "apollo", "depends_on": []}, {"id": "athena", "depends_on": ["apollo"]}]
        started = event("plan.started", steps=steps)
        said = frame(started) + b"".join(map(frame, spoken("athena", "athena", "well")[:2]))
        connection.sendall(stream_head({"x-plan-id": "p_1"}) + said)
        over.wait(20)

    hub.on("POST /api/v2/plans", never)
    hub.on("DELETE /api/v2/plans/p_1", answer({}))
    with aish.running("-c", "apollo x | athena | cat") as process:
        assert process.stdout
        assert os.read(process.stdout.fileno(), 100) == b"well"
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT) == -signal.SIGTERM
    over.set()
    hub.wait_for("DELETE /api/v2/plans/p_1")


def test_ctrl_c_interrupts_the_turn(aish: Shell, hub: ScriptedHub) -> None:
    over = threading.Event()

    def never(connection: socket) -> None:
        connection.sendall(stream_head(SESSION) + frame(content("well")))
        over.wait(20)

    hub.on(APOLLO, never)
    hub.on(INTERRUPT, answer({}))
    with aish.running("apollo", "x") as process:
        assert process.stdout
        assert os.read(process.stdout.fileno(), 100) == b"well"
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=60) == (b"\n", b"")
        assert process.returncode == 130
    over.set()
    hub.wait_for(INTERRUPT)


def test_a_closed_pipe_ends_the_shell_quietly_and_interrupts_the_turn(aish: Shell, hub: ScriptedHub) -> None:
    go_on = threading.Event()

    def long_answer(connection: socket) -> None:
        connection.sendall(stream_head(SESSION) + frame(content("one line\n")))
        assert go_on.wait(20)
        connection.sendall(frame(content("another\n")))
        connection.recv(1)

    hub.on(APOLLO, long_answer)
    hub.on(INTERRUPT, answer({}))
    with aish.running("apollo", "x") as process:
        assert process.stdout and process.stderr
        assert os.read(process.stdout.fileno(), 100) == b"one line\n"
        process.stdout.close()
        go_on.set()
        assert (process.stderr.read(), process.wait(20)) == (b"", 0)
    hub.wait_for(INTERRUPT)


def test_the_offline_notice_is_shown_once_and_not_with_quiet(aish: Shell, hub: ScriptedHub) -> None:
    hub.on(APOLLO, says("hi", headers={"x-rhetor-notice": "offline"}))
    told = aish("apollo", "x")
    assert told.code == 0 and "OPENAI_API_KEY" in told.err and told.err.count("offline") == 1
    assert aish("apollo", "x", "--quiet") == Ran(0, "hi\n", "")


def test_an_unreachable_hub_exits_with_5(aish: Shell, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ran = aish("apollo", "x", env={"RHETOR_HOME": str(tmp_path / "file" / "home")})
    assert (ran.code, ran.out) == (5, "")
    assert ran.err.startswith("aish: cannot reach the hub: ")


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
