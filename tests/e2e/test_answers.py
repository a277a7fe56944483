"""The table in docs/reference/answers.md: what terminal programs answer to messages of five kinds."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.needs import needs
from tests.scale import FULL
from tests.served import with_programs

pytestmark = pytest.mark.anyio

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "answers.md"
KINDS = ("fast", "slow (3 s)", "silent", "failing", "multi-line")
SHELL = ("echo one", "sleep 3; echo two", "true", "ls /nosuch", "echo a\necho b")
PAUSES = """
import time
while True:
    line = input()
    for part in range(3): print(line, part, flush=True); time.sleep(3 * (part < 2))
"""
PROGRAMS: dict[str, tuple[list[str], tuple[str, ...]]] = {
    "dash": (["dash"], SHELL),
    "bash --norc": (["bash", "--norc"], SHELL),
    "bash": (["bash"], SHELL),
    "zsh -f": (["zsh", "-f"], SHELL),
    "python3": (
        ["python3"],
        ("1+1", "import time; time.sleep(3); print(2)", "None", "nope", "print(1)\nprint(2)"),
    ),
    "node": (["node"], ("1+1", "await new Promise(r => setTimeout(r, 3000)), 2", "void 0", "nope", "1\n2")),
    "sqlite3": (
        ["sqlite3"],
        ("select 1;", ".shell sleep 3; echo 2", "create table t(a);", "selec;", "select 1;\nselect 2;"),
    ),
    "bc": (["bc", "-q"], ("1+1", "for(i=0;i<9;i++) 1", "a=1", "1/0", "1\n2")),
    "gdb": (
        ["gdb", "-q", "-nx"],
        ("print 1", "shell sleep 3; echo 2", "set $a = 1", "print nope", "print 1\nprint 2"),
    ),
    "cat": (["cat"], ("one", "two", "three", "four", "a\nb")),
    "a script that pauses": (["python3", "-c", PAUSES], ("a",)),
}  # fmt: skip
# words that each answer must have: the last one of its output
LAST = {
    "dash": ("one", "two", "", "nosuch", "b"),
    "python3": ("2", "2", "", "NameError", "2"),
    "node": ("2", "2", "undefined", "ReferenceError", "2"),
    "sqlite3": ("1", "2", "", "error", "2"),
    "bc": ("2", "1", "", "zero", "2"),
    "gdb": ("= 1", "2", "", "No symbol", "print 2"),
    "cat": ("one", "two", "three", "four", "b"),
    "a script that pauses": ("a 2",),
}
SMALL = ("dash", "sqlite3")


async def cells(name: str) -> list[tuple[str, str]]:
    """The answer of the program to each message, and the reason for which it ended."""
    argv, messages = PROGRAMS[name]
    needs(argv[0])
    async with with_programs(seconds=120) as home:
        await home.announce("p", *argv, kind="terminal")
        said = [(await home.say("p", message)).json for message in messages]
        return [(one["response"], one["finish_reason"]) for one in said]


def row(name: str, found: list[tuple[str, str]]) -> str:
    """The program's row in the table: the last line of each answer, and the reason if it is not `stop`."""
    texts = [
        (answer.strip().splitlines() or [""])[-1].strip().replace("|", "\\|").replace("`", "'")
        for answer, _ in found
    ]
    shown = [
        (f"`{text}`" if text else "nothing") + ("" if reason == "stop" else f" ({reason})")
        for text, (_, reason) in zip(texts, found, strict=True)
    ]
    return " | ".join([f"| `{name}`", *shown, *[""] * (len(KINDS) - len(shown))]).rstrip() + " |"


@pytest.mark.long
@pytest.mark.parametrize("name", PROGRAMS if FULL else SMALL)
async def test_programs_answer_as_the_table_in_the_docs_says(name: str) -> None:
    found = await cells(name)
    wanted = LAST.get(name, LAST["dash"])
    for (answer, reason), last in zip(found, wanted, strict=True):
        if reason != "silence":  # such an answer says that it may be incomplete
            assert (last in answer) if last else not answer.strip(), (answer, reason)
    assert row(name, found) in PAGE.read_text().splitlines()
