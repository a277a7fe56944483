"""Permission requests that are answered where they appear: on the terminal of the turn, by a single key."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import time
from typing import Any

import pytest

from rhetor.domain.budget import Budget
from rhetor.domain.event import PermissionOption
from rhetor.domain.output import Done, Permission, Text, Usage, Withdrawn
from rhetor.domain.questions import Choice, Question
from rhetor.domain.quota import reset_time
from rhetor.errors import RateLimited
from tests.aish.pseudo_terminal import Terminal, at_terminal
from tests.aish.scripted import Shell
from tests.scripted import ScriptedConversation
from tests.served import Served, served

pytestmark = pytest.mark.anyio
XTERM = "xterm-256color"
ONCE = PermissionOption("once", "Allow once", "allow_once")
ALWAYS = PermissionOption("always", "Always allow Bash(ls:*) (session)", "allow_always")
DENY = PermissionOption("deny", "Deny", "reject_once")
STOP = PermissionOption("stop", "Decline and end the turn", "reject_once")
MOVES = re.compile(r"\r(?!\n)|\x1b\[[\d;?]*[^\d;?m]|\x1b[^\[]")  # the cursor, or erases something
KEYS = "[y] allow once  [a] allow always  [n] deny  [d] details"
HEAD = ["⏸ apollo asks to use Bash", "  ls -l", "  [a] Always allow Bash(ls:*) (session)"]


def asks(id: str = "r_1", *options: PermissionOption, **more: Any) -> Permission:
    fields = {"tool": "Bash", "detail": {"command": "ls -l"}} | more
    return Permission(id, options=options or (ONCE, ALWAYS, DENY), **fields)


class Answers:
    """The answers that scripted peers get. Each of them lets its turn continue."""

    def __init__(self) -> None:
        self._given: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
        self._gates: dict[str, asyncio.Event] = {}

    def to(self, request: Permission, then: str = "It is done.") -> list[Any]:
        """Return a script that asks and waits for the answer."""
        gate = self._gates[request.request_id] = asyncio.Event()
        return [request, gate, Text(then), Done()]

    async def answer(self, conversation: ScriptedConversation, id: str, value: Any) -> None:
        self._given.put_nowait((id, value))
        self._gates[id].set()

    async def next(self) -> tuple[str, Any]:
        return await asyncio.wait_for(self._given.get(), 30)

    @property
    def is_empty(self) -> bool:
        return self._given.empty()


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Answers:
    made = Answers()

    async def answer(self: ScriptedConversation, id: str, value: Any) -> None:
        await made.answer(self, id, value)

    monkeypatch.setattr(ScriptedConversation, "answer", answer)
    return made


@asynccontextmanager
async def asked(
    aish: Shell,
    home: Path,
    *scripts: Any,
    last: str = KEYS,
    words: tuple[str, ...] = ("apollo", "go"),
    **more: Any,
) -> AsyncIterator[tuple[Served, Terminal]]:
    """Run a turn up to its request, whose last row is `last`."""
    async with served(home, *scripts, seconds=60) as hub:
        with at_terminal(aish, *words, term=XTERM, echo=True, **more) as terminal:
            await asyncio.to_thread(terminal.wait_for_rows, last)
            yield hub, terminal


async def press(terminal: Terminal, keys: str) -> None:
    """Press keys when whatever was typed before was dropped."""
    await asyncio.to_thread(terminal.read_for, 0.4)
    terminal.type(keys)


async def end(terminal: Terminal) -> int:
    return await asyncio.to_thread(terminal.wait_for_end)


@pytest.mark.long
@pytest.mark.parametrize(("columns", "rows"), [(40, 15), (80, 24), (200, 50)])
@pytest.mark.parametrize(
    ("key", "option", "shown"),
    [
        ("y", "once", "✓ apollo: allow once"),
        ("a", "always", "✓ apollo: allow always"),
        ("n", "deny", "✗ apollo: deny"),
    ],
)
async def test_a_request_is_answered_in_place_by_a_key(
    aish: Shell, home: Path, answers: Answers, key: str, option: str, shown: str, columns: int, rows: int
) -> None:
    last = KEYS if columns > 60 else "[n] deny  [d] details"
    script = answers.to(asks())
    async with asked(aish, home, script, rows=rows, columns=columns, last=last) as (_, terminal):
        choices = [KEYS] if columns > 60 else ["[y] allow once  [a] allow always", last]
        assert terminal.rows == [*HEAD, *choices]
        assert terminal.bells == 1
        terminal.resize(rows - 3, columns + 3)
        await press(terminal, key)
        assert await answers.next() == ("r_1", option)
        assert await end(terminal) == 0
    assert terminal.all_rows == [*HEAD, shown, "It is done."]


async def test_text_never_answers_a_request(aish: Shell, home: Path, answers: Answers) -> None:
    """Neither what was typed before the request, nor what is typed while it is shown."""
    ready = asyncio.Event()
    async with served(home, [ready, *answers.to(asks())], seconds=60):
        with at_terminal(aish, "apollo", "go", term=XTERM, echo=True) as terminal:
            await asyncio.to_thread(terminal.wait_for_last, r". apollo  \d s")
            terminal.type("yes\ry")
            ready.set()
            await asyncio.to_thread(terminal.wait_for_rows, KEYS)
            await press(terminal, "yes\r")
            await asyncio.to_thread(terminal.read_for, 0.6)
            for char in "yay\r":  # typed quickly
                terminal.type(char)
                await asyncio.to_thread(terminal.read_for, 0.05)
            await press(terminal, "\x1b[A")
            await asyncio.to_thread(terminal.read_for, 0.6)
            assert answers.is_empty
            assert terminal.rows == [*HEAD, KEYS]
            await press(terminal, "n")
            assert await answers.next() == ("r_1", "deny")
            assert await end(terminal) == 0


@pytest.mark.long
async def test_a_request_in_a_pipeline_is_answered_on_the_controlling_terminal(
    aish: Shell, home: Path, tmp_path: Path, answers: Answers
) -> None:
    line = "/bin/echo one | apollo | /bin/cat"
    with (tmp_path / "out").open("wb") as out:
        words = ("-c", line)
        async with asked(aish, home, answers.to(asks()), words=words, stdout=out.fileno()) as (_, terminal):
            await press(terminal, "y")
            assert await answers.next() == ("r_1", "once")
            assert await end(terminal) == 0
    assert (tmp_path / "out").read_text() == "It is done.\n"


@pytest.mark.long
async def test_a_request_at_the_prompt_and_in_a_conversation_is_answered_there(
    aish: Shell, home: Path, answers: Answers
) -> None:
    async with served(home, answers.to(asks()), answers.to(asks("r_2")), seconds=60):
        for words, line, id in (((), "apollo go", "r_1"), (("-i", "apollo"), "go", "r_2")):
            prompt = "apollo>" if words else "aish>"
            with at_terminal(aish, *words, term=XTERM, echo=True) as terminal:
                await asyncio.to_thread(terminal.wait_for_rows, prompt)
                terminal.type(f"{line}\r")
                await asyncio.to_thread(terminal.wait_for_rows, *HEAD, KEYS)
                await press(terminal, "y")
                assert await answers.next() == (id, "once")
                await asyncio.to_thread(
                    terminal.wait_for_rows, *HEAD, "✓ apollo: allow once", "It is done.", prompt
                )
                terminal.type("\x04")
                assert await end(terminal) == 0


@pytest.mark.long
async def test_requests_of_a_broadcast_are_asked_one_after_the_other(
    aish: Shell, home: Path, answers: Answers
) -> None:
    scripts = [answers.to(asks("r_1"), "One."), answers.to(asks("r_2"), "Two.")]
    async with asked(aish, home, *scripts, words=("apollo,athena", "go")) as (_, terminal):
        assert sum("asks to use" in row for row in terminal.rows) == 1
        await press(terminal, "y")
        first, option = await answers.next()
        await asyncio.to_thread(
            terminal.wait_for_screen,
            lambda rows: rows[-1:] == [KEYS] and sum("asks to" in r for r in rows) == 2,
        )
        await press(terminal, "n")
        second, refusal = await answers.next()
        assert ({first, second}, option, refusal) == ({"r_1", "r_2"}, "once", "deny")
        assert await end(terminal) == 0


@pytest.mark.long
async def test_a_request_that_is_answered_elsewhere_is_no_longer_asked(
    aish: Shell, home: Path, answers: Answers
) -> None:
    async with asked(aish, home, answers.to(asks())) as (hub, terminal):
        assert (await asyncio.to_thread(aish, "approve", "r_1")).code == 0
        assert await end(terminal) == 0
        assert terminal.rows == [*HEAD, "✓ apollo: Bash was answered elsewhere: allow once", "It is done."]
    assert (await answers.next())[1] == "once"
    del hub


@pytest.mark.long
async def test_a_request_that_is_withdrawn_is_no_longer_asked(aish: Shell, home: Path) -> None:
    gone = asyncio.Event()
    script = [asks(), gone, Withdrawn("r_1"), Text("Never mind."), Done()]
    async with asked(aish, home, script) as (_, terminal):
        gone.set()
        assert await end(terminal) == 0
        assert terminal.rows == [*HEAD, "apollo: Bash was withdrawn", "Never mind."]


@pytest.mark.long
async def test_ctrl_c_interrupts_the_turn_that_asks(aish: Shell, home: Path, answers: Answers) -> None:
    async with asked(aish, home, answers.to(asks())) as (_, terminal):
        terminal.type("\x03")
        assert await end(terminal) == 130
        assert answers.is_empty


@pytest.mark.long
async def test_an_edit_is_shown_as_a_diff(aish: Shell, home: Path, tmp_path: Path, answers: Answers) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("one\ntwo\nthree\n")
    whole = {"file_path": str(file), "content": "one\n2\nthree\n"}
    part = {"file_path": "a.py", "old_string": "x = 1", "new_string": "x = 2", "replace_all": True}
    acp = {"rawInput": {}, "content": [{"type": "diff", "path": "b.py", "oldText": None, "newText": "new"}]}
    codex = {"changes": [{"path": "c.py", "diff": "@@ -1 +1 @@\n-a\n+b\n"}]}
    details = [{"input": whole}, {"input": part}, {"toolCall": acp}, codex]
    scripts = [answers.to(asks(f"r_{n}", detail=detail, tool="Edit")) for n, detail in enumerate(details)]
    expected = [
        [f"  {file}", "  │ @@ -1,3 +1,3 @@", "  │  one", "  │ -two", "  │ +2", "  │  three"],
        ["  a.py", "  │ @@ -1 +1 @@", "  │ -x = 1", "  │ +x = 2", "  replace_all: true"],
        ["  b.py", "  │ @@ -0,0 +1 @@", "  │ +new"],
        ["  c.py", "  │ @@ -1 +1 @@", "  │ -a", "  │ +b"],
    ]
    async with served(home, *scripts, seconds=60):
        for rows in expected:
            with at_terminal(aish, "apollo", "go", term=XTERM, columns=200) as terminal:
                await asyncio.to_thread(terminal.wait_for_rows, KEYS)
                assert terminal.rows[1:-2] == rows
                assert terminal.colour_of("│ @@") == "default"
                await press(terminal, "y")
                assert await end(terminal) == 0


@pytest.mark.long
async def test_only_offered_options_have_keys_and_further_ones_have_digits(
    aish: Shell, home: Path, answers: Answers
) -> None:
    request = asks("r_1", ONCE, DENY, STOP, detail={"command": "ls", "cwd": "/srv"})
    last = "[y] allow once  [1] Decline and end the turn  [n] deny  [d] details"
    async with asked(aish, home, answers.to(request), last=last) as (_, terminal):
        assert terminal.rows[1:3] == ["  command: ls", "  cwd: /srv"]
        await press(terminal, "a")
        await press(terminal, "d")
        await asyncio.to_thread(terminal.wait_for_screen, lambda rows: '    "cwd": "/srv"' in rows)
        assert "  stop: Decline and end the turn (reject_once)" in terminal.rows
        assert answers.is_empty
        await press(terminal, "1")
        assert await answers.next() == ("r_1", "stop")
        assert await end(terminal) == 0


@pytest.mark.long
async def test_questions_are_answered_with_digits_or_a_text(
    aish: Shell, home: Path, answers: Answers
) -> None:
    colours = (Choice("Red", "like a rose"), Choice("Blue"), Choice("Green"))
    questions = (
        Question("colour", "Colour", "Which colour?", colours),
        Question("sizes", "Sizes", "Which sizes?", (Choice("S"), Choice("M")), True),
        Question("name", "Name", "What is it called?"),
    )
    request = asks("r_1", PermissionOption("answer", "Answer", "allow_once"), DENY, questions=questions)
    first = "[1] Red  [2] Blue  [3] Green  [t] type an answer  [n] do not answer"
    async with asked(aish, home, answers.to(request), last=first) as (_, terminal):
        assert terminal.rows[:3] == ["⏸ apollo asks", "  Which colour?", "  [1] like a rose"]
        await press(terminal, "2")
        await asyncio.to_thread(
            terminal.wait_for_rows, "[1] ☐ S  [2] ☐ M  [t] type an answer  [n] do not answer"
        )
        await press(terminal, "2")
        await asyncio.to_thread(
            terminal.wait_for_rows, "[1] ☐ S  [2] ☑ M  [⏎] send  [t] type an answer  [n] do not answer"
        )
        await press(terminal, "\r")
        await asyncio.to_thread(terminal.wait_for_rows, "[t] type an answer  [n] do not answer")
        await press(terminal, "t")
        await asyncio.to_thread(terminal.wait_for_rows, "  >")
        terminal.type("Ada y\x7f\x7f\r")
        assert await answers.next() == ("r_1", {"colour": ["Blue"], "sizes": ["M"], "name": "Ada"})
        assert await end(terminal) == 0
        assert "✓ apollo: colour=Blue · sizes=M · name=Ada" in terminal.rows


@pytest.mark.long
async def test_on_a_dumb_terminal_requests_and_questions_are_answered_in_place_as_plain_lines(
    aish: Shell, home: Path, answers: Answers
) -> None:
    questions = (
        Question("sizes", "Sizes", "Which sizes?", (Choice("S"), Choice("M")), True),
        Question("name", "Name", "What is it called?"),
    )
    ask = asks("r_2", ONCE, DENY, questions=questions)
    async with served(home, answers.to(asks()), answers.to(ask), seconds=60):
        with at_terminal(aish, "apollo", "go", term="dumb") as terminal:
            await asyncio.to_thread(terminal.wait_for_rows, KEYS)
            await press(terminal, "yes\r")
            await press(terminal, "y")
            assert await answers.next() == ("r_1", "once")
            assert await end(terminal) == 0
        assert terminal.all_rows == [*HEAD, KEYS, "✓ apollo: allow once", "It is done."]
        assert not MOVES.search(terminal.screen)
        with at_terminal(aish, "apollo", "go", term="dumb") as terminal:
            await asyncio.to_thread(terminal.wait_for_last, r"\[1\] ☐ S  \[2\] ☐ M  \[t\] type an answer.*")
            chosen = r"\[1\] ☑ S  \[2\] ☐ M  \[⏎\] send.*"
            for key, shown in (("1", chosen), ("\r", r"\[t\].*"), ("t", r"  >")):
                await press(terminal, key)
                await asyncio.to_thread(terminal.wait_for_last, shown)
            terminal.type("Ada\r")
            assert await answers.next() == ("r_2", {"sizes": ["S"], "name": "Ada"})
            assert await end(terminal) == 0
        assert terminal.all_rows[-2:] == ["✓ apollo: sizes=S · name=Ada", "It is done."]
        assert not MOVES.search(terminal.screen)


@pytest.mark.long
async def test_a_paused_turn_is_continued_in_place(aish: Shell, home: Path) -> None:
    limit = RateLimited("no more today", retryable=True, resets_at=reset_time(time() + 3600))
    async with served(home, [limit], [Text("Here."), Done()], seconds=60):
        with at_terminal(aish, "apollo", "go", term=XTERM, columns=120) as terminal:
            await asyncio.to_thread(
                terminal.wait_for_last, r".*\[1\] Try again now.*\[n\] Stop  \[d\] details"
            )
            assert terminal.rows[0].startswith("⏸ apollo is paused until ")
            await press(terminal, "1")
            assert await end(terminal) == 0
            assert terminal.rows[-2:] == ["✓ apollo: Try again now", "Here."]


@pytest.mark.long
async def test_a_message_to_a_peer_that_asks_answers_nothing(
    aish: Shell, home: Path, answers: Answers
) -> None:
    async with asked(aish, home, answers.to(asks())) as (_, terminal):
        for text in ("y", "yes", "r_1 once"):
            assert (await asyncio.to_thread(aish, "apollo", text)).out == f"apollo heard: {text}\n"
        assert answers.is_empty and terminal.rows[-1] == KEYS
        await press(terminal, "n")
        assert await answers.next() == ("r_1", "deny")
        assert await end(terminal) == 0


@pytest.mark.long
async def test_a_turn_that_a_budget_has_paused_is_answered_in_place(aish: Shell, home: Path) -> None:
    script = [Text("Here."), Usage("m", 0, 0, cost="0"), Done()]
    budgets = [Budget("global", tokens_per_day=0)]
    answered = [
        ("n", 1, "✗ apollo: Stop", "aish: apollo failed: cancelled by me (you can try again)"),
        ("y", 0, "✓ apollo: Continue once", "Here."),
        ("a", 0, "✓ apollo: Raise to ", "Here."),
    ]
    async with served(home, script, script, budgets=budgets, seconds=60):
        for key, code, outcome, last in answered:
            with at_terminal(aish, "apollo", "go", term=XTERM, columns=120) as terminal:
                await asyncio.to_thread(
                    terminal.wait_for_last,
                    r"\[y\] Continue once  \[a\] Raise to .*\[n\] Stop  \[d\] details",
                )
                await press(terminal, key)
                assert await end(terminal) == code
            head, chosen, shown = terminal.all_rows
            assert head.startswith("⏸ apollo is paused until ")
            assert head.endswith(": the budget global is used up: 0 of 0 tokens per day")
            assert chosen.startswith(outcome)
            assert shown == last


async def test_without_a_terminal_nothing_is_asked(aish: Shell, home: Path, answers: Answers) -> None:
    async with served(home, answers.to(asks()), seconds=60):
        with aish.running("apollo", "go") as process:
            assert process.stderr is not None
            shown = [await asyncio.to_thread(process.stderr.readline) for _ in range(2)]
            assert (await asyncio.to_thread(aish, "approve", "r_1")).code == 0
            out, rest = await asyncio.to_thread(process.communicate)
    assert shown == [
        b"aish: apollo asks to use Bash (aish approve r_1 \xc2\xb7 aish deny r_1)\n",
        b"    ls -l\n",
    ]
    assert (process.returncode, out, rest) == (0, b"It is done.\n", b"")
