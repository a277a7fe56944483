"""Makes interactive shells and interpreters mark their prompts and commands.

The marks are OSC 133 (FinalTerm's; many terminals know them): A before the prompt, B after it, C where the
output begins, D;exit where the command has finished. The user's own start-up files are read first, as usual.

`prepared` decides what to start and which files that needs; `MarkedShells` writes the files.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

from rhetor.domain.peer import Peer
from rhetor.domain.program import Launch

_PYTHON = re.compile(r"python(3(\.\d+)?)?$")
_PYTHON_TAKES_ARGUMENT: Final = ("-W", "-X")
# letters of options with which Python reads no start-up file or shows no prompt
_PYTHON_LEAVES: Final = set("cmEIhVx?")
_ZSH_FILES: Final = (".zshenv", ".zprofile", ".zshrc", ".zlogin")
_SHELLS: Final = frozenset(("bash", "zsh", "sh", "dash", "ash", "ksh", "mksh", "fish"))
# options with which a shell still has its prompt
_SHELL_OPTIONS: Final = frozenset(
    (
        *("-i", "-l", "-f", "-r", "--login", "--interactive", "--norc", "--noprofile", "--noediting"),
        *("--posix", "--restricted"),
    )
)
# evaluated before each prompt; what `set -x` writes about it would count as output of the command
_STUB: Final = 'case $- in *x*) { eval "$__rhetor_hook"; } 2>/dev/null;; *) eval "$__rhetor_hook";; esac'


class Prepared(NamedTuple):
    """What to start. `files`: the files to write first, by their names in the given folder; only the user may
    be able to read them. Empty if the program cannot be made to mark its commands."""

    argv: tuple[str, ...]
    env: dict[str, str]
    files: dict[str, str]

    @property
    def marks(self) -> bool:
        """Whether the program will mark its commands."""
        return bool(self.files)


def prepared(argv: Sequence[str], env: Mapping[str, str], folder: str) -> Prepared:
    """Return what to start so that bash, zsh or Python marks its commands.

    Shells that are started inside a shell mark theirs too: bash by PROMPT_COMMAND, dash by ENV, zsh by a
    function. Other programs are started unchanged, and so are these if they are not interactive (a script,
    `-c`). `folder`: the absolute path of the folder for the files.
    """
    name = PurePosixPath(argv[0]).name.lstrip("-") if argv else ""
    done: Prepared | None = None
    if name in _SHELLS:
        done = _shell(name, argv, env, folder)
    elif _PYTHON.match(name):
        done = _python(argv, env, folder)
    return done or Prepared(tuple(argv), dict(env), {})


def _shell(name: str, argv: Sequence[str], env: Mapping[str, str], folder: str) -> Prepared | None:
    is_nested = "__rhetor_hook" in env  # its hub was started from inside a wrapped shell
    files = _files("" if is_nested else env.get("ENV", ""), folder)
    env = {**env, **_inherited(env, folder)}
    done: Prepared | None = None
    if name == "bash":
        done = _bash(argv, env, folder)
    elif name == "zsh":
        done = _zsh(argv, env, folder)
    if done is None and _SHELL_OPTIONS.issuperset(argv[1:]):
        done = Prepared(tuple(argv), env, {})
    return done and done._replace(files=files)


def _inherited(env: Mapping[str, str], folder: str) -> dict[str, str]:
    """Return the variables by which the shells inside a shell mark their commands."""
    own = env.get("PROMPT_COMMAND", "").replace(_STUB, ":")
    return {
        "PROMPT_COMMAND": f"{_STUB}\n{own}" if own else _STUB,
        "__rhetor_hook": _without_comments(_shipped("bash_prompt.sh", folder)),
        "ENV": f"{folder}/shrc",
    }


def _files(own: str, folder: str) -> dict[str, str]:
    """Return the start-up files of all shells. `own`: the user's ENV."""
    zsh = {name: _shipped(f"zsh{name}", folder) for name in _ZSH_FILES}
    return {
        "bashrc": _shipped("bashrc.sh", folder),
        "shrc": _shipped("shrc.sh", folder).replace("@OWN@", shlex.quote(own)),
        "zsh_function": _shipped("zsh_function.sh", folder),
        **zsh,
    }


