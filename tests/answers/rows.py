"""The programs of the table, how they are started, their messages, and what the right answers are."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from . import folders, servers

HERE = Path(__file__).parent
KINDS = ("fast", "slow (3 s)", "silent", "failing", "multi-line")


@dataclass(frozen=True)
class Message:
    """`right`: a regular expression that matches the whole right answer. `alone`: the message goes to an
    instance of its own, which is started with `argv` if that is given."""

    text: str
    right: str
    alone: bool = False
    argv: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """`{folder}` in `argv` is the folder in which the program starts, and its HOME. `place` fills it, and
    runs what the program needs besides. `needs`: programs that must be installed. `note`: what the page says
    about the program or its messages. `often`: `make test` runs the row, too, not only `make test-long`."""

    name: str
    argv: tuple[str, ...]
    messages: tuple[Message, Message, Message, Message, Message]
    needs: tuple[str, ...]
    place: Callable[[Path], AbstractContextManager[None]] = folders.empty
    note: str = ""
    often: bool = False


def _htop(lsof: str, seconds: int = 0) -> tuple[str, ...]:
    """An htop that shows one process, and no meters."""
    settings = f'HTOPRC="$PWD/htoprc" LSOF_SECONDS={seconds} PATH="$PWD/{lsof}:$PATH"'
    return ("sh", "-c", f"export {settings}; sleep 120 & exec htop -C -p $!")


_FILES = ".*/a/file.*"
_NOT_FOUND = "ls: .*/nosuch.*"
_SHELL = (
    Message("echo one", "one"),
    Message("sleep 3; echo two", "two"),
    Message("true", ""),
    Message("ls /nosuch", _NOT_FOUND),
    Message("echo a\necho b", "a\nb"),
)
_PYTHON = (
    Message("1+1", "2"),
    Message("import time; time.sleep(3); print(2)", "2"),
    Message("None", ""),
    Message("nope", "Traceback.*\nNameError: name 'nope' is not defined.*"),
    Message("print(1)\nprint(2)", "1\n2"),
)
ROWS = (
    Row("sh", ("sh",), _SHELL, ("sh",), often=True),
    Row("dash", ("dash",), _SHELL, ("dash",)),
    Row("bash --norc", ("bash", "--norc"), _SHELL, ("bash",), often=True),
    Row("bash", ("bash",), _SHELL, ("bash",)),
    Row("zsh", ("zsh",), _SHELL, ("zsh",)),
    Row("fish", ("fish",), _SHELL, ("fish",), often=True),
    Row("python3", ("python3",), _PYTHON, ("python3",)),
    Row(
        "ipython",
        (sys.executable, "-m", "IPython"),
        (
            Message("1+1", r"Out\[\d+\]: 2"),
            Message("import time; time.sleep(3); print(2)", "2"),
            Message("None", ""),
            Message("nope", "-+\nNameError .*\nNameError: name 'nope' is not defined"),
            Message("print(1)\nprint(2)", "1\n2"),
        ),
        (),
        often=True,
    ),
    Row(
        "node",
        ("node",),
        (
            Message("1+1", "2"),
            Message("await new Promise(r => setTimeout(r, 3000)), 2", "2"),
            Message("void 0", "undefined"),
            Message("nope", "Uncaught ReferenceError: nope is not defined"),
            Message("1\n2", "1\n2"),
        ),
        ("node",),
        note="shows `undefined` after what has no value",
    ),
    Row(
        "sqlite3",
        ("sqlite3",),
        (
            Message("select 1;", "1"),
            Message(".shell sleep 3; echo 2", "2"),
            Message("create table t(a);", ""),
            Message("selec;", 'Parse error: near "selec": syntax error\n.*'),
            Message("select 1;\nselect 2;", "1\n2"),
        ),
        ("sqlite3",),
        often=True,
    ),
    Row(
        "psql",
        ("psql", "-X", "-h", "{folder}", "-U", "postgres"),
        (
            Message("select 1 as a;", r" *a *\n-+\n +1\n\(1 row\)"),
            Message("select 2 as a from pg_sleep(3);", r" *a *\n-+\n +2\n\(1 row\)"),
            Message(r"\set a 1", ""),
            Message("selec;", 'ERROR: +syntax error at or near "selec"\nLINE 1: selec;\n +\\^'),
            Message("select 1 as a;\nselect 2 as a;", r" *a *\n-+\n +1\n\(1 row\)\s+a *\n-+\n +2\n\(1 row\)"),
        ),
        ("psql", "postgres", "initdb"),
        servers.database_server,
        note="connected to a PostgreSQL server that the test starts",
    ),
    Row(
        "bc",
        ("bc", "-q"),
        (
            Message("1+1", "2"),
            Message("for(i=0;i<6000000;i++) x=1; 2", "2"),
            Message("a=1", ""),
            Message("1/0", "Runtime error .*: Divide by zero"),
            Message("1\n2", "1\n2"),
        ),
        ("bc",),
        note="cannot pause, so its slow message is a long loop",
    ),
    Row(
        "gdb",
        ("gdb", "-q", "-nx"),
        (
            Message("print 1", r"\$1 = 1"),
            Message("shell sleep 3; echo 2", "2"),
            Message("set $a = 1", ""),
            Message("print nope", 'No symbol .*"file" command.'),
            Message("print 1\nprint 2", r"\$2 = 1\n\$3 = 2"),
        ),
        ("gdb",),
        note="takes a paste as one command, so it gets one line at a time",
        often=True,
    ),
    Row(
        "ssh localhost",
        ("ssh", "-F", "{folder}/ssh_config", "localhost"),
        _SHELL,
        ("ssh", "sshd", "ssh-keygen"),
        servers.ssh_server,
        note="runs `bash`, through an sshd that the test starts",
    ),
    Row(
        "less",
        ("less", "words"),
        (
            Message("/golf hotel", "golf hotel\ngolf india\n.*\nindia bravo"),
            Message("!sleep 3; echo two", r"two\n!done  \(press RETURN\)", alone=True),
            Message("", "bravo juliett", alone=True),
            Message("/nosuch", r"Pattern not found  \(press RETURN\)", alone=True),
            Message("/bravo\n/delta", "india charlie\n.*\nindia lima"),
        ),
        ("less",),
        folders.words,
        note="shows a file of words; the silent message is Enter alone, which shows one more line",
        often=True,
    ),
    Row(
        "vim",
        ("vim", "--clean", "words"),
        (
            Message(':echo "one"', "one"),
            Message(':sleep 3 | echo "two"', "two"),
            Message(":let a = 1", ""),
            Message(":nosuch", "E492: Not an editor command: nosuch"),
            Message(":0put ='a'\n:1put ='b'", "a\nb"),
        ),
        ("vim",),
        folders.words,
        note="edits a file of words; the messages are commands",
        often=True,
    ),
    Row(
        "htop",
        _htop("lists"),
        (
            Message("l", _FILES, alone=True),
            Message("l", _FILES, True, _htop("lists", seconds=3)),
            Message("", "", alone=True),
            Message("l", ".*Could not execute 'lsof'.*", True, _htop("fails")),
            Message("/sleep\n/htop", "", alone=True),
        ),
        ("htop",),
        folders.files_of_processes,
        note="reads keys: `l` lists the open files of a process; the silent message is Enter alone",
    ),
    Row(
        "a REPL like Go's",
        (sys.executable, "-I", "-S", str(HERE / "go_repl.py")),
        (
            Message("1+1", "2"),
            Message("time.Sleep(3 * time.Second); 2", "2"),
            Message("a := 1", ""),
            Message("nope", "undefined: nope"),
            Message("{\nfmt.Println(1)\nfmt.Println(2)\n}", "1\n2"),
        ),
        (),
        note="a script of this repository, `tests/answers/go_repl.py`",
        often=True,
    ),
    Row(
        "git add -p",
        ("git", "add", "-p"),
        (
            Message("y", ".*"),
            Message("y", ".*", True, ("git", "-c", "interactive.diffFilter=sleep 3; cat", "add", "-p")),
            Message("", ".*"),
            Message("x", ".*"),
            Message("y\nn", ".*"),
        ),
        ("git",),
        folders.repository,
        note="asks a question, which no message answers; the slow one runs with a diff filter that takes 3 s",
        often=True,
    ),
    Row(
        "npm init",
        ("npm", "init"),
        (
            Message("box", "version: .*"),
            Message("x", ".*", True, ("npm", "init", "--init-module", "{folder}/slow/init.js")),
            Message("", "description:.*"),
            Message("Bad Name!", ".*", True),
            Message("a box\nmain.js", ".*"),
        ),
        ("npm",),
        folders.package,
        note="a message answers a question, and the next question follows; the silent one is Enter alone",
    ),
    Row(
        "a script that pauses 3 s twice",
        (sys.executable, "-I", "-S", str(HERE / "pauses.py")),
        (
            Message("now one", "one"),
            Message("two", "two 0\ntwo 1\ntwo 2"),
            Message("nothing", "", alone=True),
            Message("fail", ".*", alone=True),
            Message("a\nb", "a 0\na 1\na 2\nb 0\nb 1\nb 2", alone=True),
        ),
        (),
        note="each message but the first takes 6 s, the last one twice as long",
        often=True,
    ),
    Row(
        "cat",
        ("cat",),
        (
            Message("one", "one"),
            Message("two", "two"),
            Message("three", "three"),
            Message("four", "four"),
            Message("a\nb", "a\nb"),
        ),
        ("cat",),
        note="answers each line with itself, at once",
    ),
)
