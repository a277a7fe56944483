"""The shell's commands, one module per noun. A peer cannot have the name of a command.

The usage lines, options and examples of each command are in `aish.catalogue`.
"""

from aish.exits import USAGE, Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

# Each module has a table COMMANDS: the functions that run the commands, by the same names.
_MODULES = {
    "alias": "aliases",
    **dict.fromkeys(("approve", "deny"), "permissions"),
    **dict.fromkeys(("ci-terminal", "ci-tool"), "programs"),
    "completion": "completion",
    "config": "config",
    "console": "console",
    "context": "context",
    "doctor": "doctor",
    **dict.fromkeys(("explain", "list", "wait"), "peers"),
    **dict.fromkeys(("forward", "unforward"), "forwards"),
    "help": "help",
    **dict.fromkeys(("history", "search"), "history"),
    "inbox": "inbox",
    "keys": "keys",
    "mcp": "mcp",
    "notify": "notify",
    "models": "models",
    "project": "projects",
    "purpose": "purposes",
    "route": "routes",
    "schedule": "schedules",
    **dict.fromkeys(("session", "sessions"), "sessions"),
    **dict.fromkeys(("shutdown", "status", "whoami"), "system"),
    "setup": "setup",
    "sockets": "sockets",
    "specialist": "specialists",
    "tools": "tools",
    "usage": "usage",
}
COMMANDS = frozenset(_MODULES)
JSON_WORDS = ("json", "--json")
_HELP_WORDS = ("--help", "-h")
_USAGE = "usage: "


def run_command(words: "list[str]") -> int:
    """Run the command that the first word names. With `--help`, show the command or the subcommand.

    Raises:
        Failure: the command fails, or its words are invalid.
    """
    dashes = words.index("--") if "--" in words else len(words)
    if any(word in _HELP_WORDS for word in words[1:dashes]):
        words = ["help", *(word for word in words[:dashes] if word not in _HELP_WORDS)]
    try:
        return find_command(words[0])(words[1:])
    except Failure as failure:
        if failure.code == USAGE and failure.message.startswith(_USAGE):
            _explain(failure, words)
        raise


def _explain(failure: Failure, words: "list[str]") -> None:
    """Show the usage of the subcommand instead of the command's, and the word that was probably meant."""
    from aish.catalogue import pages_for
    from aish.catalogue.nearest import usage_hint

    first, *others = pages_for(words)
    if not others and first.forms:
        failure.message = _usage(first.forms)
    failure.hint = failure.hint or usage_hint(words)


def find_command(name: str) -> "Callable[[list[str]], int]":
    """Import the module of a command, and return the function that runs it with the words after its name and
    returns the exit code. `name` is one of `COMMANDS`."""
    module = getattr(__import__(f"aish.commands.{_MODULES[name]}").commands, _MODULES[name])
    run: Callable[[list[str]], int] = module.COMMANDS[name]
    return run


def free_text(words: "list[str]", page: str) -> str:
    """Return the words joined by spaces, without the `--` before text that begins with `-`.

    Raises:
        Failure: a word before `--` looks like an option, which these commands do not have.
    """
    dashes = words.index("--") if "--" in words else len(words)
    if any(word[:1] == "-" and word.lstrip("-")[:1].isalpha() for word in words[:dashes]):
        raise usage_error(page)
    return " ".join((*words[:dashes], *words[dashes + 1 :]))


def take_value(left: "list[str]", page: str) -> str:
    """Remove and return the first word, the value of the option before it.

    Raises:
        Failure: it is missing, or is `--` or another option. (Such a value has to be written after `=`.)
    """
    if not left or left[0] == "--" or (left[0][:1] == "-" and left[0].lstrip("-")[:1].isalpha()):
        raise usage_error(page)
    return left.pop(0)


def wants_json(words: "list[str]", page: str) -> bool:
    """Return whether a command that lists something prints JSON. `words`: those after the command.

    Raises:
        Failure: there are other words.
    """
    if len(words) > 1 or any(word not in JSON_WORDS for word in words):
        raise usage_error(page)
    return bool(words)


def show_list(
    found: "Sequence[Any]",
    heading: "tuple[str, ...]",
    row: "Callable[[Any], tuple[str, ...]]",
    empty: str,
    *,
    as_json: bool,
) -> int:
    """Print the `found` items as JSON, or as a table with a row for each, or `empty` if there are none."""
    from aish.output import print_json, print_line

    if as_json:
        return print_json(found)
    from aish.render import cleaned
    from aish.screen.tables import stdout_columns, table

    rows = [heading, *([cleaned(cell) for cell in row(each)] for each in found)]
    return print_line(table(rows, stdout_columns()) if found else empty)


def usage_error(page: str) -> Exception:
    """Return the failure for a command whose words are invalid. It shows the usage lines of a page of the
    catalogue: `sessions` has those of all its subcommands, `sessions fork` only its own."""
    from aish.catalogue import usage_lines

    return Failure(_usage(usage_lines(page)), USAGE)


def _usage(forms: "Sequence[str]") -> str:
    return _USAGE + " | ".join(f"aish {form}" for form in forms)


def run_subcommand(
    command: str, subcommands: "Mapping[str, Callable[[list[str]], int]]", name: str, words: "list[str]"
) -> int:
    """Run the subcommand of this name with the words after it, and return the exit code.

    Raises:
        Failure: there is no such subcommand, or it fails.
    """
    if name not in subcommands:
        raise subcommand_error(command, subcommands)
    return subcommands[name](words)


def subcommand_error(command: str, subcommands: "Mapping[str, object]") -> Exception:
    """Return the failure for a subcommand that is missing or unknown. It lists the known ones."""
    return Failure(f"{_USAGE}aish {command} {'|'.join(subcommands)} … (aish {command} --help)", USAGE)
