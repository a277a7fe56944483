"""A program in the user's terminal: keys, output, and how attaching ends."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aish.terminal.attach import Keys
from aish.terminal.tty import PLAIN
from tests.aish.attachable import Attachable, View, Window, window
from tests.aish.scripted import ScriptedHub, Shell, problem

CTRL_CLOSE = b"\x1d"
DETACHED = "Detached from box (aish tools attach box reattaches)\n"
NOT_RUNNING = problem(409, "not_running", "box does not run")


@contextmanager
def attached(aish: Shell, hub: ScriptedHub, *options: str) -> Iterator[tuple[Window, View, Attachable]]:
    """`aish` in a window, attached to the program `box`."""
    box = Attachable(hub, mode="r" if "-r" in options else "rw")
    with window(aish, "tools", "attach", "box", *options) as shown:
        view = box.view()
        shown.wait_until(shown.is_raw)
        yield shown, view, box


def test_keys_and_bytes_pass_unchanged_in_both_directions(aish: Shell, hub: ScriptedHub) -> None:
    with attached(aish, hub) as (shown, view, _):
        view.wait_for_size(30, 100)
        view.tell("replayed")
        view.show(b"\x1b[1m\x1b]0;title\x07raw \xff\x00 bytes")
        shown.wait_for("bytes")
        assert shown.shown.startswith(b"\x1b[999;1H" + b"\n" * 30 + b"\x1b[H\x1b[2J")
        assert b"\x1b[1m\x1b]0;title\x07raw \xff\x00 bytes" in shown.shown
        assert b"\x1b[30;1H\x1b[0;7m box  Ctrl-] detach \x1b[0m\x1b[K" in shown.shown
        keys = b"hi\r\x03\x1a\x1b[A\x04\xc3"
        shown.press(keys)
        view.wait(lambda view: view.keys == keys)


@pytest.mark.parametrize("pressed", [CTRL_CLOSE, b"\x1b[93;5u", b"\x1b[27;5;93~"])
def test_ctrl_bracket_detaches_and_restores_the_terminal(
    aish: Shell, hub: ScriptedHub, pressed: bytes
) -> None:
    with attached(aish, hub) as (shown, view, _):
        shown.press(b"last" + pressed)
        assert shown.wait_for_end() == 0
        view.wait(lambda view: view.closed == 1000)
        assert view.keys == b"last"
        assert shown.screen.endswith(f"{PLAIN.decode()}\x1b[999;1H\n{DETACHED}")
        assert not shown.is_raw()


def test_a_new_window_size_is_sent(aish: Shell, hub: ScriptedHub) -> None:
    with attached(aish, hub) as (shown, view, _):
        view.wait_for_size(30, 100)
        shown.resize(50, 132)
        view.wait_for_size(50, 132)
        assert [text["rows"] for text in view.said] == [29, 49]


@pytest.mark.parametrize(
    ("ended", "code", "said"),
    [
        ({"exit_code": 0, "signal": None}, 0, "box exited\n"),
        ({"exit_code": 7, "signal": None}, 1, "box exited with code 7\n"),
        ({"exit_code": None, "signal": 9}, 1, "box was killed by signal 9\n"),
    ],
)
def test_the_exit_of_the_program_is_printed(
    aish: Shell, hub: ScriptedHub, ended: dict[str, int | None], code: int, said: str
) -> None:
    with attached(aish, hub) as (shown, view, _):
        view.show(b"goodbye")
        view.tell("exited", **ended)
        view.close(1000)
        assert shown.wait_for_end() == code
        assert "goodbye" in shown.screen and shown.screen.endswith(f"\n{said}")
        assert not shown.is_raw()


def test_a_lost_program_is_a_failure(aish: Shell, hub: ScriptedHub) -> None:
    with attached(aish, hub) as (shown, view, _):
        view.tell("lost", reason="its host was killed")
        assert shown.wait_for_end() == 1
        assert shown.screen.endswith("\naish: lost the program box: its host was killed\n")


def test_a_host_that_does_not_answer_ends_the_view_with_a_hint(aish: Shell, hub: ScriptedHub) -> None:
    with attached(aish, hub) as (shown, view, _):
        view.close(1011, "host_silent")
        assert shown.wait_for_end() == 5
        hint = "end both with: aish tools terminate box --force\n"
        assert shown.screen.endswith(f"\naish: box: its host process does not answer\n{hint}")


@pytest.mark.parametrize(
    ("refused", "code", "said"),
    [
        (problem(404, "unknown_peer", "no", peer="box"), 3, "Error: Unknown CI or command: box\n"),
        (NOT_RUNNING, 1, "aish: box does not run\n"),
        (problem(403, "forbidden", "programs cannot type"), 4, "aish: programs cannot type\n"),
    ],
)
def test_a_rejected_attach_leaves_the_terminal_unchanged(
    aish: Shell, hub: ScriptedHub, refused: bytes, code: int, said: str
) -> None:
    hub.on("GET /ws/attach/box?mode=rw", refused)
    with window(aish, "tools", "attach", "box") as shown:
        assert (shown.wait_for_end(), shown.screen) == (code, said)


def test_a_read_only_view_sends_no_keys_and_ends_with_ctrl_c(aish: Shell, hub: ScriptedHub) -> None:
    with attached(aish, hub, "-r") as (shown, view, _):
        shown.press(b"nothing of this")
        for step in ("one", "two", "three"):  # the keys were read between them
            view.show(step.encode())
            shown.wait_for(step)
        shown.press(b"\x03")
        assert shown.wait_for_end() == 0
        view.wait(lambda view: view.closed == 1000)
        assert view.keys == b""


def test_the_view_ends_if_the_hub_forbids_keys(aish: Shell, hub: ScriptedHub) -> None:
    with attached(aish, hub) as (shown, view, _):
        view.close(4003, "only looked at")
        assert shown.wait_for_end() == 4
        assert shown.screen.endswith("\naish: box: only looked at\n")


@pytest.mark.parametrize("code", [1000, 1011])
def test_a_view_that_the_hub_closes_for_good_does_not_reconnect(
    aish: Shell, hub: ScriptedHub, code: int
) -> None:
    with attached(aish, hub) as (shown, view, _):
        view.close(code, "so")
        assert shown.wait_for_end() == 5
        assert shown.screen.endswith(f"\naish: the hub closed the connection to box: closed with {code} so\n")


def test_a_view_closed_as_too_slow_reconnects(aish: Shell, hub: ScriptedHub) -> None:
    with attached(aish, hub) as (shown, view, box):
        view.close(4008)
        second = box.view(1)
        second.wait_for_size(30, 100)
        second.show(b"drawn again")
        shown.wait_for("drawn again")
        shown.press(b"k")
        second.wait(lambda view: view.keys == b"k")
        assert PLAIN in shown.shown


def test_keys_typed_while_the_hub_is_away_are_sent_when_it_is_back(aish: Shell, hub: ScriptedHub) -> None:
    with attached(aish, hub) as (shown, view, _):
        hub.close()
        view.drop()
        shown.press(b"kept\r" + bytes(4091))
        shown.press(b"too much")
        shown.wait_for("\x07")  # input that does not fit is not lost silently
        hub.home.joinpath("hub.sock").unlink()
        restarted = ScriptedHub(hub.home)
        try:
            second = Attachable(restarted).view()
            second.wait(lambda view: len(view.keys) == 4096)
            assert second.keys == b"kept\r" + bytes(4091)
            second.wait_for_size(30, 100)
        finally:
            restarted.close()


def test_ctrl_bracket_detaches_while_the_hub_is_away(aish: Shell, hub: ScriptedHub) -> None:
    with attached(aish, hub) as (shown, view, _):
        hub.close()
        view.drop()
        shown.press(CTRL_CLOSE)
        assert shown.wait_for_end() == 0
        assert shown.screen.endswith(DETACHED)


def test_a_rejected_reconnect_is_not_repeated(aish: Shell, hub: ScriptedHub) -> None:
    box = Attachable(hub)
    hub.on(box.route, NOT_RUNNING)
    with window(aish, "tools", "attach", "box") as shown:
        box.view().drop()
        assert shown.wait_for_end() == 1
        assert shown.screen.endswith("\naish: box does not run\n")


def test_the_client_gives_up_if_the_hub_does_not_return(aish: Shell, hub: ScriptedHub) -> None:
    hasty = (
        "import aish.cli, aish.terminal.attach; aish.terminal.attach._RECONNECT_TIMEOUT = 0.3;"
        " exit(aish.cli.main())"
    )
    box = Attachable(hub)
    with window(aish, command=[sys.executable, "-c", hasty, "tools", "attach", "box"]) as shown:
        view = box.view()
        shown.wait_until(shown.is_raw)
        hub.close()
        view.drop()
        assert shown.wait_for_end() == 5
        assert shown.screen.endswith(
            "\naish: lost the connection to the hub; box keeps running (aish tools attach box reattaches)\n"
        )
        assert not shown.is_raw()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_terminal_is_restored_when_aish_is_killed_by_a_signal(
    aish: Shell, hub: ScriptedHub, number: signal.Signals
) -> None:
    with attached(aish, hub) as (shown, view, _):
        view.show(b"\x1b[?1049h\x1b[?1000h")
        shown.wait_for("\x1b[?1000h")
        os.kill(shown.process.pid, number)
        assert shown.wait_for_end() == -number
        shown.wait_for(PLAIN.decode())
        shown.wait_until(lambda: not shown.is_raw())


def test_without_a_terminal_the_view_is_read_only(aish: Shell, hub: ScriptedHub) -> None:
    box = Attachable(hub, mode="r")
    with aish.running("tools", "attach", "box", stdin=subprocess.PIPE) as process:
        box.view().show(b"\x1b[31mraw\xff")
        box.view().tell("exited", exit_code=3, signal=None)
        out, err = process.communicate(b"not keys")
        assert (process.returncode, out, err) == (
            1,
            b"\x1b[31mraw\xff",
            b"box exited with code 3\n",
        )
        assert (box.view().keys, box.view().said) == (b"", [])


def test_a_closed_pipe_ends_the_view_even_without_further_output(aish: Shell, hub: ScriptedHub) -> None:
    box = Attachable(hub, mode="r")
    with aish.running("tools", "attach", "box") as process:
        box.view().show(b"one line\n")
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == b"one line\n"
        process.stdout.close()
        assert (process.wait(20), process.stderr.read()) == (0, b"")


@pytest.mark.long
def test_the_prompt_still_gets_new_window_sizes_after_a_program(aish: Shell, hub: ScriptedHub) -> None:
    box = Attachable(hub)
    with window(aish) as shown:
        shown.wait_for("aish>")
        shown.wait_until(lambda: handles_resize(shown.process.pid))
        shown.press(b"tools attach box\r")
        view = box.view()
        view.wait_for_size(30, 100)
        shown.wait_until(lambda: not shown.attributes()[1] & termios.OPOST)
        shown.press(b"\x03k" + CTRL_CLOSE)
        shown.wait_for(DETACHED)
        view.wait(lambda view: view.keys == b"\x03k")
        shown.wait_until(lambda: "aish>" in shown.screen.rpartition(DETACHED)[2])
        shown.wait_until(lambda: handles_resize(shown.process.pid))
        shown.press(b"exit 4\r")
        assert shown.wait_for_end() == 4


def handles_resize(pid: int) -> bool:
    """Return whether the process has a handler for window size changes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    caught = next(line for line in lines if line.startswith("SigCgt:")).split()[1]
    return bool(int(caught, 16) >> (signal.SIGWINCH - 1) & 1)


