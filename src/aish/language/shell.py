"""Runs lines of the grammar, for `-c`, scripts and the prompt, and keeps the state between lines."""

import os
import sys
from itertools import pairwise

from aish import exits
from aish.client.failures import say_failure
from aish.client.hub import Hub
from aish.commands import COMMANDS, run_command
from aish.commands.help import show_peer_help
from aish.exits import Failure
from aish.language.builtins import BUILTINS, Exit, run_builtin
from aish.language.pipeline import PipelineRun
from aish.language.resolve import Command, Program, Resolver
from aish.output import say
from aish.turns.input import read_input
from aish.turns.plan import PlanRun
from aish.turns.prepared import all_prepared
from aish.turns.steps import steps_of
from rhetor.domain.grammar import (
    Broadcast,
    GrammarError,
    Group,
    Options,
    Pipeline,
    Stage,
    parse,
)
from rhetor.domain.grammar.lists import split_list
from rhetor.domain.grammar.text import find_separator

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import TypeVar

    from aish.language.resolve import Resolved
    from rhetor.domain.grammar.lists import Line

    Result = TypeVar("Result")


_PLACES = ("$1", "$@", "$*", "${1}")  # where the line of an alias has its arguments
_BACKGROUND_COMMANDS = ("ci-terminal", "ci-tool")  # commands that take a final `&`


class Shell:
    """Runs lines one after the other.

    `defaults` are the options of calls that do not set them. If `is_piped_into` is set, piped input goes to
    the first peers of a line, as with `sh -c`. Otherwise, peers get no piped input, because the lines come
    from standard input. `at_prompt`: a person types the lines, so each answer of a pipeline has a heading.
    `arguments`: the name of the script or alias and the values of `$1`, `$2` and so on. `inside_alias`: the
    lines are those of an alias, which calls no other alias.
    """

    def __init__(
        self,
        hub: Hub | None = None,
        defaults: Options | None = None,
        *,
        is_piped_into: bool = False,
        at_prompt: bool = False,
        arguments: "Sequence[str]" = (),
        inside_alias: bool = False,
    ) -> None:
        self.hub = hub or Hub()
        self._defaults = defaults or Options()
        self._is_piped_into = is_piped_into
        self._at_prompt = at_prompt
        self._arguments = arguments
        self._inside_alias = inside_alias
        self._sessions: dict[str, str] = {}
        self._code = exits.DONE

    def run(self, text: str, where: str = "") -> int:
        """Run the lines in a text such as `a && b; c`, print their errors with the prefix `where`, and return
        the last exit code. A text with an invalid line is not run at all.

        Raises:
            Exit: a line is `exit`.
            KeyboardInterrupt: the user stopped a line; those after it are not run.
        """
        if not text.strip() or text.lstrip().startswith("#"):
            return self._code
        try:
            lines = split_list(text)
            self._check([_at(line, parse) for line in lines])
        except GrammarError as error:
            say(f"aish: {where}{error}")
            self._code = exits.USAGE
            return self._code
        except Failure as failure:
            say_failure(failure)
            self._code = failure.code
            return self._code
        for line in lines:
            if line.condition and (line.condition == "&&") != (self._code == exits.DONE):
                continue
            self._code = self._run_line(line, where)
            if self._code == exits.INTERRUPTED:
                break
        return self._code

    def _check(self, lines: "Sequence[Pipeline | Broadcast]") -> None:
        """Check the word after each message: `apollo fix this; then that` must not be sent in part, because
        its writer meant one message.

        Raises:
            Failure: the word is unknown, or the hub cannot be reached.
        """
        resolver = self._resolver()
        for before, line in pairwise(lines):
            first = line.stages[0] if isinstance(line, Pipeline) else None
            if not isinstance(first, Stage) or first.word in BUILTINS or first.raw.startswith("$"):
                continue
            last = before.stages[-1] if isinstance(before, Pipeline) else None
            if last is None or not isinstance(last, Stage) or resolver.is_peer(last.word):
                resolver.require(first.word)

    def _run_line(self, line: "Line", where: str) -> int:
        try:
            return _at(line, self._run)
        except GrammarError as error:
            say(f"aish: {where}{error}")
            return exits.USAGE
        except Failure as failure:
            say_failure(failure)
            return failure.code
        except (BrokenPipeError, Exit):
            raise
        except Exception as error:  # noqa: BLE001  # a bug must not end the shell
            from aish.client.unexpected import unexpected

            say(unexpected(error).shown)
            return exits.FAILED

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
        parsed = parse(line, self._value)
        if isinstance(parsed, Broadcast):
            return self._broadcast(parsed)
        if (code := self._builtin(parsed)) is not None:
            return code
        resolver = self._resolver()
        if (word := _word_before_help(parsed)) and resolver.is_peer(word):
            return show_peer_help(self.hub, word)
        parts = [resolver.resolve(stage) for stage in parsed.stages]
        has_files = parsed.source is not None or parsed.sink is not None
        if len(parts) == 1 and isinstance(parts[0], Command) and not has_files:
            return self._command(parsed.stages[0], parts[0], resolver)
        parts = [_without_command(part) for part in parts]
        run = PipelineRun(
            self.hub,
            parsed,
            parts,
            self._sessions,
            with_headings=self._at_prompt,
            arguments=self._arguments,
        )
        return run.run(self._read_piped)

    def _value(self, name: str) -> str | None:
        """Return the value of a variable, or None if it is not set.

        Raises:
            Failure: an argument of an alias is missing.
        """
        if name in ("@", "*"):
            return " ".join(self._arguments[1:])
        if not name.isdigit():
            return os.environ.get(name)
        if int(name) < len(self._arguments):
            return self._arguments[int(name)]
        if self._inside_alias:
            raise _missing_argument(self._arguments[0], name)
        return None

    def _resolver(self) -> Resolver:
        return Resolver(self.hub, self._defaults, self._value, inside_alias=self._inside_alias)

    def _command(self, stage: "Stage | Group", command: Command, resolver: Resolver) -> int:
        runs_in_background = command.words[0] in _BACKGROUND_COMMANDS and find_separator(command.raw) == (
            "&",
            len(command.raw) - 1,
        )
        if runs_in_background:
            words = [word for word in (*command.words[:-1], command.words[-1].removesuffix("&")) if word]
            return run_command([words[0], "--detach", *words[1:]])
        if isinstance(stage, Stage):
            stage.reject_separators()
        name, *words = command.words
        if name in COMMANDS:
            return run_command(command.words)
        line, is_piped_into = resolver.alias(name) or "", self._is_piped_into
        return run_alias(self.hub, name, line, words, self._defaults, is_piped_into=is_piped_into)

    def _broadcast(self, broadcast: Broadcast) -> int:
        options = broadcast.options.over(self._defaults)
        calls = all_prepared(self.hub, broadcast.targets, broadcast.text, options)
        run = PlanRun(self.hub, steps_of([calls], self._sessions), options, None, self._sessions)
        return run.run(self._read_piped())

    def _read_piped(self) -> str:
        """Return the piped input for the first peers that read it; empty for later ones."""
        return read_input() if self._is_piped_into else ""

    def _builtin(self, pipeline: Pipeline) -> int | None:
        """Run a line that changes the shell itself; return None if the line is something else."""
        stage = pipeline.stages[0]
        has_files = pipeline.source is not None or pipeline.sink is not None
        if len(pipeline.stages) > 1 or not isinstance(stage, Stage) or has_files:
            return None
        name, assigns, _ = stage.word.partition("=")
        if assigns and name.isidentifier() and not stage.arguments:
            raise Failure(f"{name}=… alone has no effect; write: export {name}=VALUE", exits.USAGE)
        if stage.word not in BUILTINS:
            return None
        stage.reject_separators()
        return run_builtin(stage.word, stage.expanded(self._value).arguments, self._code)


