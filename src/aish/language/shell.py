"""Runs lines of the grammar, for `-c`, scripts and the prompt, and keeps the state between lines."""

import os
import sys

from aish import exits
from aish.client.hub import Hub
from aish.commands import COMMANDS, run_command
from aish.commands.help import show_peer_help
from aish.exits import Failure
from aish.language.pipeline import PipelineRun
from aish.language.resolve import Command, Program, Resolver
from aish.output import say
from aish.turns.input import read_input
from aish.turns.plan import PlanRun
from aish.turns.steps import steps_of
from rhetor.domain.grammar import (
    Broadcast,
    Call,
    GrammarError,
    Group,
    Options,
    Pipeline,
    Stage,
    find_separator,
    parse,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from aish.language.resolve import Resolved


_BACKGROUND_COMMANDS = ("ci-terminal", "ci-tool")  # commands that take a final `&`


class Exit(Exception):
    """The line is `exit`."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Shell:
    """Runs lines one after the other.

    `defaults` are the options of calls that do not set them. If `is_piped_into` is set, piped input goes to
    the first peers of a line, as with `sh -c`. Otherwise, peers get no piped input, because the lines come
    from standard input. `at_prompt`: a person types the lines, so each answer of a pipeline has a heading.
    """

    def __init__(
        self,
        hub: Hub | None = None,
        defaults: Options | None = None,
        *,
        is_piped_into: bool = False,
        at_prompt: bool = False,
    ) -> None:
        self.hub = hub or Hub()
        self._defaults = defaults or Options()
        self._is_piped_into = is_piped_into
        self._at_prompt = at_prompt
        self._sessions: dict[str, str] = {}
        self._code = exits.DONE

    def run(self, line: str, where: str = "") -> int:
        """Run one line, print its errors with the prefix `where`, and return the exit code.

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
        except (BrokenPipeError, Exit):
            raise
        except Exception as error:  # noqa: BLE001  # a bug must not end the shell
            from aish.client.unexpected import unexpected

            say(unexpected(error).shown)
            self._code = exits.FAILED
        return self._code

    def run_lines(self, lines: "Iterable[str]", name: str = "") -> int:
        """Run the lines of a script, and return the last exit code. As in `sh`, a failed line does not end
        it."""
        try:
            for number, line in whole_lines(lines):
                self.run(line, f"{name}:{number}: " if name else "")
        except Exit as request:
            return request.code
        return self._code

    def _run(self, line: str) -> int:
        parsed = parse(line)
        if isinstance(parsed, Broadcast):
            return self._broadcast(parsed)
        if (code := self._builtin(parsed)) is not None:
            return code
        resolver = Resolver(self.hub, self._defaults)
        if (word := _word_before_help(parsed)) and resolver.is_peer(word):
            return show_peer_help(self.hub, word)
        parts = [resolver.resolve(stage) for stage in parsed.stages]
        has_files = parsed.source is not None or parsed.sink is not None
        if len(parts) == 1 and isinstance(parts[0], Command) and not has_files:
            return self._command(parsed.stages[0], parts[0])
        parts = [_without_command(part) for part in parts]
        run = PipelineRun(self.hub, parsed, parts, self._sessions, with_headings=self._at_prompt)
        return run.run(self._read_piped)

    def _command(self, stage: "Stage | Group", command: Command) -> int:
        runs_in_background = command.words[0] in _BACKGROUND_COMMANDS and find_separator(command.raw) == (
            "&",
            len(command.raw) - 1,
        )
        if runs_in_background:
            words = [word for word in (*command.words[:-1], command.words[-1].removesuffix("&")) if word]
            return run_command([words[0], "--detach", *words[1:]])
        if isinstance(stage, Stage):
            stage.reject_separators()
        return run_command(command.words)

    def _broadcast(self, broadcast: Broadcast) -> int:
        options = broadcast.options.over(self._defaults)
        calls = [Call(target, broadcast.text, options) for target in broadcast.targets]
        run = PlanRun(self.hub, steps_of([calls], self._sessions), options, None, self._sessions)
        return run.run(self._read_piped())

    def _read_piped(self) -> str:
        """Return the piped input for the first peers that read it; empty for later ones."""
        return read_input() if self._is_piped_into else ""

    def _builtin(self, pipeline: Pipeline) -> int | None:
        """Run `exit` or `cd`; return None if the line is something else."""
        stage = pipeline.stages[0]
        if len(pipeline.stages) > 1 or not isinstance(stage, Stage):
            return None
        if stage.word not in ("exit", "cd"):
            return None
        stage.reject_separators()
        if len(stage.arguments) > 1:
            raise Failure(f"{stage.word} takes one argument", exits.USAGE)
        if stage.word == "exit":
            raise Exit(_exit_code(stage.arguments, self._code))
        return _change_folder(stage.arguments)


def _word_before_help(pipeline: Pipeline) -> str:
    """Return X if the line is `X --help` and X is not a command; otherwise, an empty string."""
    stage = pipeline.stages[0]
    if len(pipeline.stages) > 1 or not isinstance(stage, Stage) or stage.word in COMMANDS:
        return ""
    return stage.word if stage.arguments in (["--help"], ["-h"]) else ""


def whole_lines(lines: "Iterable[str]") -> "Iterator[tuple[int, str]]":
    """Yield numbered lines without comments. An unfinished line is joined with the next one."""
    held, begin = "", 0
    for number, line in enumerate(lines, 1):
        line = line.rstrip("\r\n")
        if not held:
            begin = number
            if not line.strip() or line.lstrip().startswith("#"):
                continue
        held += line
        if _is_continued(held):
            held = held[:-1]
        elif is_unfinished(held):
            held += "\n"
        else:
            yield begin, held
            held = ""
    if held.strip():
        yield begin, held.rstrip("\n")


def _is_continued(line: str) -> bool:
    """Whether the line ends with a backslash that is not escaped."""
    return (len(line) - len(line.rstrip("\\"))) % 2 == 1


def is_unfinished(line: str) -> bool:
    """Whether more text could complete the line: it has an open quote, or ends with `|`."""
    try:
        parse(line)
    except GrammarError as error:
        return error.unfinished
    return False


def _without_command(part: "Resolved") -> "Resolved":
    """Return the part; a command becomes a program, because between pipes it runs in its own process."""
    if not isinstance(part, Command):
        return part
    interpreter = "'" + sys.executable.replace("'", "'\\''") + "'"
    return Program(f"{interpreter} -m aish {part.raw}")


def _exit_code(arguments: "list[str]", last: int) -> int:
    if not arguments:
        return last
    if not (arguments[0].isascii() and arguments[0].isdigit()):
        raise Failure(f"exit: {arguments[0]!r} is not a number", exits.USAGE)
    return int(arguments[0]) & 0xFF


def _change_folder(arguments: "list[str]") -> int:
    folder = os.path.expanduser(arguments[0] if arguments else "~")  # noqa: PTH111
    try:
        os.chdir(folder)
    except OSError as error:
        raise Failure(f"cd: {folder}: {error.strerror}") from None
    return exits.DONE


def run_script_file(path: str, defaults: "Options | None" = None) -> int:
    """Run the lines of a file, whose first line may be `#!/usr/bin/env aish`.

    Raises:
        Failure: the file cannot be read.
    """
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = file.read().split("\n")
    except OSError as error:
        raise Failure(f"cannot read {path}: {error.strerror}", exits.UNKNOWN) from None
    return Shell(defaults=defaults, is_piped_into=True).run_lines(lines, path)


def run_text(text: str, defaults: "Options | None" = None, *, is_piped_into: bool = False) -> int:
    """Run a text of one or more lines: the argument of `-c`, or standard input."""
    return Shell(defaults=defaults, is_piped_into=is_piped_into).run_lines(text.split("\n"))
