"""Reads lines from the user: line editing, history, completion, and notices above the input line.

On a terminal that can move its cursor, prompt_toolkit reads the lines. It can write above the line that is
being typed. On other terminals, notices appear below the input, which is then shown again.
"""

import os
import sys

from aish.client.home import state_home
from aish.output import STDOUT, write
from aish.terminal.notices import NOTICES, Notices
from aish.terminal.tty import window_size
from aish.turns.input import STDIN, read_piece

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable

    from prompt_toolkit import PromptSession
    from prompt_toolkit.data_structures import Size

MAX_HISTORY_BYTES, KEPT_HISTORY_BYTES = 1 << 20, 1 << 19


class Editor:
    """Reads lines from stdin without a terminal. `make_editor` chooses the class that fits."""

    is_interactive = False
    _unread = b""

    def read(self, prompt: str, *, whole: bool = False) -> str:
        """Return the next line, without its newline. If `whole` is set, several pasted lines are one.

        Raises:
            EOFError: the input has ended.
            Failure: the input cannot be read.
            KeyboardInterrupt: the user pressed Ctrl-C. The cursor is at the beginning of a line.
        """
        pieces = [self._unread]
        while b"\n" not in pieces[-1] and (piece := read_piece(STDIN)):
            pieces.append(piece)
        line, _, self._unread = b"".join(pieces).partition(b"\n")
        if not line and b"\n" not in pieces[-1]:
            raise EOFError
        return line.decode("utf-8", "replace").rstrip("\r")


class PlainEditor(Editor):
    """Reads lines from a terminal that cannot move its cursor. Notices appear below the input, which is then
    shown again."""

    is_interactive = True

    def __init__(self, notices: Notices = NOTICES) -> None:
        self._notices = notices

    def read(self, prompt: str, *, whole: bool = False) -> str:
        import readline  # gives `input` line editing and a history

        _show(self._notices.take())
        self._notices.set_wakeup(
            lambda: _show("\n", self._notices.take(), prompt, readline.get_line_buffer())
        )
        try:
            return input(prompt)
        except KeyboardInterrupt:
            write(STDOUT, b"\n")
            raise
        finally:
            self._notices.set_wakeup(None)


class LineEditor(Editor):
    """Reads lines from a terminal with prompt_toolkit.

    `words` returns the words that Tab completes. `history` is the path of a file. Lines that begin with a
    space are not recorded.
    """

    is_interactive = True

    def __init__(self, notices: Notices = NOTICES, history: str | None = None) -> None:
        self.words: Callable[[], Iterable[str]] = frozenset
        self._notices = notices
        self._session = _session(lambda: self.words(), history)
        self._pasted: list[str] = []

    def read(self, prompt: str, *, whole: bool = False) -> str:
        if self._pasted:
            return self._pasted.pop(0)
        try:
            text = self._session.prompt(prompt, pre_run=self._begin)
        finally:
            self._notices.set_wakeup(None)
        if whole:
            return text
        first, *self._pasted = text.split("\n")  # pasted lines are returned one after the other
        return first

    def _begin(self) -> None:
        """Write notices above the prompt from now on. The prompt calls this when it is shown, on its loop."""
        from prompt_toolkit.application import get_app

        loop = get_app().loop
        assert loop is not None
        self._notices.set_wakeup(lambda: _soon(loop, self._show))

    def _show(self) -> None:
        from prompt_toolkit.application import run_in_terminal

        run_in_terminal(lambda: _show(self._notices.take()))


def make_editor() -> Editor:
    """Return the best editor for the terminal."""
    if not (os.isatty(STDIN) and os.isatty(STDOUT)):
        return Editor()
    if os.environ.get("TERM", "dumb") in ("", "dumb"):
        return PlainEditor()
    return LineEditor(history=_history_file())


def _history_file() -> str | None:
    """Return the path of the history file (0600), shortened if necessary; None if it cannot be used."""
    path = os.path.join(state_home(), "history")  # noqa: PTH118
    try:
        os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)  # noqa: PTH103, PTH120
        with open(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
            if file.seek(0, os.SEEK_END) > MAX_HISTORY_BYTES:
                file.seek(-KEPT_HISTORY_BYTES, os.SEEK_END)
                kept = file.read().partition(b"\n\n")[2]  # from the next complete entry on
                file.seek(0)
                file.write(kept)
                file.truncate()
    except OSError:
        return None
    return path


def _show(*texts: str) -> None:
    write(STDOUT, "".join(texts).encode("utf-8", "replace"))


def _session(words: "Callable[[], Iterable[str]]", history: str | None) -> "PromptSession[str]":
    import re

    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import WordCompleter
    from prompt_toolkit.input.vt100 import Vt100Input
    from prompt_toolkit.input.vt100_parser import Vt100Parser
    from prompt_toolkit.output.vt100 import Vt100_Output
    from prompt_toolkit.shortcuts import CompleteStyle

    from aish.terminal.history import PromptHistory

    class Parser(Vt100Parser):
        """Drops a bracketed paste whose end was lost on the way if Ctrl-C or Ctrl-D is pressed. A key that a
        person presses arrives alone; within a pasted text, these characters mean nothing."""

        def feed(self, data: str) -> None:
            if self._in_bracketed_paste and data and not data.strip("\x03\x04"):
                self.reset()
            super().feed(data)

    class Input(Vt100Input):
        def __init__(self) -> None:
            super().__init__(sys.stdin)
            self.vt100_parser = Parser(lambda key: self._buffer.append(key))

    return PromptSession(
        input=Input(),
        history=PromptHistory(history) if history else None,
        # the terminal could report its cursor position late, when a program already reads the keys
        output=Vt100_Output(sys.stdout, _size, term=os.environ.get("TERM"), enable_cpr=False),
        completer=WordCompleter(lambda: sorted(words()), pattern=re.compile(r"[\w@:.-]+")),
        complete_while_typing=False,
        complete_style=CompleteStyle.READLINE_LIKE,
        enable_suspend=True,
    )


def _size() -> "Size":
    from prompt_toolkit.data_structures import Size

    return Size(*window_size(STDOUT))


def _soon(loop: "asyncio.AbstractEventLoop", work: "Callable[[], None]") -> None:
    try:
        loop.call_soon_threadsafe(work)
    except RuntimeError:
        pass  # the line has just ended: the notices wait for the next prompt
