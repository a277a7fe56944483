"""Shells and interpreters, started so that they mark their commands and read the user's startup files."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from rhetor.codec.ansi import Mark, Tokenizer, mark_of
from rhetor.drivers.programs.status import Evidence
from rhetor.drivers.programs.terminal.screen import Screen
from rhetor.drivers.programs.terminal.shells import Prepared, prepared
from tests.needs import needs
from tests.rhetor.drivers.programs.terminal.at_pty import Program, line_at_cursor


def pythons() -> list[str]:
    """Return the interpreters on this machine, one per version from 3.8 on: 3.13 has a new line editor."""
    found = {
        f"{sys.version_info.major}.{sys.version_info.minor}": getattr(sys, "_base_executable", sys.executable)
    }
    beside = Path(found[next(iter(found))]).resolve().parents[2].glob("*/bin/python3.1[0-9]")
    for path in (*beside, *(Path(folder) / "python3.13" for folder in os.environ["PATH"].split(":"))):
        if path.is_file() and "shims" not in path.parts:
            found.setdefault(path.name.removeprefix("python"), str(path))
    return list(found.values())


def ready(argv: list[str], env: dict[str, str], folder: Path) -> Prepared:
    start = prepared(argv, env, str(folder))
    for name, content in start.files.items():
        (folder / name).write_text(content)
    return start


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    return folder


def said(program: Program, screen: Screen, text: str) -> tuple[str, Evidence | None]:
    answer, turn = program.say(text, screen, marks=True, prompt=line_at_cursor(screen))
    return answer, turn.ended


def done(code: int) -> Evidence:
    return Evidence("mark", f"the command has finished, exit {code}", code)


def marks_of(stream: bytes) -> list[Mark]:
    return [mark for token in Tokenizer().feed(stream) if (mark := mark_of(token))]


def test_bash_marks_its_commands_and_reads_the_users_bashrc(home: Path, files: Path) -> None:
    (home / ".bashrc").write_text(
        "PS1='mine> '\nPROMPT_COMMAND='seen=$?'\nalias greet='echo hello'\nPS0='[run]\\n'\n"
    )
    start = ready(["bash"], {"HOME": str(home)}, files)
    screen = Screen()
    with Program(start.argv, start.env) as program:
        first = program.read_until(lambda: line_at_cursor(screen) == "mine> ", screen)
        assert marks_of(first) == [Mark("D", 0), Mark("A"), Mark("B")]
        assert said(program, screen, "greet") == ("[run]\nhello\n", done(0))
        program.read_until(lambda: line_at_cursor(screen) == "mine> ", screen)
        assert said(program, screen, "(exit 7)") == ("[run]\n", done(7))
        program.read_until(lambda: line_at_cursor(screen) == "mine> ", screen)
        # the user's prompt command saw the status of the user's command
        assert said(program, screen, "echo $seen $?") == ("[run]\n7 7\n", done(0))
        program.read_until(lambda: line_at_cursor(screen) == "mine> ", screen)
        # a prompt that is set later is marked too
        assert said(program, screen, "PS1='new$ '") == ("[run]\n", done(0))
        program.read_until(lambda: line_at_cursor(screen) == "new$ ", screen)
        assert said(program, screen, "printf abc") == ("[run]\nabc", done(0))
        program.read_until(lambda: line_at_cursor(screen) == "abcnew$ ", screen)
        answer = said(program, screen, "env | grep -c RHETOR_")
        assert answer == ("[run]\n0\n", done(1))


def test_a_login_bash_reads_the_profile(home: Path, files: Path) -> None:
    (home / ".bash_profile").write_text("PS1='login> '\nfrom=profile\n")
    (home / ".bashrc").write_text("from=bashrc\n")
    start = ready(["bash", "-l"], {"HOME": str(home)}, files)
    screen = Screen()
    with Program(start.argv, start.env) as program:
        program.read_until(lambda: line_at_cursor(screen) == "login> ", screen)
        assert said(program, screen, "echo $from") == ("profile\n", done(0))


def test_zsh_marks_its_commands_and_reads_the_users_startup_files(home: Path, files: Path) -> None:
    needs("zsh")
    (home / ".zshenv").write_text("from_env=1\n")
    (home / ".zshrc").write_text("PS1='mine> '\nalias greet='echo hello'\n")
    start = ready(["zsh"], {"HOME": str(home)}, files)
    screen = Screen()
    with Program(start.argv, start.env) as program:
        program.read_until(lambda: line_at_cursor(screen) == "mine> ", screen)
        assert said(program, screen, "greet $from_env") == ("hello 1\n", done(0))
        program.read_until(lambda: line_at_cursor(screen) == "mine> ", screen)
        assert said(program, screen, "(exit 7)") == ("", done(7))
        program.read_until(lambda: line_at_cursor(screen) == "mine> ", screen)
        assert said(program, screen, "echo at:$ZDOTDIR:") == ("at::\n", done(0))


@pytest.mark.parametrize("python", pythons(), ids=lambda path: Path(path).name)
@pytest.mark.parametrize("editor", ["default", "basic"])
def test_python_marks_its_commands_and_reads_the_users_startup_file(
    python: str, editor: str, home: Path, files: Path
) -> None:
    own = home / "own.py"
    own.write_text("import sys\nsys.ps1 = 'py> '\nmine = 42\n")
    env = {"HOME": str(home), "PYTHONSTARTUP": str(own)} | (
        {"PYTHON_BASIC_REPL": "1"} if editor == "basic" else {}
    )
    start = ready([python, "-q"], env, files)
    screen = Screen()
    with Program(start.argv, start.env) as program:

        def ask(text: str) -> tuple[str, int | None]:
            program.read_until(lambda: line_at_cursor(screen).startswith("py> "), screen)
            answer, evidence = said(program, screen, text)
            assert evidence and evidence.kind == "mark"
            return answer, evidence.exit_code

        assert ask("mine + 1") == ("43\n", 0)
        assert ask("print('a'); print('b')") == ("a\nb\n", 0)
        assert ask("x = 1") == ("", 0)
        answer, code = ask("1 / 0")
        assert answer.endswith("ZeroDivisionError: division by zero\n") and code == 1
        answer, code = ask("x = = 1")
        assert answer.rstrip().endswith("SyntaxError: invalid syntax") and code == 1
        assert ask("x") == ("1\n", 0)
        assert ask("[name for name in globals() if 'rhetor' in name]") == ("[]\n", 0)
        assert ask("import os; os.environ['PYTHONSTARTUP']") == (f"{str(own)!r}\n", 0)
        assert ask("'RHETOR_PYTHONSTARTUP' in os.environ") == ("False\n", 0)


def test_python_without_a_startup_file_shows_no_trace_of_the_hubs(home: Path, files: Path) -> None:
    start = ready([pythons()[0], "-q"], {"HOME": str(home)}, files)
    screen = Screen()
    with Program(start.argv, start.env) as program:
        program.read_until(lambda: line_at_cursor(screen) == ">>> ", screen)
        answer, _ = said(program, screen, "import os; [k for k in os.environ if 'STARTUP' in k]")
        assert answer == "[]\n"


@pytest.mark.parametrize(
    "argv",
    [
        ["bash", "-c", "true"],
        ["bash", "script.sh"],
        ["bash", "-s"],
        ["bash", "--version"],
        ["zsh", "script"],
        ["sh", "script"],
        ["dash", "-c", "true"],
        ["python3", "-c", "1"],
        ["python3", "-ic", "1"],
        ["python3", "-m", "http.server"],
        ["python3", "script.py"],
        ["python3", "-i", "script.py"],
        ["python3", "-I"],
        ["python3", "-E"],
        ["python3", "-"],
        ["python3", "-X", "dev", "script.py"],
        ["python3", "--version"],
        ["python2.7"],
        ["vim"],
        ["bash-like"],
        [],
    ],
)
def test_a_command_that_is_not_interactive_is_not_changed(argv: list[str]) -> None:
    env = {"HOME": "/h", "PYTHONSTARTUP": "/own.py"}
    assert prepared(argv, env, "/f") == Prepared(tuple(argv), env, {})


@pytest.mark.parametrize(
    "argv",
    [["sh"], ["dash"], ["bash", "--norc"], ["bash", "--posix"], ["zsh", "-f"], ["ksh"], ["fish"]],
    ids=" ".join,
)
def test_shells_inside_a_prepared_shell_mark_their_commands(argv: list[str]) -> None:
    start = prepared(argv, {"HOME": "/h", "PROMPT_COMMAND": "theirs"}, "/f")
    assert start.argv == tuple(argv) and "shrc" in start.files
    assert start.env["ENV"] == "/f/shrc" and start.env["PROMPT_COMMAND"].endswith("\ntheirs")
    again = prepared(argv, start.env, "/g")  # a hub started inside the shell
    assert again.env["PROMPT_COMMAND"].count("eval") == start.env["PROMPT_COMMAND"].count("eval")
    assert "/f/" not in "".join([*again.files.values(), *again.env.values()])


@pytest.mark.parametrize(
    "argv",
    [
        ["/usr/bin/bash", "-i"],
        ["-bash"],
        ["bash", "--rcfile", "/own"],
        ["zsh", "-l"],
        ["python"],
        ["/opt/bin/python3.13", "-q", "-X", "dev", "-Wignore", "-i", "-u"],
    ],
)
def test_an_interactive_command_is_prepared_and_keeps_its_options(argv: list[str]) -> None:
    env = {"HOME": "/h", "PATH": "/bin"}
    start = prepared(argv, env, "/f")
    assert start.marks and env.items() <= start.env.items()
    assert set(argv) - {"--rcfile", "/own", "-bash", "-l"} <= set(start.argv)
    assert env == {"HOME": "/h", "PATH": "/bin"}