def _at(line: "Line", work: "Callable[[str], Result]") -> "Result":
    """Do the work for the text of a line. The columns of errors are those of the whole list.

    Raises:
        GrammarError: the work raises it.
    """
    try:
        return work(line.text)
    except GrammarError as error:
        if line.start:
            error.column += line.start
        raise


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
        held = joined(held, line)
        if not is_unfinished(held):
            yield begin, held
            held = ""
    if held.strip():
        yield begin, joined(held, "")


def joined(unfinished: str, line: str) -> str:
    """Return an unfinished line with the next one."""
    if not unfinished or is_continued(unfinished):
        return unfinished[:-1] + line
    return f"{unfinished}\n{line}"


def is_continued(line: str) -> bool:
    """Whether the line ends with a backslash that is not escaped."""
    return (len(line) - len(line.rstrip("\\"))) % 2 == 1


def is_unfinished(line: str) -> bool:
    """Whether more text could complete the line: it has an open quote, or ends with `|`, `&&` or a
    backslash."""
    if is_continued(line):
        return True
    try:
        for each in split_list(line):
            parse(each.text)
    except GrammarError as error:
        return error.unfinished
    return False


def _without_command(part: "Resolved") -> "Resolved":
    """Return the part; a command becomes a program, because between pipes it runs in its own process."""
    if not isinstance(part, Command):
        return part
    interpreter = "'" + sys.executable.replace("'", "'\\''") + "'"
    return Program(f"{interpreter} -m aish {part.raw}")


def run_script_file(path: str, arguments: "Sequence[str]", defaults: "Options | None" = None) -> int:
    """Run the lines of a file, whose first line may be `#!/usr/bin/env aish`. `arguments`: `$1` and so on.

    Raises:
        Failure: the file cannot be read.
    """
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = file.read().split("\n")
    except OSError as error:
        raise Failure(f"cannot read {path}: {error.strerror}", exits.UNKNOWN) from None
    shell = Shell(defaults=defaults, is_piped_into=True, arguments=(path, *arguments))
    return shell.run_lines(lines, path)


def _missing_argument(alias: str, place: str) -> Failure:
    return Failure(
        f"the alias {alias} needs an argument for ${place}",
        exits.USAGE,
        hint=f"aish alias show {alias} prints its line",
    )


def run_text(text: str, defaults: "Options | None" = None, *, is_piped_into: bool = False) -> int:
    """Run a text of one or more lines: the argument of `-c`, or standard input."""
    return Shell(defaults=defaults, is_piped_into=is_piped_into).run_lines(text.split("\n"))


def run_alias(
    hub: Hub,
    name: str,
    line: str,
    arguments: "Sequence[str]",
    defaults: "Options | None" = None,
    *,
    is_piped_into: bool = False,
) -> int:
    """Run the line of an alias. `is_piped_into`: its first peers receive piped input.

    Raises:
        Failure: there are arguments, but the line has no place for them.
    """
    if arguments and not any(each in line for each in _PLACES):
        raise Failure(f"the alias {name} takes no arguments; write $@ where they belong", exits.USAGE)
    shell = Shell(hub, defaults, is_piped_into=is_piped_into, arguments=(name, *arguments), inside_alias=True)
    return shell.run_lines(line.split("\n"))
