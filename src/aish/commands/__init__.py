"""The shell's commands: one module a noun. A command's name is never a peer's name."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Noun(Protocol):
        """What a module here offers: `run` takes the words after its name and returns the exit code."""

        HOW: str
        """How it is written: its forms with ` | ` between them, the first one from `aish` on."""

        def run(self, words: "list[str]") -> int: ...


COMMANDS = frozenset(
    (
        *("approve", "ci-terminal", "ci-tool", "context", "deny", "doctor", "explain", "forward", "help"),
        *("history", "list", "purpose", "route", "search", "session", "sessions", "shutdown", "sockets"),
        *("status", "tools", "unforward", "wait"),
    )
)


def run_command(words: "list[str]") -> int:
    """Run the command that the first word names; with `--help` behind it, say how it is written.

    Raises:
        Failure: it fails, or its words do not hold together.
    """
    if words[1:2] in (["--help"], ["-h"]):
        words = ["help", words[0]]
    return noun_of(words[0]).run(words[1:])


def noun_of(command: str) -> "Noun":
    """The module of a command."""
    name = "sessions" if command == "session" else command.replace("-", "_")
    noun: Noun = getattr(__import__(f"aish.commands.{name}").commands, name)
    return noun


def usage(text: str) -> Exception:
    """The failure that says how a command is written."""
    from aish.exits import USAGE, Failure

    return Failure(f"aish: usage: {text}", USAGE)
