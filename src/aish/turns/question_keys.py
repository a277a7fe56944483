"""One question of an agent, answered with keys: a digit for each label, or a text that the user types after
pressing a key for it."""

from functools import partial

from aish.questions import describe_question
from aish.render import cleaned, dimmed, one_line, revealed
from aish.screen.cells import cut, fit, width
from aish.turns.choices import lines_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from aish.screen.display import Display
    from aish.screen.keys import Keyboard

_DIGITS = "123456789"
_TYPE, _REFUSE, _SEND, _ESCAPE = "t", "n", "\r", "\x1b"
_ERASES, _ERASES_ALL = "\x7f\x08", "\x15"


def ask_question(
    display: "Display", keyboard: "Keyboard", question: "dict[str, Any]", *, can_refuse: bool
) -> "list[str] | str | None":
    """Return the answer: labels, or a text. Empty: the user refuses; None: the keyboard was stopped."""
    display.say(f"  {cleaned(describe_question({**question, 'options': [], 'multi_select': False}))}")
    options = question["options"][: len(_DIGITS)]
    for digit, option in zip(_DIGITS, options, strict=False):
        if about := one_line(revealed(str(option.get("description") or ""))):
            display.say(dimmed(f"  [{digit}] {about}"))
    return _Asked(display, keyboard, question, options, can_refuse=can_refuse).run()


class _Asked:
    """A question on the screen. `_chosen`: the labels that are chosen so far, if several may be."""

    def __init__(
        self,
        display: "Display",
        keyboard: "Keyboard",
        question: "dict[str, Any]",
        options: "list[dict[str, Any]]",
        *,
        can_refuse: bool,
    ) -> None:
        self._display = display
        self._keyboard = keyboard
        self._labels = [str(option["label"]) for option in options]
        self._takes_several = bool(question["multi_select"])
        self._is_secret = bool(question.get("secret"))
        self._can_refuse = can_refuse
        self._chosen: list[str] = []

    def run(self) -> "list[str] | str | None":
        self._display.set_question(self._lines)
        while (key := self._keyboard.key()) is not None:
            if key == _TYPE and (typed := self._type()):
                return typed
            if key == _REFUSE and self._can_refuse:
                return ""
            if key in ("\r", "\n") and self._chosen:
                return [label for label in self._labels if label in self._chosen]
            if key in _DIGITS[: len(self._labels)]:
                label = self._labels[int(key) - 1]
                if not self._takes_several:
                    return [label]
                self._chosen = [c for c in self._chosen if c != label] + [label] * (label not in self._chosen)
            self._display.set_question(self._lines)
        return None

    def _lines(self, columns: int) -> "list[str]":
        words = [
            f"[{digit}] {self._mark(label)}{one_line(revealed(label))}"
            for digit, label in zip(_DIGITS, self._labels, strict=False)
        ]
        words += ["[⏎] send"] if self._chosen else []
        words += ["[t] type an answer", *(["[n] do not answer"] if self._can_refuse else [])]
        return [fit(line, columns) for line in lines_of((), columns, *words)]

    def _mark(self, label: str) -> str:
        if not self._takes_several:
            return ""
        return "☑ " if label in self._chosen else "☐ "

    def _type(self) -> str:
        """Return a text that the user types; empty if the user presses Escape."""
        text = ""
        while True:
            shown = "•" * len(text) if self._is_secret else text
            if self._display.can_draw or not text:  # otherwise, each character would be a line
                self._display.set_question(partial(_input_line, shown))
            piece = self._keyboard.text()
            if piece is None or piece == _ESCAPE:
                return ""
            for char in "" if piece.startswith(_ESCAPE) else piece:  # not the arrow keys
                if char in "\r\n":
                    if text.strip():
                        return text
                elif char in _ERASES:
                    text = text[:-1]
                elif char == _ERASES_ALL:
                    text = ""
                elif char.isprintable():
                    text += char


def _input_line(text: str, columns: int) -> "list[str]":
    """Return the line with the text, or with its end if it is too long."""
    room = columns - 4
    while width(text) > room:
        text = text[max(len(cut(text, width(text) - room)), 1) :]
    return [f"  > {text}"]
