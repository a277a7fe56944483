"""The commands of a conversation: which texts are one, and what they do at a real terminal."""

from __future__ import annotations

from pathlib import Path

import pytest

from aish.exits import Failure
from aish.terminal.slash import COMMANDS, command_in, message_in, overview
from tests.aish.scripted import Shell
from tests.aish.terminal.test_permission_notices import at_prompt, wait_for_rows_of


@pytest.mark.parametrize(
    ("text", "command", "message"),
    [
        ("/undo", ("/undo", ""), None),
        ("  /model  openai/gpt-5 ", ("/model", "openai/gpt-5"), None),
        ("hello /undo", None, "hello /undo"),
        ("//usr/bin is full", None, "/usr/bin is full"),
        (" //", None, "/"),
        ("/* a comment */\nint x;", None, "/* a comment */\nint x;"),
        ("// a comment\nint x;", None, "// a comment\nint x;"),
        ("/undo\n/undo", None, "/undo\n/undo"),
    ],
)
def test_a_line_with_a_slash_is_a_command_and_everything_else_a_message(
    text: str, command: tuple[str, str] | None, message: str | None
) -> None:
    assert command_in(text) == command
    assert message is None or message_in(text) == message


@pytest.mark.parametrize(
    ("text", "near"), [("/modle x", "/model"), ("/Undo", "/undo"), ("/quit", ""), ("/usr/bin/x fails", "")]
)
def test_an_unknown_command_is_not_sent_and_names_the_nearest_one(text: str, near: str) -> None:
    with pytest.raises(Failure) as raised:
        command_in(text)
    assert raised.value.code == 2
    assert raised.value.hint.startswith(f"Did you mean {near}?\n") is bool(near)
    assert f"//{text.split()[0][1:]}" in (raised.value.hint or "")


def test_help_has_every_command_in_80_columns() -> None:
    lines = overview().splitlines()
    assert [line.split()[0] for line in lines] == [*COMMANDS, "//…"]
    assert max(map(len, lines)) <= 80


EDITOR = """#!/bin/sh
sed -i 's/one/one, edited/' "$1"
"""


@pytest.mark.long
@pytest.mark.anyio
async def test_the_commands_change_save_and_take_back_the_conversation(aish: Shell, home: Path) -> None:
    editor = aish.folder / "my editor"
    editor.write_text(EDITOR)
    editor.chmod(0o700)
    (aish.folder / "a b.txt").write_text("content\n")
    aish.environment |= {"VISUAL": f"'{editor}'"}
    async with at_prompt(aish, home, words=("-i", "apollo")) as (hub, terminal):

        async def enter(text: str, *rows: str) -> None:
            terminal.type(f"{text}\r")
            await wait_for_rows_of(terminal, *rows, "apollo>")

        def heard() -> list[str]:
            return [text for _, text in hub.driver.heard]

        await enter("/undo", "aish: no message was sent in this conversation yet")
        await enter("one", "apollo heard: one")
        await enter("/retyr", *unknown("/retyr", "Did you mean /retry?"))
        await enter("//slash", "apollo heard: /slash")
        await enter("/undo", "✓ Took back: /slash")
        await enter("/edit", "one, edited", "apollo heard: one, edited")
        await enter("/retry", "apollo> /retry", "apollo heard: one, edited")
        assert heard() == ["one", "/slash", "one, edited", "one, edited"]
        await enter("/file 'a b.txt'", "with the next message: a b.txt")
        terminal.type("\x1b[200~/* two */\nlines\x1b[201~\r")
        await wait_for_rows_of(terminal, "apollo>")
        await enter("/model", "model: the default of apollo")
        sent = heard()[-1]
        assert sent.startswith("/* two */\nlines\n\n[File a b.txt]\n") and "\ncontent\n" in sent
        await enter("/undo", "✓ Took back: /* two */ lines [File a b.txt] " + excerpt(sent))
        await enter("/system be terse", "system: be terse")
        await enter("/model openai/m", "model: openai/m")
        await enter("/save talk.md", "✓ Saved the conversation to talk.md")
        await enter("/save talk.md", "aish: talk.md exists", "to replace it: /save -f talk.md")
        await enter("/save -f talk.md", "✓ Saved the conversation to talk.md")
        messages = [
            part.split("\n\n")[1].strip() for part in (aish.folder / "talk.md").read_text().split("## ")[1:]
        ]
        assert messages == ["one", "apollo heard: one", "one, edited", "apollo heard: one, edited"]
        await enter("/undo", "✓ Took back: one, edited")
        await enter("/undo", "✓ Took back: one")
        await enter("/undo", "aish: there is no message to take back")
        terminal.type("/exit\r")
        terminal.wait_for_end()
        assert len(heard()) == 5


def unknown(word: str, *near: str) -> tuple[str, ...]:
    return (
        f"aish: unknown command {word}",
        *near,
        f"to send it as text, type /{word} …; /help lists the commands",
    )


def excerpt(sent: str) -> str:
    """Return the rest of the first 60 characters of what was sent."""
    line = " ".join(sent.split())
    return f"{line[:59]}…".removeprefix("/* two */ lines [File a b.txt] ")
