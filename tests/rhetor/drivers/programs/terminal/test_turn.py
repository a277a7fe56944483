"""When a program in a terminal has answered, and the text of its answer: with simulated time, and with
real programs."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rhetor.drivers.programs.host.values import Reader
from rhetor.drivers.programs.status import Evidence
from rhetor.drivers.programs.terminal.message_input import Echo
from rhetor.drivers.programs.terminal.prompts import same_prompt
from rhetor.drivers.programs.terminal.screen import Screen
from rhetor.drivers.programs.terminal.turn import TerminalTurn
from tests.needs import needs
from tests.rhetor.codec.test_sse import cut
from tests.rhetor.drivers.programs.terminal.at_pty import Program, line_at_cursor

DATA = Path(__file__).parents[4] / "data" / "screens"
C, A, B = b"\x1b]133;C\x07", b"\x1b]133;A\x07", b"\x1b]133;B\x07"


def D(code: int) -> bytes:
    return b"\x1b]133;D;%d\x07" % code


# a line editor draws the typed text and space for its menu, moves back up, and redraws both at Enter
DRAWN_TWICE = (
    b"\x1b[11DIn [1]: 1+1" + b"\r\r\n" * 9 + b" \x1b[9A\x1b[10C\x1b[11D\x1b[JIn [1]: 1+1\x1b[11D\r\r\n\x1b[J"
    b"Out[1]: 2\r\n\r\nIn [2]: \x1b[8D" + b"In [2]: " + b"\r\r\n" * 5 + b" \x08\x1b[5A\x1b[8C"
)
QUIET = Evidence("quiet", "no output for 0.6 s")


def text_of(
    turn: TerminalTurn,
    pieces: Iterable[tuple[float, bytes]],
    screen: Screen | None = None,
    *,
    meanwhile: Reader | None = None,
    after: Reader | None = None,
) -> str:
    """Feed the pieces at their times, with ticks when they are due, then a minute of silence; return the
    text. `meanwhile`, `after`: what the program does about input until the last piece, and after it."""
    turn.started(0.0)
    said, at = "", 0.0
    for at, data in pieces:
        while turn.due is not None and turn.due < at:
            said += turn.tick(turn.due, meanwhile)
        if screen and not turn.ended:
            screen.feed(data)
        said += turn.received(data, at)
    while turn.due is not None and turn.due < at + 60:
        said += turn.tick(turn.due, after)
    return said


def test_with_marks_the_text_is_what_is_between_them() -> None:
    turn = TerminalTurn(b"ls", marks=True)
    stream = b"\x1b[?2004l\r\r\n" + C + b"a\r\nb\r\n" + D(3) + A + b"$ " + B
    turn.started(0.0)
    assert turn.received(stream, 1.0) == "a\nb\n"
    assert turn.ended == Evidence("mark", "the command has finished, exit 3", 3)


def test_with_marks_silence_within_a_command_does_not_end_the_turn() -> None:
    turn = TerminalTurn(b"make", marks=True, prompt="$ ")
    assert (
        text_of(turn, [(0.0, b"\r\n" + C + b"building\r\n"), (500.0, b"10%\r99%"), (900.0, b"\r\n")])
        == "building\n99%\n"
    )
    assert turn.ended is None
    assert text_of(turn, [(999.0, b"done" + D(0))]) == "done"


def test_each_line_is_given_when_it_ends() -> None:
    turn = TerminalTurn(b"x", marks=True)
    assert turn.received(b"\r\n" + C + b"one\r\ntw", 0.0) == "one\n"
    assert turn.received(b"o\r\n", 0.0) == "two\n"


def test_a_syntax_error_is_part_of_the_answer() -> None:
    turn = TerminalTurn(b"fi", marks=True, prompt="$ ")
    assert text_of(turn, [(0.0, b"\r\nsyntax error\r\n" + D(2) + A + b"$ ")]) == "syntax error\n"
    assert turn.ended and (turn.ended.kind, turn.ended.exit_code) == ("mark", 2)


def test_a_command_that_waits_for_input_ends_the_turn_with_its_question() -> None:
    turn = TerminalTurn(b"./ask", marks=True, prompt="$ ")
    question = b"\r\n" + C + b"hello\r\nname? "
    assert text_of(turn, [(1.0, question)], meanwhile="no", after="waits") == "hello\nname?"
    assert turn.ended == Evidence("waits", "it waits for input at 'name?'")
    assert turn.finish_reason == "stop"


def test_a_question_of_a_program_on_shared_input_ends_the_turn_by_silence() -> None:
    turn = TerminalTurn(b"ssh host", marks=True, prompt="$ ")
    assert text_of(turn, [(1.0, b"\r\n" + C + b"name? ")], after="shares") == "name?"
    assert turn.ended == Evidence("quiet", "no output for 4 s at 'name?'")
    assert turn.finish_reason == "silence"


@pytest.mark.parametrize("prompt", [None, "$ "])
@pytest.mark.parametrize("marks", [False, True])
def test_a_silent_program_that_does_not_read_input_is_working(prompt: str | None, marks: bool) -> None:
    turn = TerminalTurn(b"sleep 50", marks, prompt=prompt)
    begins = b"\r\n" + (C if marks else b"") + b"$ "
    assert text_of(turn, [(0.0, begins), (50.0, b"")], meanwhile="no", after="no") == ""
    assert turn.ended is None


@pytest.mark.parametrize(
    ("prompt", "shown", "reader", "kind", "reason"),
    [
        (None, b"", "waits", "waits", "stop"),
        (None, b"", "polls", "quiet", "silence"),
        (None, b"", "shares", "quiet", "silence"),
        (None, b"", None, "quiet", "silence"),
        (None, b"> ", "polls", "prompt", "stop"),
        ("> ", b"", "waits", "waits", "stop"),
        ("> ", b"", "polls", "", "stop"),
        ("> ", b"name? ", "shares", "quiet", "silence"),
        ("> ", b"", "shares", "", "stop"),
        ("> ", b"> ", "shares", "prompt", "stop"),
        ("> ", b"> ", None, "prompt", "stop"),
        ("> ", b"... ", "polls", "prompt", "stop"),
        ("> ", b"..... ", "polls", "prompt", "stop"),
        ("> ", b". . . . ", "polls", "prompt", "stop"),
        ("> ", b".....", "polls", "", "stop"),
        ("name: (x) ", b"version: (1) ", "polls", "prompt", "stop"),
        ("name: (x) ", b"working", "shares", "quiet", "silence"),
    ],
)
def test_without_marks_the_strongest_evidence_ends_the_turn(
    prompt: str | None, shown: bytes, reader: Reader | None, kind: str, reason: str
) -> None:
    turn = TerminalTurn(b"go", prompt=prompt)
    text_of(turn, [(0.0, b"\r\nanswer\r\n" + shown)], after=reader)
    assert (turn.ended.kind if turn.ended else "", turn.finish_reason) == (kind, reason)


def test_several_typed_lines_end_with_the_last_command() -> None:
    turn = TerminalTurn(b"echo a\necho b", marks=True, echoed=False)
    first = b"echo a\r\n" + C + b"a\r\n" + D(0) + A + b"$ " + B
    then = b"echo b\r\n" + C + b"b\r\n" + D(1)
    assert text_of(turn, [(0.0, first), (0.04, then)]) == "a\nb\n"
    assert turn.ended == Evidence("mark", "the command has finished, exit 1", 1)


@pytest.mark.parametrize(
    ("prompt", "typed", "stream", "text"),
    [
        (">>> ", b"1+1", b"\r\n2\r\n>>> ", "2\n"),
        ("In [3]: ", b"1+1", b"\r\nOut[3]: 2\r\n\r\nIn [4]: ", "Out[3]: 2\n\n"),
        ("user@host:~/a$ ", b"cd ../b", b"\r\nuser@host:~/b$ ", ""),
        ("(gdb) ", b"p 1", b"\r\n$1 = 1\r\n(gdb) ", "$1 = 1\n"),
        ("sqlite> ", b"select 1;", b"\r\n1\r\nsqlite> ", "1\n"),
        (
            "\x1b[1m$ ".replace("\x1b[1m", ""),
            b"x",
            b"\r\n\x1b[32mok\x1b[0m\r\n\x1b[?2004h\x1b[1m$ \x1b[0m",
            "ok\n",
        ),
        ("> ", b"abc", b"\r> abc\x1b[K\r\nanswer\r\n> ", "answer\n"),  # redrawn at Enter
        ("In [1]: ", b"1+1", DRAWN_TWICE, "Out[1]: 2\n\n"),
        ("root@vm ~# ", b"ls /x", b"\r\nls: no\r\nroot@vm ~ [2]# ", "ls: no\n"),
    ],
)
def test_without_marks_the_known_prompt_ends_the_turn(
    prompt: str, typed: bytes, stream: bytes, text: str
) -> None:
    turn = TerminalTurn(typed, prompt=prompt)
    turn.started(0.0)
    said = turn.received(stream, 5.0)
    assert turn.due == pytest.approx(5.05)
    assert said + turn.tick(5.05) == text
    assert turn.ended and turn.ended.kind == "prompt" and prompt.strip()[:2] in turn.ended.detail


def test_a_late_echo_is_left_out_of_the_answer() -> None:
    turn = TerminalTurn(b"for i in x:\n  print(i)\n", prompt=">>> ", echoed=False)
    stream = b">>> for i in x:\r\n...   print(i)\r\n... \r\n1\r\n2\r\n>>> "
    assert text_of(turn, [(0.0, stream)]).splitlines()[-2:] == ["1", "2"]
    assert turn.ended and turn.ended.kind == "prompt"


def test_a_continuation_prompt_after_a_late_echo_ends_the_turn() -> None:
    turn = TerminalTurn(b"{", prompt="> ", echoed=False)
    assert text_of(turn, [(0.0, b"{\r\n..... ")], after="polls") == ""
    assert turn.ended and turn.ended.kind == "prompt"


def test_an_answer_equal_to_the_end_of_the_message_is_not_its_echo() -> None:
    screen = Screen(24, 80)
    assert (
        text_of(TerminalTurn(b"say two", prompt="> ", screen=screen), [(0.0, b"two\r\n")], screen) == "two\n"
    )
    long = b"say " + b"x" * 80 + b" two"
    assert (
        text_of(TerminalTurn(long, prompt="> ", screen=screen), [(0.0, b"two\r\nok\r\n")], screen) == "ok\n"
    )


def test_an_answer_that_repeats_the_message_is_not_an_echo() -> None:
    assert text_of(TerminalTurn(b"hello"), [(0.0, b"\r\nhello\r\n")]) == "hello\n"
    assert text_of(TerminalTurn(b"hello", echoed=False), [(0.0, b"hello\r\nhello\r\n")]) == "hello\n"


def test_without_marks_and_a_prompt_silence_ends_the_turn() -> None:
    turn = TerminalTurn(b"go")
    assert text_of(turn, [(3.0, b"\r\nthink"), (3.5, b"ing"), (4.0, b"...\r\ndone")]) == "thinking...\ndone"
    assert turn.ended == QUIET
    assert QUIET.detail.endswith("0.6 s")  # detected less than 0.7 s after the last byte


def test_the_end_of_the_program_ends_the_turn() -> None:
    turn = TerminalTurn(b"exit", marks=True)
    turn.started(0.0)
    assert turn.received(b"\r\n" + C + b"bye", 0.0) + turn.exited(None, 15, 1.0) == "bye"
    assert turn.ended == Evidence("exit", "the program was ended by signal 15", None, 15)


def test_a_spinner_keeps_a_turn_alive_and_leaves_one_line() -> None:
    spin = [(at / 10, b"\r" + b"|/-\\"[at % 4 : at % 4 + 1]) for at in range(100)]
    turn = TerminalTurn(b"x")
    assert text_of(turn, [(0.0, b"\r\n"), *spin, (10.0, b"\rdone\r\n")]) == "done\n"
    assert turn.ended == QUIET


def drawn(*rows: str) -> bytes:
    return b"\x1b[H" + b"".join(row.encode() + b"\x1b[K\r\n" for row in rows)


def test_the_answer_of_a_full_screen_program_is_what_is_new_on_its_screen() -> None:
    screen = Screen(8, 30)
    screen.feed(b"\x1b[?1049h" + drawn("My agent", "> say hi", "────", "tokens: 10"))
    turn = TerminalTurn(b"say hi", screen=screen)
    frames = [
        (0.1, drawn("My agent", "> say hi", "⠋ esc to interrupt", "tokens: 11")),
        (4.0, drawn("My agent", "> say hi", "⠙ esc to interrupt", "tokens: 12")),
        (4.5, drawn("My agent", "> say hi", "● hi", "", "  there", "────", "> ", "tokens: 99")),
        # redrawn without a change, which is not a sign of work
        *((5.0 + at / 10, b"\x1b[?2026h\x1b[3;1H\x1b[?25h\x1b[?2026l") for at in range(20)),
    ]
    assert text_of(turn, frames, screen) == "● hi\n\n  there"
    assert turn.full_screen and turn.ended and turn.ended.kind == "quiet"
    assert turn.last_output and turn.last_output < 5.2


def test_a_line_of_a_full_screen_that_repeats_the_message_is_in_the_answer() -> None:
    screen = Screen(4, 60)
    screen.feed(b"\x1b[?1049h" + drawn("a file"))
    turn = TerminalTurn(b"/golf hotel", screen=screen)
    assert text_of(turn, [(0.1, drawn("golf hotel", "golf india"))], screen) == "golf hotel\ngolf india"


def test_the_status_on_the_bottom_row_of_a_full_screen_is_not_in_the_answer() -> None:
    screen = Screen(2, 40)
    status = "     1,1    Top"
    screen.feed(b"\x1b[?1049h\x1b[Htext\r\n" + b"file      " + status.encode())
    before = screen.text()
    for shown, answer in (("E492: no", "E492: no"), (":echo 1", "")):
        screen.feed(b"\x1b[2;1H\x1b[K:echo 1")
        turn = TerminalTurn(b":echo 1", screen=screen, before=before)
        assert text_of(turn, [(0.1, f"\x1b[2;1H{shown:<10}{status}".encode())], screen) == answer
    turn = TerminalTurn(b":", screen=screen, before=before)
    assert text_of(turn, [(0.1, b"\x1b[2;1H\x1b[Kone            12,3-5")], screen) == "one"


def test_text_that_a_full_screen_program_shows_before_enter_is_in_the_answer() -> None:
    screen = Screen(4, 40)
    screen.feed(b"\x1b[?1049h" + drawn("a list", "> "))
    before = screen.text()
    screen.feed(drawn("the files", "> l"))
    turn = TerminalTurn(b"l", screen=screen, before=before)
    assert text_of(turn, [(0.1, drawn("the files", "one", "> "))], screen) == "the files\none"


def test_text_that_scrolled_off_the_screen_is_in_the_answer() -> None:
    screen = Screen(6, 30)
    screen.feed(b"\x1b[1;1Hagent\r\n> count")
    turn = TerminalTurn(b"count", screen=screen)
    stream = (
        b"\x1b[2;1H> count\r\n"
        + b"".join(b"line %c\r\n" % (65 + at) for at in range(20))
        + b"\x1b[6;1H\x1b[6;1H"
    )
    assert text_of(turn, [(0.0, stream)], screen).splitlines() == [f"line {chr(65 + at)}" for at in range(20)]


STREAMS = st.lists(
    st.sampled_from(
        [
            b"\r\n", b"\r", b"ab", b"1", b"$ ", b">>> ", b"\x1b[K", b"\x1b[3D", b"\b", b"\x1b[31m",
            "é日".encode(), A, B,
            C, D(0), D(7), b"typed", b"x" * 30, b"\xff",
        ]
    ),
    max_size=12,
).map(b"".join)  # fmt: skip
TIMED = st.lists(st.tuples(st.floats(0, 1), STREAMS), max_size=5)


@given(
    TIMED,
    st.lists(st.integers(0, 1 << 16), max_size=6),
    st.booleans(),
    st.sampled_from([None, "$ ", ">>> "]),
    st.booleans(),
    st.sampled_from([b"typed", b"typed\nab", b""]),
)
def test_any_chunking_gives_the_same_text_and_end(
    steps: list[tuple[float, bytes]],
    places: list[int],
    marks: bool,
    prompt: str | None,
    echoed: bool,
    typed: bytes,
) -> None:
    timed = [(sum(step for step, _ in steps[: index + 1]), data) for index, (_, data) in enumerate(steps)]
    pieces = [(at, piece) for at, data in timed for piece in cut(data, places)]
    bytewise = [(at, bytes((byte,))) for at, data in timed for byte in data]
    results = []
    for form in (timed, pieces, bytewise):
        turn = TerminalTurn(typed, marks, prompt=prompt, echoed=echoed)
        results.append((text_of(turn, form), turn.ended))
    assert results[1] == results[0] and results[2] == results[0]


@pytest.mark.parametrize(("name", "begin"), [("codex", b"state=working"), ("gemini", b"hello tui")])
def test_the_answer_of_a_recorded_agent_is_found(name: str, begin: bytes) -> None:
    """This includes programs that keep drawing after their answer."""
    stream = (DATA / f"tui_{name}.raw").read_bytes()
    at = stream.index(begin)
    screen = Screen(30, 110)
    screen.feed(stream[:at])
    turn = TerminalTurn(b"hello tui", screen=screen)
    text = text_of(turn, [(0.0, stream[at:])], screen)
    assert "Stub reply #1 to: hello tui" in text
    assert "shortcuts" not in text and "\n› hello" not in text and "> hello" not in text


PROGRAMS = {
    "bash": (["bash", "--norc", "--noprofile"], {"PS1": "$ "}, "$ ", "echo one; echo two", "one\ntwo\n"),
    "gdb": (["gdb", "-q", "-nx"], {}, "(gdb) ", "print 6*7", "$1 = 42\n"),
    "sqlite3": (["sqlite3"], {}, "sqlite> ", "select 6*7, 'x';", "42|x\n"),
    "python": ([sys.executable, "-q"], {"PYTHON_BASIC_REPL": "1"}, ">>> ", "print(6*7)", "42\n"),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_prompts_of_real_programs_end_their_turns(name: str, tmp_path: Path) -> None:
    argv, env, prompt, text, answer = PROGRAMS[name]
    needs(argv[0])
    screen = Screen(24, 40)
    with Program(argv, {"HOME": str(tmp_path), **env}, cols=40) as program:
        program.read_until(lambda: line_at_cursor(screen) == prompt, screen)
        for _ in range(2):
            said, turn = program.say(text, screen, marks=False, prompt=prompt)
            assert turn.ended and turn.ended.kind == "prompt"
            assert said.replace("$2", "$1") == answer


def test_a_real_program_without_a_prompt_has_answered_when_it_waits_for_input() -> None:
    screen = Screen()
    with Program(["cat"]) as program:
        said, turn = program.say("hello", screen, marks=False, prompt="")
        assert (said, turn.ended) == ("hello\n", Evidence("waits", "it waits for input"))


@pytest.mark.parametrize(
    ("line", "prompt", "same"),
    [
        (">>> ", ">>> ", True),
        (">>>", ">>> ", True),
        ("... ", ">>> ", False),
        ("In [12]: ", "In [3]: ", True),
        ("u@h:/usr/lib$ ", "u@h:~$ ", True),
        ("u@h:/usr/lib# ", "u@h:~$ ", False),
        ("root@vm ~ [2]# ", "root@vm ~# ", True),
        ("root@vm ~# ", "root@vm ~ [SIGINT]# ", True),
        ("u@h ~/repo (main)> ", "u@h ~> ", True),
        ("u@h ~> cat >", "u@h ~> ", False),
        ("postgres-# ", "postgres=# ", False),
        ("ab [2]$ ", "a$ ", False),
        ("$ ls", "$ ", False),
        ("", "", False),
        ("x", "", False),
    ],
)
def test_prompts_that_differ_only_in_numbers_and_paths_match(line: str, prompt: str, same: bool) -> None:
    assert same_prompt(line, prompt) is same


# whether the typed text was echoed


@given(st.text(min_size=1, max_size=300), st.lists(st.integers(0, 1 << 16), max_size=6))
def test_a_plain_echo_is_recognized_in_any_chunking(text: str, places: list[int]) -> None:
    stream = "".join(
        f"^{chr(ord(char) ^ 0x40)}" if (char < " " and char not in "\t\n\r\v\f") or char == "\x7f" else char
        for char in text
    )
    shown = "".join(char for char in stream if not "\x80" <= char <= "\x9f").encode("utf-8", "replace")
    wanted = "".join(
        char for char in text if not "\x80" <= char <= "\x9f" and not "\ud800" <= char <= "\udfff"
    )
    echo = Echo(wanted)
    for piece in cut(shown, places):
        echo.feed(piece)
    assert echo.seen


@pytest.mark.parametrize(
    ("text", "stream", "seen"),
    [
        ("hello", b"hel", False),
        ("hello", b"$ hel\x1b[7mlo\x1b[27m", True),  # a highlighted paste
        ("hello", b"help", False),
        ("hello", b"h e1llo", False),
        ("a\x01b", b"a^Ab", True),
        ("x" * 100 + "end", b"x" * 80 + b"x \rx" + b"x" * 19 + b"end", True),  # wrapped by a line editor
        ("hello world", "│ hello │\r\n│ world │".encode(), True),
        ("hello world", b"\x1b[5;3Hhello\x1b[6;3Hworld", True),
        ("a\nb\nc\nd", b"[Pasted text #1 +4 lines]", True),
        ("/a b\n/c", b"\r/ \x08a\x08a b\r\x1b[K\x1b[1;1Htext\r\n:\r\x1b[K/\x1b[Kc", True),  # like `less`
        ("/a b\n/c", b"\r/ \x08a\x08a b\r\x1b[K\x1b[1;1Htext\r\n:\r\x1b[K/\x1b[K", False),
        ("short", b"[Pasted text #1 +4 lines]", False),
        ("the quick brown fox jumps over", b"the quick bro\x1b[2;1Hbrown fox jum\x1b[3;1Hjumps over", True),
        ("the quick brown fox jumps over", b"over jumps fox brown quick the", False),
        ("y" * 5000 + "tail", b"...<" + b"y" * 300 + b"tail", True),  # the end of the text is enough
        (" \n ", b"", True),
        ("", b"", True),
    ],
)
def test_echoes_of_many_programs_are_recognized(text: str, stream: bytes, seen: bool) -> None:
    whole, bytewise = Echo(text), Echo(text)
    whole.feed(stream)
    for byte in stream:
        bytewise.feed(bytes((byte,)))
    assert (whole.seen, bytewise.seen) == (seen, seen)


def test_an_echo_is_recognized_on_the_screen() -> None:
    echo = Echo("hello world, this is long")
    echo.look(["╭──────────╮", "│ > hello w│", "│ orld, thi│"])
    assert not echo.seen
    echo.look(["│ > hello w│", "│ orld, thi│", "│ s is long│"])
    assert echo.seen


def test_the_echo_of_a_long_line_in_a_real_line_editor_is_recognized(tmp_path: Path) -> None:
    screen = Screen(24, 40)
    env = {"HOME": str(tmp_path), "PS1": "$ "}
    with Program(["bash", "--norc", "--noprofile"], env, cols=40) as program:
        program.read_until(lambda: line_at_cursor(screen) == "$ ", screen)
        words = " ".join(f"word{number}" for number in range(60))
        said, _ = program.say(f"echo {words}", screen, marks=False, prompt="$ ")
        assert said == words + "\n"
