"""Extracts the lines that a program prints although no message asked for them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from rhetor.codec.ansi import Csi, Mark, Modes, Token, Tokenizer, mark_of
from rhetor.codec.plain_text import PlainText
from rhetor.drivers.programs.terminal.prompts import like_prompt


class Unasked:
    """Turns output between two turns into whole lines, without prompts, without the echo of what is typed,
    and without what a full-screen program draws.

    `columns`: the width of the terminal. `tokenizer`: that of the turn before, which may have read the
    beginning of a sequence. `after_command`: the program has marked the end of a command, and its prompt
    follows.
    """

    def __init__(
        self, columns: int | None, tokenizer: Tokenizer | None = None, *, after_command: bool = False
    ) -> None:
        self._tokenizer = tokenizer or Tokenizer()
        self._modes = Modes()
        self._plain = PlainText(columns)
        self._before_prompt = after_command
        self._in_prompt = False
        self._lines = ""

    def resize(self, columns: int) -> None:
        self._plain.columns = columns

    def feed(self, data: bytes) -> None:
        for token in self._tokenizer.feed(data):
            self.take(token)

    def take(self, token: Token) -> None:
        """Do the same as `feed`, for one token."""
        if mark := mark_of(token):
            self._marked(mark)
            return
        self._modes.take(token)
        if self._modes.alternate_screen:
            return
        if self._lines and isinstance(token, Csi) and token.final == "A":
            rows = (token.numbers()[0] or 1) - self._plain.row
            if rows > 0:
                self._return_up(rows)
                return
        lines = self._plain.take(token)
        if lines.strip() or not (self._before_prompt or self._in_prompt):
            self._lines += "" if self._in_prompt else lines

    def _return_up(self, rows: int) -> None:
        """Forget what a line editor has drawn below its line, such as a preview: it returns to that line."""
        lines = self._lines.splitlines(keepends=True)
        first = max(len(lines) - rows, 0)
        self._plain.resume(lines[first].rstrip("\n"))
        self._lines = "".join(lines[:first])

    def _marked(self, mark: Mark) -> None:
        if mark.kind == "A":
            before = self._plain.finish()
            self._lines += before if before.strip() else ""
        elif mark.kind == "B":
            self._plain.finish()
        self._in_prompt, self._before_prompt = mark.kind == "A", mark.kind == "D"

    def lines(self) -> str:
        """Return the lines that were completed since the last call."""
        lines, self._lines = self._lines, ""
        return lines

    @property
    def line(self) -> str:
        """The incomplete line, up to the cursor."""
        return self._plain.before_cursor

    def besides(self, typed: str, prompt: str, *, exact: bool) -> str:
        """Return what was printed besides the echo of `typed`, which began on a line that may begin with
        `prompt`. `exact`: the terminal echoes; otherwise a line editor does, which may draw text again."""
        shown = self.lines() + self._plain.before_cursor
        self._plain.finish()
        return Besides(typed, prompt, exact).of(shown.splitlines(keepends=True))

    def finish(self) -> str:
        """Return the rest, when no more output follows."""
        line = self._plain.finish()
        return self.lines() + ("" if self._in_prompt or like_prompt(line) else line)


_CONTINUES = re.compile(r"^(\.{2,}:?|\w*>)")  # the prompt of a further line, without blanks


class Besides:
    """Finds the text in lines that is not the echo of `typed`. Blanks are not compared, because lines may be
    wrapped anywhere."""

    def __init__(self, typed: str, prompt: str, exact: bool) -> None:
        self._wanted = "".join(typed.split())
        self._parts = ["".join(part.split()) for part in typed.splitlines()]
        self._prompt = prompt.rstrip()
        self._exact = exact
        self._at = 0  # how much of the echo has been seen

    def of(self, lines: Iterable[str]) -> str:
        return "".join([self._rest(line) for line in lines])

    def _rest(self, line: str) -> str:
        text = line.removeprefix(self._prompt)
        text = text[self._echoed(text) :]
        shown = "".join(text.split())
        ahead = self._wanted[self._at :]
        if ahead and shown.endswith(ahead):  # printed on the line of the prompt, before the text was typed
            self._at = len(self._wanted)
            text = text[: _end_of(text, len(shown) - len(ahead))]
            shown = shown[: len(shown) - len(ahead)]
        return "" if not shown or self._is_drawn_again(shown) else text.rstrip("\n") + "\n"

    def _echoed(self, text: str) -> int:
        """Return how many characters at the beginning of the text are echo."""
        for index, char in enumerate(text):
            if char.isspace():
                continue
            if self._wanted[self._at : self._at + 1] != char:
                return index
            self._at += 1
        return len(text)

    def _is_drawn_again(self, shown: str) -> bool:
        if self._exact:
            return False
        shown = _CONTINUES.sub("", shown)
        return shown in self._wanted or any(part and shown.endswith(part) for part in self._parts)


def _end_of(text: str, count: int) -> int:
    """Return the index in `text` after its first `count` characters that are not blank."""
    for index, char in enumerate(text):
        count -= not char.isspace()
        if count < 0:
            return index
    return len(text)
