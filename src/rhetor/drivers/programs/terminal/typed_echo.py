"""Distinguishes lines of output that only echo the typed text from lines of the answer."""

from __future__ import annotations

from rhetor.drivers.programs.terminal.prompts import same_prompt


class Typed:
    """The expected echo of a typed text. Call `is_echo` for each line of output, in order.

    `echoed`: the text was seen before Enter, so only the rest of its last line, that line redrawn, or all
    lines redrawn can still follow. Otherwise its lines are expected one after the other, each possibly after
    a prompt. After the first line that is not echo, all further lines count as the answer. `columns`: the
    width of the terminal, if it is known.
    """

    def __init__(self, text: str, prompt: str | None, *, echoed: bool, columns: int | None = None) -> None:
        lines = [line.strip() for line in text.splitlines()] or [""]
        self.several = len(lines) > 1
        self.kept = ""
        """Lines that may turn out to be the answer."""
        self._expected = [lines[-1]] if echoed else lines
        self._redrawn = lines if echoed and self.several else []
        self._only_first = echoed
        self._prompt = prompt or ""
        self._wraps = columns is None or _width(self._prompt + lines[-1]) >= columns
        self._lines = 0
        self._over = False

    @property
    def passed(self) -> bool:
        """Whether a line has ended since Enter, so that the current line is not the typed one."""
        return self._lines > 0

    def accepted(self, *, passed: bool) -> None:
        """Note that a line editor has taken the text, so that no more echo follows but the end of its line.
        `passed`: that end was seen, too."""
        self._expected, self._redrawn, self._only_first = [], [], True
        self._lines, self._over = int(passed), passed

    def is_echo(self, line: str) -> bool:
        """Return whether the line, which has ended or is the last one, only shows what was typed."""
        first, self._lines = self._lines == 0, self._lines + 1
        if self._over:
            return False
        self._over = self._only_first
        text = line.strip()
        if first and self._redrawn and self._shows(text, self._redrawn[0]):
            self._expected, self._only_first, self._over = list(self._redrawn), False, False
        if first and not text:
            return True  # Enter itself
        if not text and self._expected[:1] == [""]:
            del self._expected[0]  # a blank line of the text
            return True
        for index, wanted in enumerate(self._expected):
            if wanted and self._shows(text, wanted):
                del self._expected[: index + 1]
                return True
        if first and self._wraps and self._expected and text and self._expected[-1].endswith(text):
            return True  # the end of a line that wrapped
        self._over = True
        return False

    def expects(self, line: str) -> bool:
        """Return whether the line shows a line of the text, so that `is_echo` will be true of it."""
        text = line.strip()
        if self._over or not text:
            return False
        return any(wanted and self._shows(text, wanted) for wanted in self._redrawn or self._expected)

    def _shows(self, text: str, wanted: str) -> bool:
        return text == wanted or self._behind_prompt(text, wanted)

    def _behind_prompt(self, text: str, wanted: str) -> bool:
        if not text.endswith(wanted):
            return False
        before = text[: -len(wanted)]
        return len(before) <= 120 and (
            same_prompt(before, self._prompt) or before.rstrip()[-1:] in tuple(">$#%:.»❯")
        )


def _width(text: str) -> int:
    """The most columns that the text may take."""
    return len(text) if text.isascii() else 2 * len(text)
