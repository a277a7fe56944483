"""Messages that fail: what stderr says, and the exit codes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.aish.scripted import (
    APOLLO,
    END,
    Ran,
    ScriptedHub,
    Shell,
    answer,
    content,
    event,
    frame,
    problem,
    stream,
    stream_head,
)

HINT = "aish --help lists the options; write -- before text that begins with -\n"


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


def test_json_of_a_failed_turn_exits_with_1(aish: Shell, hub: ScriptedHub) -> None:
    failed = event("turn.failed", code="provider_failed", detail="overloaded", retryable=True)
    hub.on(APOLLO, stream(failed))
    ran = aish("apollo", "x", "--json")
    assert (ran.code, ran.err) == (1, "aish: apollo failed: overloaded (you can try again)\n")


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
    cut_off = "aish: the answer of apollo is cut off\n"
    assert aish("apollo", "x") == Ran(code, "half an \n", f"{cut_off}aish: {says}\n")
    assert aish("apollo", "x", "--no-stream") == Ran(code, "", f"aish: {says}\n")


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
    assert {request.path for request in hub.requests} <= {"/api/v2/aliases"}


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


def test_an_unreachable_hub_exits_with_5(aish: Shell, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ran = aish("apollo", "x", env={"RHETOR_HOME": str(tmp_path / "file" / "home")})
    assert (ran.code, ran.out) == (5, "")
    assert ran.err.startswith("aish: cannot reach the hub: ")
