"""Completion: from what is typed up to the cursor to the words that can stand there."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

import pytest

from aish.catalogue import pages
from aish.catalogue.completion import Completion, complete
from aish.catalogue.messages import MESSAGE
from aish.catalogue.notation import Form, Split
from rhetor.domain.grammar.cursor import last_stage, open_quote, split

NAMES = {
    "PEER": [("apollo", "analyses"), ("athena", "designs"), ("box", "bash")],
    "CAPABILITY": [("code-analysis", "apollo")],
    "TEAM": [("red", "2 peers")],
    "TERMINAL": [("jill", "")],
    "ALIAS": [("review", "git diff | apollo")],
    "SESSION": [("work", "apollo"), ("my talk", "athena")],
    "ROUTE": [("check", "apollo → athena")],
    "SERVER": [("docs", ""), ("time", "")],
    "TOOL": [("codex", ""), ("box", "")],
    "PROJECT": [("app", "")],
    "PERMISSION": [("perm_1", "codex: Bash")],
    "MODEL": [("openai/gpt-5", "")],
}


class Known:
    def names(self, kind: str, words: Sequence[str]) -> list[tuple[str, str]]:
        if kind == "CHECKPOINT":
            return [(f"{words[2]}-1", "")]
        if kind == "OPTION":
            return [(f"{words[1]}-always", "")]
        return NAMES.get(kind, [])


def completed(line: str) -> Completion:
    return complete(*split(line), Known())


def offered(line: str) -> list[str]:
    return [candidate.text for candidate in completed(line).candidates]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("ap", "approve apollo"),
        ("AP", "approve apollo"),
        ("@", "@code-analysis"),
        ("te", "team:red team-chat"),
        ("rev", "review"),
        ("apollo,", "apollo,athena apollo,box apollo,@code-analysis apollo,team:red"),
        ("apollo,at", "apollo,athena"),
        ("-i ", "apollo athena box"),
        ("-s=work -m", "-m"),
        ("-s work --in", "--interrupt"),
        ("apollo --s", "--session --session-id --system --schema"),
        ("apollo -s ", "work|my talk"),
        ("apollo --session=w", "--session=work"),
        ("apollo -m ", "openai/gpt-5"),
        ("apollo hi --us", "--usage"),
        ("apollo hi -- --us", ""),
        ("session fo", "fork"),
        ("sessions fork ", "work|my talk"),
        ("sessions fork work --at ", "work-1"),
        ("sessions fork work --at=", "--at=work-1"),
        ("sessions fork work --", "--at --cwd --worktree --json --help"),
        ("sessions fork work --json --", "--at --cwd --worktree --help"),
        ("sessions diff work work-1 ", "work-1"),
        ("sessions export work --format ", "md json jsonl"),
        ("session create n --tool ", "apollo athena box"),
        ("list ", "type json"),
        ("list type t", "terminal tool team"),
        ("usage --by ", "day peer model project caller"),
        ("help sessions f", "fork"),
        ("help session fo", "fork"),
        ("help gr", "grammar"),
        ("forward apollo ", "apollo athena box jill"),
        ("route ", "check name list show remove"),
        ("route name new apollo ", "purpose|apollo|athena|box|@code-analysis|team:red|route:check"),
        ("inbox send box ", "prompt new keep"),
        ("project settings app --mcp docs,", "docs,time"),
        ("mcp install c", "claude-code codex copilot continue cursor"),
        ("mcp add x --env A=b --e", "--env"),
        ("approve ", "perm_1"),
        ("approve perm_1 ", "perm_1-always"),
        ("wait --any apollo b", "box"),
        ("tools attach codex ", "-r"),
        ("nobody knows --us", "--usage"),
        ("deny perm_1 more ", ""),
        ("schedule run ", ""),
        ("specialist edit apollo --model x", ""),
    ],
)
def test_each_position_offers_what_can_stand_there(line: str, expected: str) -> None:
    words = expected.split("|") if "|" in expected else expected.split()
    assert offered(line) == words


def test_the_first_word_is_a_command_a_peer_or_an_alias() -> None:
    commands = [name for name in pages() if " " not in name]
    targets = ["apollo", "athena", "box", "@code-analysis", "team:red", "team-chat", "review"]
    assert offered("") == [*commands, *targets]
    assert completed("./rev").also == "files"


@pytest.mark.parametrize(
    ("line", "also", "stem"),
    [
        ("apollo -f src/m", "files", "src/m"),
        ("apollo --file=src/m", "files", "src/m"),
        ("project create app ~/", "folders", "~/"),
        ("sessions fork work --cwd ", "folders", ""),
        ("sessions import a.jsonl b", "files", "b"),
        ("ci-tool -n calc -- b", "programs", "b"),
        ("ci-tool -n calc -- bc -l s", "files", "s"),
        ("mcp add x --private -- b", "programs", "b"),
    ],
)
def test_files_folders_and_programs_are_completed_by_the_shell(line: str, also: str, stem: str) -> None:
    found = completed(line)
    assert (found.also, found.stem, found.candidates) == (also, stem, [])


def test_candidates_say_what_they_mean() -> None:
    assert {c.text: c.description for c in completed("session f").candidates} == {
        "fork": "Create a session that continues from this point"
    }
    assert completed("apollo -s w").candidates[0].description == "apollo"
    assert completed("sessions fork --a").candidates[0].description == "continue from this checkpoint"


def test_all_examples_are_lines_of_their_forms() -> None:
    for page in [*pages().values(), MESSAGE]:
        for example in page.examples:
            for words in _commands_of(example):
                assert _is_complete(words), example


def _commands_of(example: str) -> list[list[str]]:
    """Return the words of the `aish` commands in an example that names only such commands and programs."""
    lexer = shlex.shlex(example, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    commands: list[list[str]] = [[]]
    for word in lexer:
        if word in ("|", "&&", ">", "1"):
            commands.append([])
        else:
            commands[-1].append(word)
    return [words[1:] for words in commands if words[:1] == ["aish"]]


def _is_complete(words: list[str]) -> bool:
    first = "sessions" if words[0] == "session" else words[0]
    known = [page for name, page in pages().items() if name.split()[0] == first] or [MESSAGE]
    for form in (Form(text) for page in known for text in page.forms):
        parsed = Split([first, *words[1:]], form.options)
        if not parsed.unknown and not parsed.needs_value and form.is_complete(parsed.plain):
            return True
    return False


def test_what_is_typed_is_split_like_in_a_shell() -> None:
    assert split("") == ([], "")
    assert split("session fork ") == (["session", "fork"], "")
    assert split("""apollo "two words" it\\'s 'a "b"' x""") == (["apollo", "two words", "it's", 'a "b"'], "x")
    assert split("apollo -s 'my ta") == (["apollo", "-s"], "my ta")
    assert split('apollo "" ') == (["apollo", ""], "")
    assert last_stage("git diff | apollo 'a | b' | ath") == "ath"
    assert last_stage('echo "a; b"; {apollo|at') == "at"
    assert (open_quote("apollo 'a"), open_quote('a "b'), open_quote("a 'b'"), open_quote("a \\'")) == (
        "'",
        '"',
        "",
        "",
    )
