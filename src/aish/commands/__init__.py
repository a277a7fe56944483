"""The shell's commands: one module a noun. A command's name is never a peer's name."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Noun(Protocol):
        """What a module here offers: it takes the words after its name and returns the exit code."""

        def run(self, words: "list[str]") -> int: ...


# Those that have to do with programs as peers; `aish --help` says how each is written.
PROGRAM_COMMANDS = frozenset(("ci-terminal", "ci-tool", "explain", "tools", "wait"))
SESSION_COMMANDS = frozenset(("session", "sessions"))
# Those that arrange what is said to whom.
CHAIN_COMMANDS = frozenset(("context", "forward", "purpose", "route", "unforward"))
COMMANDS = (
    PROGRAM_COMMANDS
    | SESSION_COMMANDS
    | CHAIN_COMMANDS
    | {"approve", "deny", "doctor", "history", "list", "search", "shutdown", "sockets", "status"}
)


def run_command(words: "list[str]") -> int:
    """Run the command that the first word names.

    Raises:
        Failure: it fails, or its words do not hold together.
    """
    name, rest = words[0].replace("-", "_"), words[1:]
    if name == "session":
        name = "sessions"
    noun: Noun = getattr(__import__(f"aish.commands.{name}").commands, name)
    return noun.run(rest)


def usage(text: str) -> Exception:
    """The failure that says how a command is written."""
    from aish.exits import USAGE, Failure

    return Failure(f"aish: usage: {text}", USAGE)
