"""What Tab completes at the prompt, in every position of a line."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from time import process_time

import pytest

from aish.terminal.files import Programs, paths
from aish.terminal.line_completion import LineCompletion, complete_message
from rhetor.domain.grammar import parse
from rhetor.domain.grammar.cursor import split

NAMES = {
    "PEER": [("apollo", "code analyst"), ("athena", "strategist"), ("box", "bash")],
    "CAPABILITY": [("code-analysis", "apollo")],
    "TEAM": [("red", "")],
    "SESSION": [("work", ""), ("my talk", "")],
    "MODEL": [("openai/gpt-5", "")],
    "ALIAS": [("review", "git diff | apollo")],
}


class Names:
    def names(self, kind: str, words: Sequence[str]) -> Iterable[tuple[str, str]]:
        return NAMES.get(kind, [])


@pytest.fixture
def completion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LineCompletion:
    """Complete in a folder with some files, and with two programs on the PATH."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("frobnicate", "git-frob"):
        (programs / name).write_text("")
        (programs / name).chmod(0o700)
    (programs / "frob.txt").write_text("")  # no program
    work = tmp_path / "work"
    (work / "src").mkdir(parents=True)
    for name in ("src/main.py", "src/my file", "notes.md", ".hidden"):
        (work / name).write_text("")
    monkeypatch.chdir(work)
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setenv("FROB_HOME", "x")
    return LineCompletion(Names())


def lines(completion: LineCompletion, text: str) -> list[str]:
    """Return what the text becomes with each of the candidates."""
    found = completion.complete(text)
    return [text[: len(text) - each.replaces] + each.text + each.end for each in found]


@pytest.mark.parametrize(
    ("text", "become"),
    [
        ("ap", ["approve ", "apollo "]),
        ("APO", ["apollo "]),
        ("frob", ["frobnicate "]),
        ("git diff | ath", ["git diff | athena "]),
        ("ls && box", ["ls && box "]),
        ("{apollo|ath", ["{apollo|athena "]),
        ("@co", ["@code-analysis "]),
        ("team:r", ["team:red "]),
        ("apollo,ath", ["apollo,athena "]),
        ("aish box", ["aish box "]),
        ("rev", ["review "]),
        ("sessions fo", ["sessions fork "]),
        ("sessions show w", ["sessions show work "]),
        ("sessions show m", ["sessions show my\\ talk "]),
        ('sessions show "m', ['sessions show "my talk" ']),
        ("sessions show 'm", ["sessions show 'my talk' "]),
        ("list ty", ["list type "]),
        ("wait --ti", ["wait --timeout "]),
        ("apollo --no-s", ["apollo --no-stream "]),
        ("apollo -m op", ["apollo -m openai/gpt-5 "]),
        ("apollo -f n", ["apollo -f notes.md "]),
        ("apollo review sr", ["apollo review src/"]),
        ('apollo "look at src/ma', ['apollo "look at src/main.py" ']),
        ("apollo hi > n", ["apollo hi > notes.md "]),
        ("apollo hi >>n", ["apollo hi >>notes.md "]),
        ("< n", ["< notes.md "]),
        ("cat src/m", ["cat src/main.py ", "cat src/my\\ file "]),
        ("cat 'src/my", ["cat 'src/my file' "]),
        ("cat .", ["cat .hidden "]),
        ("./", ["./notes.md ", "./src/"]),
        ("cd ", ["cd src/"]),
        ("ex", ["explain ", "exit ", "export "]),
        ("export FROB", ["export FROB_HOME"]),
        ("apollo $FROB", ["apollo $FROB_HOME"]),
        ("apollo ${FROB", ["apollo ${FROB_HOME}"]),
        ("apollo '$FROB", []),
        ("ci-tool -n x -- frob", ["ci-tool -n x -- frobnicate "]),
        ("schedule run ", []),
        ("apollo -m n", []),
        ("wait n", []),
    ],
)
def test_every_position_is_completed(completion: LineCompletion, text: str, become: list[str]) -> None:
    assert lines(completion, text) == become


def test_the_menu_shows_the_last_part_of_a_path_and_what_words_mean(completion: LineCompletion) -> None:
    shown = [(each.shown, each.description) for each in completion.complete("cat src/m")]
    assert shown == [("main.py", ""), ("my file", "")]
    assert [(each.shown, each.description) for each in completion.complete("apol")] == [
        ("apollo", "code analyst")
    ]
    assert "list" in [each.shown for each in completion.complete("")]


def test_a_completed_name_is_one_word_of_the_grammar(completion: LineCompletion) -> None:
    for text in ("sessions show m", 'sessions show "m', "sessions show 'm"):
        [line] = lines(completion, text)
        assert parse(line).stages[0].arguments == ["show", "my talk"]  # type: ignore[union-attr]


def test_the_name_of_a_file_is_one_word_whatever_it_is(completion: LineCompletion) -> None:
    name = "evil'\"; touch x; $(touch y) `z` #"
    Path(name).touch()
    Path("evil\x1b[2J\n").touch()
    for text in ("cat ev", 'cat "ev', "cat 'ev"):
        [line] = lines(completion, text)
        assert len(parse(line).stages) == 1  # type: ignore[union-attr]
        assert split(line) == (["cat", name], "")


def test_a_message_in_a_conversation_completes_peers_and_files(completion: LineCompletion) -> None:
    assert [each.text for each in complete_message("ask ath", Names())] == ["athena"]
    assert [each.text for each in complete_message("read\nnot", Names())] == ["notes.md"]
    assert [each.text for each in complete_message("/mo", Names())] == ["/model"]
    assert [each.text for each in complete_message("/model op", Names())] == ["openai/gpt-5"]
    assert [each.text for each in complete_message("/file no", Names())] == ["notes.md"]


def test_tab_takes_less_than_50_ms(completion: LineCompletion) -> None:
    texts = ("", "a", "sessions ", "sessions fork work --", "apollo -", "frob", "cat ", "x | y | sessions ")
    for text in texts:
        completion.complete(text)
        begin = process_time()
        completion.complete(text)
        assert process_time() - begin < 0.05, text


def test_programs_are_found_anew_when_the_path_changes(
    completion: LineCompletion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = Programs()
    assert programs.names("frob") == ["frobnicate"]
    more = tmp_path / "more"
    more.mkdir()
    (more / "frobber").write_text("")
    (more / "frobber").chmod(0o700)
    monkeypatch.setenv("PATH", os.pathsep.join([os.environ["PATH"], str(more), str(tmp_path / "none")]))
    assert programs.names("frob") == ["frobber", "frobnicate"]


def test_a_home_folder_stays_as_it_is_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "letter").write_text("")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert paths("~/le") == ["~/letter"]
