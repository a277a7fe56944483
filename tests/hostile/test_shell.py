"""Arguments and input of the shell, with any bytes."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.home import BIN, SECONDS, Machine


@pytest.fixture(scope="module")
def offline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine with a running hub and the embedded model."""
    made = Machine(tmp_path_factory.mktemp("shell") / "home")
    made.environment["RHETOR_MODELS__DEFAULT"] = "offline"
    made.run("apollo", "so that what is told once has been told")
    yield made
    made.leave()


def aish(machine: Machine, *words: bytes, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [str(BIN / "aish").encode(), *words],
        input=stdin,
        env=machine.environment,
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )


def last_message(machine: Machine) -> str:
    (said,) = json.loads(machine.run("history", "1", "json").stdout)
    return str(said["message"])


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (b"caf\xe9 \xff\xfe", "caf\ufffd \ufffd\ufffd"),
        (b"a\0b", "a\0b"),
        (b"\xed\xa0\x80", "\ufffd\ufffd\ufffd"),
        (b"\xef\xbb\xbfhi", "\ufeffhi"),
        (b"one\r\ntwo\r\n", "one\r\ntwo"),
        (b"\x1b]0;title\x07\x9b2J", "\x1b]0;title\x07\ufffd2J"),
        (b"\xf0\x9f\x98", "\ufffd"),
        (b'"} {"x": "\\ud800"', '"} {"x": "\\ud800"'),
    ],
)
def test_piped_bytes_arrive_as_text(offline: Machine, given: bytes, kept: str) -> None:
    ran = aish(offline, b"apollo", stdin=given)
    is_said = b"the input is not text in UTF-8" in ran.stderr
    assert (ran.returncode, is_said, ran.stderr.count(b"\n")) == (0, "\ufffd" in kept, is_said)
    assert last_message(offline) == kept


def test_arguments_that_are_not_utf_8_arrive_as_text(offline: Machine) -> None:
    assert aish(offline, b"apollo", b"caf\xe9").returncode == 0
    assert last_message(offline) == "caf\ufffd"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ((b"\xff\xfe", b"hi"), 3),
        ((b"apo\nllo", b"hi"), 3),
        ((b"../apollo", b"hi"), 3),
        ((b"a" * 10_000, b"hi"), 3),
        ((b"apollo", b"--session-id", b"\xff", b"hi"), 3),
        ((b"apollo", b"--session-id", b"a/../b", b"hi"), 3),
        ((b"apollo", b"--session-id", b"s" * 300, b"hi"), 2),
        ((b"apollo", b"-s", b"10001", b"hi"), 2),
        ((b"apollo", b"--timeout", b"nan", b"hi"), 2),
        ((b"apollo", b"-x" + b"\\x0", b"hi"), 2),
        ((b"apollo", b"-d", b"d" * 1000, b"hi"), 2),
        ((b"-c", b"apollo 'x"), 2),
        ((b"-c", b"{" * 10_000), 2),
        ((b"-c", b"apollo hi | \xff"), 3),
        ((b"@\xff", b"hi"), 2),
        ((b"team:\n", b"hi"), 2),
        ((b"apollo", b" \t "), 2),
        ((b"history", b"1000001"), 2),
    ],
    ids=lambda case: str(case)[:60],
)
def test_invalid_arguments_end_with_an_error_message(
    offline: Machine, words: tuple[bytes, ...], code: int
) -> None:
    ran = aish(offline, *words)
    assert (ran.returncode, ran.stdout) == (code, b"")
    said = ran.stderr.decode()
    assert said.strip() and "Traceback" not in said
    assert offline.run("apollo", "hi").returncode == 0


@pytest.mark.parametrize(("size", "limit"), [(5_000_000, "1048576 bytes"), (9_000_000, "8 MiB")])
def test_an_input_over_the_limit_is_rejected_with_the_limit(offline: Machine, size: int, limit: str) -> None:
    ran = aish(offline, b"apollo", stdin=b"x" * size)
    assert (ran.returncode, ran.stdout) == (2, b"")
    assert f"larger than {limit}" in ran.stderr.decode()


def test_a_message_of_the_largest_size_is_accepted(offline: Machine) -> None:
    assert aish(offline, b"apollo", stdin=b"\0" * 1_048_576).returncode == 0
    assert len(last_message(offline)) == 1_048_576


def test_a_script_of_any_bytes_ends_with_an_exit_code(offline: Machine, tmp_path: Path) -> None:
    script = tmp_path / "odd.aish"
    script.write_bytes(b"\xef\xbb\xbf\0\xff | | {\n'unclosed\n")
    ran = aish(offline, str(script).encode())
    assert ran.returncode != 0
    assert b"odd.aish:" in ran.stderr and b"Traceback" not in ran.stderr
