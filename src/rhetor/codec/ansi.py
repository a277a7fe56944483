"""Terminal output as tokens (ECMA-48, parsed like a VT500), with shell marks (OSC 133) and terminal modes.

This module separates text from control sequences. The terminal emulator applies them to a screen.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Literal, NamedTuple, TypeAlias

from rhetor.codec.utf8 import Decoder

MAX_STRING: Final = 1 << 16
MAX_PARAMETERS: Final = 256

_ESC, _BEL, _CAN, _SUB = "\x1b", "\x07", "\x18", "\x1a"
_TEXT = re.compile("[^\x00-\x1f\x7f-\x9f]+")
_WHOLE_CSI = re.compile("\x1b\\[([<-?]?)([0-9:;]*)([ -/]*)([@-~])")
_CSI_BODY = re.compile("([<-?]?)([0-9:;]*)([ -/]*)")
_STRING_RUN = re.compile("[^\x07\x18\x1a\x1b\x9c]+")
_OPENERS: Final = {"]": "OSC", "P": "DCS", "X": "SOS", "^": "PM", "_": "APC"}


class Text(NamedTuple):
    """Printable characters, at least one. Each byte that is not UTF-8 becomes U+FFFD."""

    text: str


class Control(NamedTuple):
    """A C0 control character, or DEL."""

    char: str


class Escape(NamedTuple):
    """ESC with intermediates and a final character: `("", "7")`, or `("(", "0")` for a character set.

    An 8-bit C1 control is given in its 7-bit form.
    """

    intermediates: str
    final: str


class Csi(NamedTuple):
    """A control sequence. `prefix`: one of `<=>?`, or empty. `parameters`: digits, `;` and `:`."""

    prefix: str
    parameters: str
    intermediates: str
    final: str

    def numbers(self) -> list[int]:
        """Return the parameters as numbers: at least one, at most 32, each at most 9,999.

        A missing parameter is 0. If a parameter has sub-parameters, only the first one is used.
        """
        fields = self.parameters.split(";", 32)[:32]
        return [min(int(head[:6]), 9999) if (head := field.split(":", 1)[0]) else 0 for field in fields]


class String(NamedTuple):
    """An OSC, DCS, SOS, PM or APC string with its content. `cut`: the content was longer than 64 Ki
    characters, and only its beginning is here."""

    kind: str
    text: str
    cut: bool = False


Token: TypeAlias = Text | Control | Escape | Csi | String


class Tokenizer:
    """Turns the bytes of a terminal, split anywhere, into complete tokens.

    A text may come as several tokens; `joined` merges them. The tokenizer holds at most one incomplete
    sequence. A string is cut after 64 Ki characters; a control sequence of more than 256 characters is
    dropped. The rest of either is skipped up to its end, as terminals do.
    """

    def __init__(self) -> None:
        self._decoder = Decoder()
        self._state: Callable[[str, int, list[Token]], int] = self._ground
        self._pending = ""  # intermediates of an escape, the body of a control sequence
        self._kind = ""
        self._string: list[str] = []
        self._length = 0

    def feed(self, data: bytes) -> list[Token]:
        parts = self._decoder.feed(data)
        return self.feed_text(
            "".join([part if isinstance(part, str) else "\ufffd" * len(part.data) for part in parts])
        )

    def feed_text(self, text: str) -> list[Token]:
        """Do the same as `feed`, for text that is already decoded."""
        tokens: list[Token] = []
        at, end = 0, len(text)
        while at < end:
            at = self._state(text, at, tokens)
        return tokens

    def _ground(self, text: str, at: int, tokens: list[Token]) -> int:
        if run := _TEXT.match(text, at):
            tokens.append(Text(run.group()))
            return run.end()
        char = text[at]
        if char == _ESC:
            whole = _WHOLE_CSI.match(text, at)
            if whole and whole.end() - at <= MAX_PARAMETERS:
                prefix, parameters, intermediates, final = whole.groups()
                tokens.append(Csi(prefix, parameters, intermediates, final))
                return whole.end()
            self._state, self._pending = self._escape, ""
        elif char >= "\x80":
            return self._escaped(chr(ord(char) - 0x40), at, tokens)
        else:
            tokens.append(Control(char))
        return at + 1

    def _escape(self, text: str, at: int, tokens: list[Token]) -> int:
        char = text[at]
        if " " <= char <= "/":
            self._pending = (self._pending + char)[:MAX_PARAMETERS]
        elif "0" <= char <= "~" and self._pending:
            tokens.append(Escape(self._pending, char))
            self._state = self._ground
        elif "0" <= char <= "~":
            return self._escaped(char, at, tokens)
        else:
            return self._interrupted(char, at, tokens)
        return at + 1

    def _escaped(self, char: str, at: int, tokens: list[Token]) -> int:
        """Take the final character after ESC, or a C1 control as the equivalent character."""
        self._state = self._ground
        if char == "[":
            self._state, self._pending = self._control, ""
        elif char in _OPENERS:
            self._state, self._kind = self._take_string, _OPENERS[char]
            self._string, self._length = [], 0
        else:
            tokens.append(Escape("", char))
        return at + 1

    def _control(self, text: str, at: int, tokens: list[Token]) -> int:
        char = text[at]
        if " " <= char <= "?":
            # keep one character more than allowed, to detect at the end that the sequence is too long
            self._pending = (self._pending + char)[: MAX_PARAMETERS + 1]
        elif "@" <= char <= "~":
            self._state = self._ground
            body = _CSI_BODY.fullmatch(self._pending)
            if body and len(self._pending) + 3 <= MAX_PARAMETERS:
                prefix, parameters, intermediates = body.groups()
                tokens.append(Csi(prefix, parameters, intermediates, char))
        else:
            return self._interrupted(char, at, tokens)
        return at + 1

    def _interrupted(self, char: str, at: int, tokens: list[Token]) -> int:
        """Take a character that does not belong in a sequence.

        Controls take effect inside the sequence; ESC begins another one; CAN, SUB and text end it.
        """
        if char == _ESC:
            self._state, self._pending = self._escape, ""
        elif char in (_CAN, _SUB):
            self._state = self._ground
        elif char < " ":
            tokens.append(Control(char))
        elif char != "\x7f":
            self._state = self._ground
            return at
        return at + 1

    def _take_string(self, text: str, at: int, tokens: list[Token]) -> int:
        if run := _STRING_RUN.match(text, at):
            if room := max(MAX_STRING - self._length, 0):
                self._string.append(run.group()[:room])
            self._length += run.end() - at
            return run.end()
        char = text[at]
        if char == _ESC:
            self._state = self._string_escape
        elif char in (_CAN, _SUB):
            self._state = self._ground
        elif char == "\x9c" or self._kind == "OSC":
            self._close(tokens)
        return at + 1

    def _string_escape(self, text: str, at: int, tokens: list[Token]) -> int:
        """End the string at ESC. With a backslash, ESC is the terminator; otherwise it begins a sequence."""
        self._close(tokens)
        if text[at] == "\\":
            return at + 1
        self._state, self._pending = self._escape, ""
        return at

    def _close(self, tokens: list[Token]) -> None:
        tokens.append(String(self._kind, "".join(self._string), self._length > MAX_STRING))
        self._state, self._string = self._ground, []


def joined(tokens: Iterable[Token]) -> Iterator[Token]:
    """Yield the tokens with adjacent texts merged, so that how the bytes were split makes no difference."""
    run = ""
    for token in tokens:
        if isinstance(token, Text):
            run += token.text
            continue
        if run:
            yield Text(run)
            run = ""
        yield token
    if run:
        yield Text(run)


class Mark(NamedTuple):
    """A shell mark, OSC 133 (FinalTerm).

    A: a prompt begins. B: the prompt ends. C: output begins. D: the command has ended, with the code `exit`
    if D has one.
    """

    kind: Literal["A", "B", "C", "D"]
    exit: int | None = None


def mark_of(token: Token) -> Mark | None:
    """Return the shell mark that the token represents; None if it represents none."""
    if not isinstance(token, String) or token.kind != "OSC" or not token.text.startswith("133;"):
        return None
    kind, _, rest = token.text[4:].partition(";")
    code = rest.split(";", 1)[0]
    match kind:
        case "A" | "B" | "C":
            return Mark(kind)
        case "D":
            return Mark("D", int(code) if code.isascii() and code.isdigit() and len(code) < 10 else None)
    return None


class Modes:
    """The terminal modes that matter for typed input. Pass each token of the stream to `take`."""

    _ALTERNATE = frozenset((47, 1047, 1049))
    _MOUSE = frozenset((9, 1000, 1002, 1003))

    def __init__(self) -> None:
        self.alternate_screen = False
        self.bracketed_paste = False
        self.application_cursor = False
        self.cursor_visible = True
        self.mouse: frozenset[int] = frozenset()

    def take(self, token: Token) -> None:
        if isinstance(token, Csi) and token.prefix == "?" and token.final in "hl" and not token.intermediates:
            for number in token.numbers():
                self._switch(number, token.final == "h")
        elif token == Escape("", "c"):
            self.__init__()  # type: ignore[misc]

    def _switch(self, number: int, on: bool) -> None:
        if number in self._ALTERNATE:
            self.alternate_screen = on
        elif number == 2004:
            self.bracketed_paste = on
        elif number == 1:
            self.application_cursor = on
        elif number == 25:
            self.cursor_visible = on
        elif number in self._MOUSE:
            self.mouse = self.mouse | {number} if on else self.mouse - {number}
