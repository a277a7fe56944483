"""Extracts the lines that a program prints although no message asked for them."""

from __future__ import annotations

from rhetor.codec.ansi import Modes, Tokenizer
from rhetor.codec.plain_text import PlainText
from rhetor.drivers.programs.terminal.dialogs import same_prompt


class Unasked:
    """Turns output between turns into whole lines, without prompts and without what a full-screen program
    draws. `columns`: the width of the terminal."""

    def __init__(self, columns: int | None, prompt: str | None = None) -> None:
        self._tokenizer = Tokenizer()
        self._modes = Modes()
        self._plain = PlainText(columns)
        self._prompt = prompt

    def feed(self, data: bytes) -> str:
        """Return the lines that `data` completes."""
        lines = ""
        for token in self._tokenizer.feed(data):
            self._modes.take(token)
            if not self._modes.alternate_screen:
                lines += self._plain.take(token)
        kept = lines.splitlines(keepends=True)
        return "".join(line for line in kept if not same_prompt(line.rstrip("\n"), self._prompt or ""))
