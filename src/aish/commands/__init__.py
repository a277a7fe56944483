"""The shell's commands, one module per noun. A peer cannot have the name of a command."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

# Each module has a table COMMANDS with the same names.
_MODULES = {
    "alias": "aliases",
    **dict.fromkeys(("approve", "deny"), "permissions"),
    **dict.fromkeys(("ci-terminal", "ci-tool"), "programs"),
    "context": "context",
    "doctor": "doctor",
    **dict.fromkeys(("explain", "list", "wait"), "peers"),
    **dict.fromkeys(("forward", "unforward"), "forwards"),
    "help": "help",
    **dict.fromkeys(("history", "search"), "history"),
    "inbox": "inbox",
    "mcp": "mcp",
    "project": "projects",
    "purpose": "purposes",
    "route": "routes",
    **dict.fromkeys(("session", "sessions"), "sessions"),
    **dict.fromkeys(("shutdown", "status", "whoami"), "system"),
    "sockets": "sockets",
    "tools": "tools",
    "usage": "usage",
}
COMMANDS = frozenset(_MODULES)
JSON_WORDS = ("json", "--json")


class Command:
    """An entry in a module's table of commands.

    `forms` are the command's usage lines, without the leading `aish`; `purpose` is a sentence for `--help`.
    `run` takes the words after the command's name and returns the exit code.
    """

    def __init__(self, forms: "tuple[str, ...]", purpose: str, run: "Callable[[list[str]], int]") -> None:
        self.forms = forms
        self.purpose = purpose
        self.run = run


def run_command(words: "list[str]") -> int:
    """Run the command that the first word names, or show its syntax if the second word is `--help`.

    Raises:
        Failure: the command fails, or its words are invalid.
    """
    if words[1:2] in (["--help"], ["-h"]):
        words = ["help", words[0]]
    return find_command(words[0]).run(words[1:])


def find_command(name: str) -> Command:
    """Import the module of a command, and return the command. `name` is one of `COMMANDS`."""
    module = getattr(__import__(f"aish.commands.{_MODULES[name]}").commands, _MODULES[name])
    command: Command = module.COMMANDS[name]
    return command


def free_text(words: "list[str]", *forms: str) -> str:
    """Return the words joined by spaces, without the `--` before text that begins with `-`.

    Raises:
        Failure: a word before `--` looks like an option, which these commands do not have.
    """
    dashes = words.index("--") if "--" in words else len(words)
    if any(word[:1] == "-" and word.lstrip("-")[:1].isalpha() for word in words[:dashes]):
        raise usage_error(*forms)
    return " ".join((*words[:dashes], *words[dashes + 1 :]))


def take_value(left: "list[str]", *forms: str) -> str:
    """Remove and return the first word, the value of the option before it.

    Raises:
        Failure: it is missing, or is `--` or another option. (Such a value has to be written after `=`.)
    """
    if not left or left[0] == "--" or (left[0][:1] == "-" and left[0].lstrip("-")[:1].isalpha()):
        raise usage_error(*forms)
    return left.pop(0)


def wants_json(words: "list[str]", *forms: str) -> bool:
    """Return whether a command that lists something shall print JSON. `words`: those after the command.

    Raises:
        Failure: there are other words.
    """
    if len(words) > 1 or any(word not in JSON_WORDS for word in words):
        raise usage_error(*forms)
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
    from aish.render import cleaned, table

    rows = [heading, *([cleaned(cell) for cell in row(each)] for each in found)]
    return print_line(table(rows) if found else empty)


def usage_error(*forms: str) -> Exception:
    """Return the failure for a command whose words are invalid. It shows the command's usage."""
    from aish.exits import USAGE, Failure

    return Failure(f"usage: {' | '.join(f'aish {form}' for form in forms)}", USAGE)


def subcommand_error(command: str, subcommands: "Mapping[str, object]") -> Exception:
    """Return the failure for a subcommand that is missing or unknown. It lists the known ones."""
    return usage_error(f"{command} {'|'.join(subcommands)} … (aish {command} --help)")