def _bash(argv: Sequence[str], env: Mapping[str, str], folder: str) -> Prepared | None:
    """Give bash an `--rcfile` of ours, which reads the user's.

    A login shell reads no rcfile, so bash is started as a plain one, and our file reads the profile. With
    `--norc`, bash gets no file of ours, because then it would read the system's too.
    """
    rest, sources = list(argv[1:]), "bashrc"
    kept: list[str] = []
    own = "~/.bashrc"
    if argv[0].startswith("-"):
        sources = "profile"
    while rest:
        word = rest.pop(0)
        if word in ("-l", "--login"):
            sources = "profile"
        elif word in ("--rcfile", "--init-file") and rest:
            own = rest.pop(0)
        elif word in ("-i", "--noediting", "--noprofile", "--restricted", "-r"):
            kept.append(word)
        else:
            return None
    rc = f"{folder}/bashrc"
    program = [argv[0].lstrip("-"), "--rcfile", rc, *kept]
    reads = {"RHETOR_BASH_READS": sources, "RHETOR_BASH_RC": own}
    return Prepared(tuple(program), {**env, **reads}, {})


def _zsh(argv: Sequence[str], env: Mapping[str, str], folder: str) -> Prepared | None:
    """Point ZDOTDIR, where zsh looks for start-up files, to files of ours, which read the user's."""
    if any(word not in ("-i", "-l", "--login", "--interactive") for word in argv[1:]):
        return None
    own = {"ZDOTDIR": folder, "RHETOR_ZDOTDIR": env.get("ZDOTDIR", ""), "RHETOR_ZSH_FOLDER": folder}
    return Prepared(tuple(argv), {**env, **own}, {})


def _python(argv: Sequence[str], env: Mapping[str, str], folder: str) -> Prepared | None:
    rest = list(argv[1:])
    while rest:
        word = rest.pop(0)
        if word in _PYTHON_TAKES_ARGUMENT and rest:
            rest.pop(0)
        elif not _is_plain_option(word):
            return None
    shim = f"{folder}/python_startup.py"
    own = {"PYTHONSTARTUP": shim, "RHETOR_PYTHONSTARTUP": env.get("PYTHONSTARTUP", "")}
    return Prepared(
        tuple(argv), {**env, **own}, {"python_startup.py": _shipped("python_startup.txt", folder)}
    )


def _shipped(name: str, folder: str) -> str:
    """Return one of our start-up files. In it, `@FOLDER@` and `@STUB@` are replaced."""
    text = resources.files("rhetor.drivers.programs.terminal").joinpath("startup", name).read_text("utf-8")
    return text.replace("@FOLDER@", shlex.quote(folder)).replace("@STUB@", shlex.quote(_STUB))


def _without_comments(code: str) -> str:
    """Return the code without its comments, which a shell may be set not to understand."""
    return "".join([line for line in code.splitlines(keepends=True) if not line.lstrip().startswith("#")])


def _is_plain_option(word: str) -> bool:
    """Return whether the word is an option with which Python still has its prompt and its start-up file."""
    if word.startswith("--") or not word.startswith("-") or word == "-":
        return False
    return word[:2] in _PYTHON_TAKES_ARGUMENT or not _PYTHON_LEAVES & set(word[1:])


class MarkedShells:
    """Writes the start-up files of marked shells: in `folder`, with one folder (0700) per host."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def prepare(self, peer: Peer, launch: Launch, host_id: str) -> tuple[tuple[str, ...], Mapping[str, str]]:
        """Write the files that the peer's program needs; return the arguments and the environment to start it
        with."""
        assert peer.program is not None
        folder = self._folder / host_id
        done = prepared(peer.program.argv, launch.env, str(folder))
        if done.files:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, content in done.files.items():
            path = folder / name
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(file, "w", encoding="utf-8") as out:
                out.write(content)
        return done.argv, done.env

    def forget(self, host_id: str) -> None:
        shutil.rmtree(self._folder / host_id, ignore_errors=True)
