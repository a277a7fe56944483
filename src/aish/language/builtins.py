"""The lines that change the shell itself, so no program can do their work: `cd`, `export`, `exit`, `quit`."""

# ruff: noqa: PTH109, PTH111
import os

from aish import exits
from aish.exits import Failure

BUILTINS = ("cd", "export", "exit", "quit")


class Exit(Exception):
    """The line is `exit` or `quit`."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def run_builtin(name: str, arguments: "list[str]", last: int) -> int:
    """Run one of `BUILTINS`, and return its exit code. `last`: that of the line before it.

    Raises:
        Exit: the shell ends.
        Failure: an argument is invalid, or the folder cannot be entered.
    """
    if name == "export":
        return _export(arguments)
    if len(arguments) > 1:
        raise Failure(f"{name} takes one argument", exits.USAGE)
    if name == "cd":
        return _change_folder(arguments)
    raise Exit(_exit_code(name, arguments, last))


def _exit_code(name: str, arguments: "list[str]", last: int) -> int:
    if not arguments:
        return last
    if not (arguments[0].isascii() and arguments[0].isdigit()):
        raise Failure(f"{name}: {arguments[0]!r} is not a number", exits.USAGE)
    return int(arguments[0]) & 0xFF


def _change_folder(arguments: "list[str]") -> int:
    """Change to a folder, to the home folder without an argument, or to the previous one with `-`."""
    folder = arguments[0] if arguments else "~"
    if folder == "-" and not (folder := os.environ.get("OLDPWD", "")):
        raise Failure("cd: there is no previous folder", exits.USAGE)
    folder = os.path.expanduser(folder)
    try:
        previous = os.getcwd()
    except OSError:  # the folder was removed
        previous = ""
    try:
        os.chdir(folder)
    except OSError as error:
        raise Failure(f"cd: {folder}: {error.strerror}") from None
    os.environ.update({"OLDPWD": previous, "PWD": os.getcwd()})
    return exits.DONE


def _export(arguments: "list[str]") -> int:
    """Set variables for programs and for `$NAME`, all of them or none."""
    if not arguments:
        raise Failure("export needs a variable: export NAME=VALUE", exits.USAGE)
    for argument in arguments:
        name, has_value, _ = argument.partition("=")
        if not (name.isascii() and name.isidentifier()):
            raise Failure(f"export: {name!r} cannot be the name of a variable", exits.USAGE)
        if not has_value and name not in os.environ:
            raise Failure(f"export: {name} is not set; write: export {name}=VALUE", exits.USAGE)
    for argument in arguments:
        name, has_value, value = argument.partition("=")
        if has_value:
            os.environ[name] = value
    return exits.DONE
