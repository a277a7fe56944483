"""A shell of lines: `-c`, scripts and the prompt all run here. It keeps what lasts from line to line."""

import os
import sys

from aish import exits
from aish.client.hub import Hub
from aish.commands import run_command
from aish.exits import Failure
from aish.language.pipeline import Line
from aish.language.resolve import Command, Program, Resolver
from aish.output import say
from aish.turns.message import read_input
from aish.turns.plan import PlanRun
from aish.turns.steps import steps_of
from rhetor.domain.grammar import Broadcast, Call, GrammarError, Options, Pipeline, Stage, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from aish.language.resolve import Resolved


_WRAPPERS = ("ci-terminal", "ci-tool")


class Exit(Exception):
    """The line asks the shell to end."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Shell:
    """`defaults`: options that every call of a line has, where it does not say otherwise. `is_piped_into`:
    what is piped into the shell is for its lines, as in `sh -c`; else its lines come from there."""

    def __init__(
        self, hub: Hub | None = None, defaults: Options | None = None, *, is_piped_into: bool = False
    ) -> None:
        self.hub = hub or Hub()
        self._defaults = defaults or Options()
        self._is_piped_into = is_piped_into
        self._sessions: dict[str, str] = {}
        self._code = exits.DONE

    def run(self, line: str, where: str = "") -> int:
        """Run one line and say what went wrong, in front of it `where`. The exit code.

        Raises:
            Exit: the line is `exit`.
            KeyboardInterrupt: the user stopped the line.
        """
        try:
            self._code = self._run(line)
        except GrammarError as error:
            say(f"aish: {where}{error}")
            self._code = exits.USAGE
        except Failure as failure:
            say(failure.shown)
            self._code = failure.code
        return self._code

    def run_lines(self, lines: "Iterable[str]", name: str = "") -> int:
        """Run all lines of a script, as `sh` does: one that fails does not end it. The last exit code."""
        try:
            for number, line in whole_lines(lines):
                self.run(line, f"{name}:{number}: " if name else "")
        except Exit as asked:
            return asked.code
        return self._code

    def _run(self, line: str) -> int:
        parsed = parse(line)
        if isinstance(parsed, Broadcast):
            return self._broadcast(parsed)
        if (code := self._builtin(parsed)) is not None:
            return code
        resolver = Resolver(self.hub, self._defaults)
        parts = [resolver.resolve(stage) for stage in parsed.stages]
        has_files = parsed.source is not None or parsed.sink is not None
        if len(parts) == 1 and isinstance(parts[0], Command) and not has_files:
            return _run_command(parts[0])
        parts = [_without_command(part) for part in parts]
        return Line(self.hub, parsed, parts, self._sessions).run(self._given)

    def _broadcast(self, broadcast: Broadcast) -> int:
        options = broadcast.options.over(self._defaults)
        calls = [Call(target, broadcast.text, options) for target in broadcast.targets]
        run = PlanRun(self.hub, steps_of([calls], self._sessions), options, None, self._sessions)
        return run.run(self._given())

    def _given(self) -> str:
        """What is piped in, for the first peers that take input; whoever comes later finds nothing more."""
        return read_input() if self._is_piped_into else ""

    def _builtin(self, pipeline: Pipeline) -> int | None:
        """What only the shell itself can do; None where the line asks for nothing of that."""
        stage = pipeline.stages[0]
        if len(pipeline.stages) > 1 or not isinstance(stage, Stage):
            return None
        if stage.word == "exit":
            raise Exit(_exit_code(stage.arguments, self._code))
        if stage.word == "cd":
            return _change_folder(stage.arguments)
        return None


def whole_lines(lines: "Iterable[str]") -> "Iterator[tuple[int, str]]":
    """Lines with their numbers, without comments; one that is not finished takes the next ones in."""
    held, begin = "", 0
    for number, line in enumerate(lines, 1):
        line = line.rstrip("\r\n")
        if not held:
            begin = number
            if not line.strip() or line.lstrip().startswith("#"):
                continue
        held += line
        if _goes_on(held):
            held = held[:-1]
        elif is_unfinished(held):
            held += "\n"
        else:
            yield begin, held
            held = ""
    if held.strip():
        yield begin, held.rstrip("\n")


def _goes_on(line: str) -> bool:
    """Whether the line ends with a backslash that no other one escapes."""
    return (len(line) - len(line.rstrip("\\"))) % 2 == 1


def is_unfinished(line: str) -> bool:
    """Whether more text could make the line whole: an open quotation, a `|` at the end."""
    try:
        parse(line)
    except GrammarError as error:
        return error.unfinished
    return False


def _run_command(command: Command) -> int:
    words = command.words
    if words[0] in _WRAPPERS and command.raw.endswith("&"):  # in quotes it would end with those
        words = [words[0], "--detach", *words[1:-1], *filter(None, (words[-1][:-1],))]
    return run_command(words)


def _without_command(part: "Resolved") -> "Resolved":
    """A command between pipes runs in a process of its own, like any other program there."""
    if not isinstance(part, Command):
        return part
    interpreter = "'" + sys.executable.replace("'", "'\\''") + "'"
    return Program(f"{interpreter} -m aish {part.raw}")


def _exit_code(arguments: "list[str]", last: int) -> int:
    if not arguments:
        return last
    if not (arguments[0].isascii() and arguments[0].isdigit()):
        raise Failure(f"aish: exit: {arguments[0]}: a number is needed", exits.USAGE)
    return int(arguments[0]) & 0xFF


def _change_folder(arguments: "list[str]") -> int:
    folder = os.path.expanduser(arguments[0] if arguments else "~")  # noqa: PTH111
    try:
        os.chdir(folder)
    except OSError as error:
        raise Failure(f"aish: cd: {folder}: {error.strerror}") from None
    return exits.DONE


def run_script_file(path: str) -> int:
    """Run the lines of a file; its first may be `#!/usr/bin/env aish`.

    Raises:
        Failure: the file cannot be read.
    """
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = file.read().split("\n")
    except OSError as error:
        raise Failure(f"aish: {path}: {error.strerror}", exits.UNKNOWN) from None
    return Shell(is_piped_into=True).run_lines(lines, path)


def run_text(text: str, defaults: "Options | None" = None, *, is_piped_into: bool = False) -> int:
    """Run a text of one or more lines: standard input itself, or what is after `-c`, and that is for them."""
    return Shell(defaults=defaults, is_piped_into=is_piped_into).run_lines(text.split("\n"))
