"""Whether what was typed has been shown by the program, so that Enter may follow.

Programs echo in their own way: the terminal's own echo, a line editor that draws anew and wraps, a
full-screen program that draws a box around. So the characters count, and not where they stand.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from rhetor.codec.ansi import Text, Tokenizer
from rhetor.codec.plain_text import PlainText

TAIL: Final = 200  # visible characters at the end of a text that must have been seen
_KEPT: Final = 16 * TAIL

_UNSEEN = re.compile(r"[\s\u2500-\u259f\u00a0\u200b]+")  # blanks, and what boxes are drawn with
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f]")
_STAND_IN = re.compile(r"\[Pasted (text|content)\b[^\]]*\]", re.IGNORECASE)
_LOOSE_FROM: Final = 24  # as long as this, characters drawn twice in between are allowed for


class Echo:
    """Feed it what the program writes after the text was typed, in any pieces.

    Blanks are not compared, control characters are expected as `^X`, and only the last 200 visible characters
    of the text need to be seen. Where a program shows a long paste as `[Pasted text …]`, that counts.
    """

    def __init__(self, text: str, columns: int = 80) -> None:
        self._wanted = _visible(text)[-TAIL:]
        self._long = len(text) > TAIL or text.count("\n") > 1
        self._tokenizer = Tokenizer()
        self._line = PlainText(columns)
        self._lines = ""
        self._stream = ""
        self.seen = not self._wanted

    def feed(self, data: bytes) -> None:
        if self.seen:
            return
        for token in self._tokenizer.feed(data):
            self._lines += self._line.take(token)
            if isinstance(token, Text):
                self._stream += token.text
                # looked at with each piece, so that what is written later does not hide it; without growing
                if len(self._stream) > 2 * _KEPT:
                    self._look()
        self._look()

    def look(self, lines: Sequence[str]) -> None:
        """The same for the rows of a screen, where the program draws one."""
        if not self.seen:
            self.seen = self._in(_visible("".join(lines), controls=False))

    def _look(self) -> None:
        if self._long and _STAND_IN.search(self._stream):
            self.seen = True
        drawn = _visible(self._lines + self._line.line, controls=False)
        stream = _visible(self._stream, controls=False)
        self.seen = self.seen or self._wanted in drawn or self._in(stream)
        self._stream, self._lines = self._stream[-_KEPT:], self._lines[-_KEPT:]

    def _in(self, shown: str) -> bool:
        if self._wanted in shown:
            return True
        size = len(self._wanted)
        return size >= _LOOSE_FROM and _in_order(self._wanted, shown[-(size + size // 2 + 40) :])


def _visible(text: str, *, controls: bool = True) -> str:
    if controls:
        text = _CONTROL.sub(lambda found: "^" + chr(ord(found.group()) ^ 0x40), text)
    return _UNSEEN.sub("", text)


def _in_order(wanted: str, shown: str) -> bool:
    """Every character of `wanted`, in its order, with others in between."""
    at = 0
    for char in wanted:
        at = shown.find(char, at) + 1
        if not at:
            return False
    return True
