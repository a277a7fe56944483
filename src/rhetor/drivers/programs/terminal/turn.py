"""Decides when a program in a terminal has answered. It takes bytes and times, and returns text and the end.

These signs end a turn, the most reliable first: the program's own marks, its prompt, and that it waits for
input. Silence ends a turn only if none of them can be known. This module reads no terminal and sets no timer.
If the program never answers, the hub's own timeouts end the turn.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from rhetor.codec.ansi import Csi, Mark, Modes, Token, Tokenizer, mark_of
from rhetor.codec.plain_text import PlainText
from rhetor.drivers.programs.host.values import Reader
from rhetor.drivers.programs.status import Evidence, ended_by_exit
from rhetor.drivers.programs.terminal.dialogs import like_question
from rhetor.drivers.programs.terminal.new_text import new_lines, without_status, working
from rhetor.drivers.programs.terminal.prompts import like_prompt, same_prompt
from rhetor.drivers.programs.terminal.screen import Screen
from rhetor.drivers.programs.terminal.typed_echo import Typed

QUIET: Final = 0.6
SETTLE: Final = 0.05  # seconds of silence that end a turn after its prompt or its end mark
WAITED: Final = 0.3  # seconds of silence after which a program that waits for input has answered
UNCERTAIN: Final = (
    4.0  # seconds of silence before a line that looks like a prompt counts, if nothing else tells
)
LOOKS: Final = (SETTLE, 0.1, QUIET, 1.0, 2.0, UNCERTAIN)  # seconds of silence at which to look
LATER_LOOKS: Final = 1.0  # seconds between looks after that
WORKING: Final = 5.0  # seconds without a change that end a turn while the screen says that it is working
PLACED: Final = 3  # from this many placing sequences in a turn on, the program counts as full-screen
PLACED_BEFORE: Final = 24  # the same before the turn; ordinary programs clear their screen now and then
MAX_GIVEN: Final = 2000
MAX_ECHO: Final = 1 << 16  # characters that may be the echo of a text, more than its own


class TerminalTurn:
    """One turn. Times are seconds of any monotonic clock. Any chunking of the output gives the same result.

    `typed`: what was typed, without Enter. `marks`: the program marks its commands (OSC 133). `prompt`: the
    line with the cursor before the text was typed, or None if it was not a prompt. `screen`: the program's
    screen, in its state from before Enter; its owner feeds it each piece before `received` gets the piece.
    Without a screen, all programs count as printing lines. `before`: the rows of a full screen before the
    text was typed; the answer is what is new since then, for some programs act on each key. `echoed`: the
    echo of the text was seen before Enter was sent, so the output begins after it. `quiet`: seconds without a
    byte (for a full-screen program, without a change) that end the turn if no better sign does. `waited`: the
    same if the program waits for input.
    """

    def __init__(
        self,
        typed: bytes,
        marks: bool = False,
        *,
        prompt: str | None = None,
        screen: Screen | None = None,
        echoed: bool = True,
        before: Sequence[str] | None = None,
        quiet: float = QUIET,
        waited: float = WAITED,
    ) -> None:
        self.ended: Evidence | None = None
        self.taken = 0
        """Bytes of the output that this turn received, up to and including the piece that ended it."""
        self.last_output: float | None = None
        self.rest: list[Token] = []
        """What followed the mark that ended the turn, in the same piece."""
        self.tokenizer = Tokenizer()
        self._typed = typed.decode("utf-8", "replace")
        self._marks = marks
        self._prompt = prompt or None
        self._screen = screen
        self._quiet = quiet
        self._waited = waited
        self._looks = sorted({min(waited, SETTLE), waited, *LOOKS})
        self._plain = PlainText(screen.cols if screen else None)
        self._echo = Typed(self._typed, prompt, echoed=echoed, columns=self._columns)
        # a line editor may draw several lines again before it closes
        self._redraws = bool(screen and screen.bracketed_paste) and self._echo.several
        self._redrawn = ""
        self._command: PlainText | None = None  # between the marks C and D
        self._mark: Mark | None = None
        self._said = False
        self._reserved: list[str] = []  # lines that may be drawn again: a prompt, echo, blank lines below it
        self._modes = Modes()
        self._modes.alternate_screen = bool(screen and screen.alternate)
        self._placed = screen.placed if screen else 0
        self._lines_given: deque[str] = deque(maxlen=MAX_GIVEN)
        self._silent_since = 0.0
        self._shown = screen.text() if screen else []
        self._before = self._shown if before is None else before
        self._scrolled = screen.scrolled if screen else 0
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

    @property
    def finish_reason(self) -> str:
        """How sure the end is: `stop`; `silence` if only silence ended the turn; `screen` for the screen of a
        full-screen program."""
        if self.ended is None or self.ended.kind != "quiet":
            return "stop"
        return "screen" if self.full_screen else "silence"

    def started(self, now: float) -> None:
        """Note that Enter was sent."""
        self._silent_since = now
        self._due = now + self._looks[0]

    def received(self, data: bytes, now: float) -> str:
        """Take output; return the lines of the answer that are complete and can no longer be rewritten."""
        if self.ended or not data:
            return ""
        self.taken += len(data)
        self.last_output = now
        text = ""
        tokens = self.tokenizer.feed(data)
        for index, token in enumerate(tokens):
            text += self._take(token)
            if self._mark and self._mark.kind == "D" and not self._echo.several:
                self.rest = tokens[index + 1 :]
                return text + self._end(self._by_mark())
        self._plan(now)
        return text

    def tick(self, now: float, reader: Reader | None = None) -> str:
        """Check the time; return the rest of the answer if the turn ends now. `reader`: what the program does
        about input, None if that is not known."""
        if self.ended or self._due is None or now < self._due:
            return ""
        evidence = self._judged(now, reader)
        if evidence is None:
            self._due = self._next_look(now)
            return ""
        return self._end(evidence)

    def exited(self, code: int | None, signal: int | None, now: float) -> str:
        """End the turn because the program has ended and all of its output was received; return the rest of
        the answer."""
        return "" if self.ended else self._end(ended_by_exit(code, signal))

    def _take(self, token: Token) -> str:
        if mark := mark_of(token):
            return self._marked(mark)
        if self._redraws and isinstance(token, Csi) and _closes_editor(token):
            self._forget_redrawn()
        self._modes.take(token)
        if self._modes.alternate_screen:
            return ""
        if self._command is not None:
            return self._given(self._command.take(token))
        if self._reserved and isinstance(token, Csi) and token.final == "A":
            up = min(token.numbers()[0] or 1, len(self._reserved))
            self._plain.resume(self._reserved[-up].rstrip("\n"))
            del self._reserved[-up:]
        lines = self._unreserved(self._plain.take(token))
        return "" if self._said else self._unmarked(lines)

    def _forget_redrawn(self) -> None:
        """Note that the line editor has closed: what was drawn since Enter is the typed text."""
        self._echo.accepted(passed=bool(self._redrawn))
        self._redraws, self._redrawn, self._reserved = False, "", []
        self._plain.finish()

    def _unreserved(self, line: str) -> str:
        """Return lines that cannot be rewritten any more. Some line editors draw blank lines below their
        prompt, and below what was typed there, to reserve room, and then return to it."""
        if not line:
            return ""
        held, self._reserved = "".join(self._reserved), self._reserved
        if same_prompt(line.rstrip("\n"), self._prompt or ""):
            self._reserved = [line]
            return held
        if self._echo.expects(line) or (held and not line.strip()):
            self._reserved.append(line)
            return ""
        self._reserved = []
        return held + line

    def _unmarked(self, lines: str) -> str:
        """Return the lines of the answer that are outside of marks, without echo.

        If the program marks its commands, the lines are kept back: they are echo too, unless the command
        turns out not to have been run (a syntax error), so that it has no begin mark.
        """
        if self._redraws:
            self._redrawn += lines
            return ""
        rest = "".join([line for line in lines.splitlines(keepends=True) if not self._echo.is_echo(line)])
        if not self._marks:
            return self._given(rest)
        self._echo.kept += rest
        if len(self._echo.kept) > len(self._typed) + MAX_ECHO:  # too much for an echo
            self._marks, rest, self._echo.kept = False, self._echo.kept, ""
            return self._given(rest)
        return ""

    def _marked(self, mark: Mark) -> str:
        text = ""
        if mark.kind == "C":
            self._command, self._said = PlainText(self._columns), True
        elif mark.kind == "D" and self._command is not None:
            text = self._given(_unpadded(self._command.finish()))
            self._command = None
        elif mark.kind == "D" and not self._marks and not self._said:
            line = self._plain.finish()  # only the prompt is marked, so this is the end of the output
            text = "" if self._echo.is_echo(line) else self._given(_unpadded(line))
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
        self._silent_since = now
        if self.full_screen:
            self._plan_full_screen(now)
        else:
            self._due = now + self._looks[0]

    def _plan_full_screen(self, now: float) -> None:
        assert self._screen is not None
        shown = self._screen.text()
        if shown != self._shown or self._changed is None:
            self._shown, self._changed = shown, now
            self._due = now + (WORKING if working(shown) else self._quiet)

    def _next_look(self, now: float) -> float:
        silent = now - self._silent_since + 1e-6
        return next((self._silent_since + look for look in self._looks if look > silent), now + LATER_LOOKS)

    def _judged(self, now: float, reader: Reader | None) -> Evidence | None:
        if self.full_screen:
            return self._drawn(now, reader)
        if self._mark and self._mark.kind == "D":
            return self._by_mark()
        if reader == "no":
            return None
        line = self._plain if self._command is None else self._command
        if self._at_prompt():
            return Evidence("prompt", f"at its prompt {line.line.strip()!r}")
        return self._without_prompt(line, now - self._silent_since, reader)

    def _drawn(self, now: float, reader: Reader | None) -> Evidence | None:
        if self._changed is None:  # nothing was drawn since Enter
            drawn_all = reader in ("waits", "polls") and now - self._silent_since >= self._quiet
            return Evidence("quiet", "the screen has not changed") if drawn_all else None
        still = now - self._changed
        if reader == "no" or still + 1e-6 < (WORKING if working(self._shown) else self._quiet):
            return None
        return Evidence("quiet", f"the screen has not changed for {still:.1f} s")

    def _without_prompt(self, text: PlainText, silent: float, reader: Reader | None) -> Evidence | None:
        """Return evidence from what the program does about input, what its last line looks like, and how
        long it has been silent; None if it may go on."""
        line = text.line
        silent += 1e-6  # times are sums of floats
        if reader == "waits" and silent >= self._waited:
            return Evidence("waits", f"it waits for input{_at(line)}")
        asks = bool(line.strip()) and text.at_end and (self._past_echo or self._command is not None)
        # a program that asks one question after the other has no prompt that comes back
        expected = like_prompt(line) or not like_prompt(self._prompt or ">")
        if reader == "polls" and asks and expected and silent >= self._quiet:
            return Evidence("prompt", f"at its prompt {line.strip()!r}")
        if self.last_output is None:
            return None  # silence ends no answer that has not begun
        if not self._marks and self._prompt is None and silent >= self._quiet:
            return Evidence("quiet", f"no output for {self._quiet:g} s")
        looks_ready = asks and (like_prompt(line) or like_question(line))
        if silent >= UNCERTAIN and (looks_ready or not like_prompt(self._prompt or ">")):
            return Evidence("quiet", f"no output for {UNCERTAIN:g} s{_at(line)}")
        return None

    def _at_prompt(self) -> bool:
        return (
            self._prompt is not None
            and self._past_echo
            and self._plain.at_end
            and same_prompt(self._plain.line, self._prompt)
        )

    @property
    def _past_echo(self) -> bool:
        """Whether a line has ended since Enter, so that the current line is not the typed one."""
        return self._echo.passed or bool(self._reserved)

    def _by_mark(self) -> Evidence:
        code = self._mark.exit if self._mark else None
        return Evidence(
            "mark", "the command has finished" + (f", exit {code}" if code is not None else ""), code
        )

    def _end(self, evidence: Evidence) -> str:
        self.ended = evidence
        if self.full_screen and self._screen is not None:
            *rows, last = self._screen.text()
            last = without_status(last, self._before[-1])
            after = [*self._screen.history(self._scrolled), *rows, last]
            return new_lines([*self._before, *self._lines_given], after, self._typed)
        if self._command is not None:
            line = self._command.finish()
            return "" if self._is_prompt(evidence, line) else _unpadded(line)
        if self._said:
            return ""
        self._redraws = False
        rest = self._unmarked(self._redrawn + "".join(self._reserved))
        line = self._plain.finish()
        line = "" if evidence.kind == "mark" or self._is_prompt(evidence, line) else line
        rest += "" if self._echo.is_echo(line) else _unpadded(line)
        return self._echo.kept + rest

    def _is_prompt(self, evidence: Evidence, line: str) -> bool:
        """Return whether the last line is a prompt, which is no part of the answer; a question is one."""
        if evidence.kind == "prompt" and same_prompt(line, self._prompt or ""):
            return True
        return evidence.kind in ("prompt", "waits") and like_prompt(line) and not like_question(line)


def _closes_editor(token: Csi) -> bool:
    return (token.prefix, token.final) == ("?", "l") and 2004 in token.numbers()


def _at(line: str) -> str:
    return f" at {line.strip()!r}" if line.strip() else ""


def _unpadded(line: str) -> str:
    """Return a last line without newline, without trailing blanks, which come from the terminal."""
    return line.rstrip(" ")
