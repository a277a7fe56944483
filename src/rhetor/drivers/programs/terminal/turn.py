"""Decides when a program in a terminal has answered. It takes bytes and times, and returns text and the end.

Three signs end a turn, the most reliable first: the program's own marks, its prompt, and silence. It reads no
terminal and sets no timer. If the program never answers, the hub's own timeouts end the turn.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from rhetor.codec.ansi import Mark, Modes, Token, Tokenizer, mark_of
from rhetor.codec.plain_text import PlainText
from rhetor.drivers.programs.status import Evidence, ended_by_exit
from rhetor.drivers.programs.terminal.dialogs import like_prompt, like_question, same_prompt
from rhetor.drivers.programs.terminal.new_text import new_lines, working
from rhetor.drivers.programs.terminal.screen import Screen
from rhetor.drivers.programs.terminal.typed_echo import Typed

QUIET: Final = 0.6
SETTLE: Final = 0.05  # seconds of silence that end a turn after its prompt or its end mark
FOREIGN: Final = 3.0  # seconds of silence after which a prompt that a running command shows ends the turn
WORKING: Final = 5.0  # seconds without a change that end a turn while the screen says that it is working
PLACED: Final = 3  # from this many placing sequences in a turn on, the program counts as full-screen
PLACED_BEFORE: Final = 24  # the same before the turn; ordinary programs clear their screen now and then
MAX_GIVEN: Final = 2000


class TerminalTurn:
    """One turn. Times are seconds of any monotonic clock. Any chunking of the output gives the same result.

    `typed`: what was typed, without Enter. `marks`: the program marks its commands (OSC 133). `prompt`: the
    line with the cursor before the text was typed, or None if it was not a prompt. `screen`: the program's
    screen, in its state from before Enter; its owner feeds it each piece before `received` gets the piece.
    Without a screen, all programs count as printing lines. `echoed`: the echo of the text was seen before
    Enter was sent, so the output begins after it. `quiet`: seconds without a byte (for a full-screen program,
    without a change) that end the turn if no better sign does.
    """

    def __init__(
        self,
        typed: bytes,
        marks: bool = False,
        *,
        prompt: str | None = None,
        screen: Screen | None = None,
        echoed: bool = True,
        quiet: float = QUIET,
    ) -> None:
        self.ended: Evidence | None = None
        self.taken = 0
        """Bytes of the output that this turn received, up to and including the piece that ended it."""
        self.last_output: float | None = None
        self._typed = typed.decode("utf-8", "replace")
        self._marks = marks
        self._prompt = prompt
        self._screen = screen
        self._quiet = quiet
        self._tokenizer = Tokenizer()
        self._plain = PlainText(screen.cols if screen else None)
        self._echo = Typed(self._typed, prompt, echoed=echoed)
        self._command: PlainText | None = None  # between the marks C and D
        self._mark: Mark | None = None
        self._said = False
        self._modes = Modes()
        self._modes.alternate_screen = bool(screen and screen.alternate)
        self._placed = screen.placed if screen else 0
        self._lines_given: deque[str] = deque(maxlen=MAX_GIVEN)
        self._before = screen.text() if screen else []
        self._scrolled = screen.scrolled if screen else 0
        self._shown = self._before
        self._changed: float | None = None
        self._due: float | None = None

    @property
    def due(self) -> float | None:
        """When to call `tick`, unless there is output earlier. None if the time alone cannot end the turn."""
        return None if self.ended else self._due

    @property
    def full_screen(self) -> bool:
        """Whether the program draws its screen. Its answer is then what is new there, returned at the end."""
        screen = self._screen
        if screen is None:
            return False
        drew = self._placed >= PLACED_BEFORE and not self._marks
        return screen.alternate or drew or screen.placed - self._placed >= PLACED

    def started(self, now: float) -> None:
        """Note that Enter was sent."""
        self._due = None

    def received(self, data: bytes, now: float) -> str:
        """Take output; return the lines of the answer that are complete and can no longer be rewritten."""
        if self.ended or not data:
            return ""
        self.taken += len(data)
        self.last_output = now
        text = ""
        for token in self._tokenizer.feed(data):
            text += self._take(token)
            if self._mark and self._mark.kind == "D" and not self._echo.several:
                return text + self._end(self._by_mark())
        self._plan(now)
        return text

    def tick(self, now: float) -> str:
        """Check the time; return the rest of the answer if the turn ends now."""
        if self.ended or self._due is None or now < self._due:
            return ""
        evidence = self._judged(now)
        return self._end(evidence) if evidence else ""

    def exited(self, code: int | None, signal: int | None, now: float) -> str:
        """End the turn because the program has ended and all of its output was received; return the rest of
        the answer."""
        return "" if self.ended else self._end(ended_by_exit(code, signal))

    def _take(self, token: Token) -> str:
        if mark := mark_of(token):
            return self._marked(mark)
        self._modes.take(token)
        if self._modes.alternate_screen:
            return ""
        if self._command is not None:
            return self._given(self._command.take(token))
        lines = self._plain.take(token)
        return "" if self._said else self._unmarked(lines)

    def _unmarked(self, lines: str) -> str:
        """Return the lines of the answer that are outside of marks, without echo.

        If the program marks its commands, the lines are kept back: they are echo too, unless the command
        turns out not to have been run (a syntax error), so that it has no begin mark.
        """
        rest = "".join([line for line in lines.splitlines(keepends=True) if not self._echo.is_echo(line)])
        if not self._marks:
            return self._given(rest)
        self._echo.keep(rest)
        return ""

    def _marked(self, mark: Mark) -> str:
        text = ""
        if mark.kind == "C":
            self._command, self._said = PlainText(self._columns), True
        elif mark.kind == "D" and self._command is not None:
            text = self._given(_unpadded(self._command.finish()))
            self._command = None
        if mark.kind in "CD":
            self._mark = mark
        return text

    @property
    def _columns(self) -> int | None:
        return self._screen.cols if self._screen else None

    def _given(self, text: str) -> str:
        """Return `text`, or nothing if the program draws its screen: then the answer comes at the end."""
        if self.full_screen:
            return ""
        if text and self._screen:
            self._lines_given.extend(text.splitlines())
        return text

    def _plan(self, now: float) -> None:
        """Set the time at which to check whether the turn has ended."""
        if self.full_screen:
            self._plan_full_screen(now)
        elif self._mark and self._mark.kind == "D":
            self._due = now + SETTLE
        elif self._command is not None:
            self._due = now + FOREIGN
        else:
            self._due = now + (SETTLE if self._at_prompt() and not self._marks else self._quiet)

    def _plan_full_screen(self, now: float) -> None:
        assert self._screen is not None
        shown = self._screen.text()
        if shown != self._shown or self._due is None:
            self._shown, self._changed = shown, now
            self._due = now + (WORKING if working(shown) else self._quiet)

    def _judged(self, now: float) -> Evidence | None:
        self._due = None
        if self.full_screen:
            return Evidence("quiet", f"the screen has not changed for {now - (self._changed or now):.1f} s")
        if self._mark and self._mark.kind == "D":
            return self._by_mark()
        if self._command is not None:
            return self._within_command(self._command)
        line = self._plain.line
        if self._at_prompt() or (self._echo.passed and self._plain.at_end and like_prompt(line)):
            return Evidence("prompt", f"at its prompt {line.strip()!r}")
        return Evidence("quiet", f"no output for {self._quiet:g} s")

    def _within_command(self, command: PlainText) -> Evidence | None:
        """Return evidence that a running command waits for input, because it is a shell or an interpreter
        itself or asks a question; None if it does not wait."""
        line = command.line
        if not command.at_end or not (like_prompt(line) or like_question(line)):
            return None
        return Evidence("prompt", f"the command waits at {line.strip()!r}")

    def _at_prompt(self) -> bool:
        return (
            self._prompt is not None
            and self._echo.passed
            and self._plain.at_end
            and same_prompt(self._plain.line, self._prompt)
        )

    def _by_mark(self) -> Evidence:
        code = self._mark.exit if self._mark else None
        return Evidence(
            "mark", "the command has finished" + (f", exit {code}" if code is not None else ""), code
        )

    def _end(self, evidence: Evidence) -> str:
        self.ended = evidence
        if self.full_screen and self._screen is not None:
            after = [*self._screen.history(self._scrolled), *self._screen.text()]
            return new_lines([*self._before, *self._lines_given], after, self._typed)
        if self._command is not None:
            line = self._command.finish()
            return "" if evidence.kind == "prompt" and not like_question(line) else _unpadded(line)
        if self._said:
            return ""
        line = "" if evidence.kind in ("prompt", "mark") else self._plain.finish()
        rest = "" if self._echo.is_echo(line) else _unpadded(line)
        return self._echo.kept + rest


def _unpadded(line: str) -> str:
    """Return a last line without newline, without trailing blanks, which come from the terminal."""
    return line.rstrip(" ")