FORMS = [
    (b"\x1d", True),
    (b"\x1b[93;5u", True),
    (b"\x1b[93;69u", True),  # with caps lock
    (b"\x1b[93;5:1u", True),
    (b"\x1b[93:125:93;133;29u", True),
    (b"\x1b[27;5;93~", True),
    (b"\x1b[93;5:3u", False),  # the key is released
    (b"\x1b[93;6u", False),  # with shift
    (b"\x1b[93u", False),
    (b"\x1b[27;3;93~", False),
    (b"\x1b[27;5;94~", False),
    (b"\x1b[24~", False),
    (b"\x1b", False),
]


@pytest.mark.parametrize(("typed", "leaves"), FORMS)
def test_ctrl_bracket_is_recognized_in_all_its_forms(typed: bytes, leaves: bool) -> None:
    keys = Keys()
    sent = keys.feed(b"a" + typed + b"b")
    assert (keys.has_detached, sent) == (leaves, b"a" if leaves else b"a" + typed + b"b")


@given(
    parts=st.lists(
        st.one_of(st.sampled_from([form for form, _ in FORMS]), st.binary(max_size=4)), max_size=8
    ),
    cuts=st.lists(st.integers(0, 60), max_size=8),
)
def test_any_chunking_of_keys_gives_the_same_result(parts: list[bytes], cuts: list[int]) -> None:
    typed = b"".join(parts)
    edges = [0, *sorted(cuts), max(len(typed), 60)]
    whole, cut = Keys(), Keys()
    expected = whole.feed(typed)
    sent = b"".join(cut.feed(typed[begin:end]) for begin, end in itertools.pairwise(edges))
    assert (sent, cut.held, cut.has_detached) == (expected, whole.held, whole.has_detached)


def test_bytes_that_only_begin_like_ctrl_bracket_are_passed_on() -> None:
    keys = Keys()
    assert (keys.feed(b"x\x1b"), keys.held, keys.release(), keys.held) == (b"x", b"\x1b", b"\x1b", b"")
    endless = b"\x1b[93;" + b"1" * 100
    assert keys.feed(endless) == endless
