"""Reads lines from the user: line editing, history, completion, and notices above the input line.

On a terminal that can move its cursor, prompt_toolkit reads the lines. It can write above the line that is
being typed. On other terminals, notices appear below the input, which is then shown again.
"""

import os
from time import monotonic

from aish.client.home import state_home
from aish.output import STDOUT, write
from aish.terminal.notices import NOTICES, Notices
from aish.turns.input import STDIN, read_piece

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from prompt_toolkit import PromptSession

    from aish.terminal.candidates import Complete
    from aish.terminal.prompt_session import Styled

_SETTLE_SECONDS = 0.3
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

    def drop_pasted(self) -> None:
        """Forget the pasted lines that were not returned yet."""


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

    `complete` returns what Tab completes, `on_prompt` is called before each prompt. `history` is the path of
    a file. Lines that begin with a space are not recorded.
    """

    is_interactive = True

    def __init__(self, notices: Notices = NOTICES, history: str | None = None) -> None:
        self.complete: Complete = lambda text: ()
        self.on_prompt: Callable[[], None] = lambda: None
        self._notices = notices
        self._bottom: Styled = []
        self._settled_at = 0.0
        self._session = _session(self, history)
        self._pasted: list[str] = []

    def read(self, prompt: str, *, whole: bool = False) -> str:
        if self._pasted:
            return self._pasted.pop(0)
        self._settled_at = monotonic() + _SETTLE_SECONDS
        self.on_prompt()
        self._session.tempfile_suffix = ".md" if whole else ".aish"
        try:
            text = self._session.prompt(prompt, pre_run=self._begin)
        finally:
            self._notices.set_wakeup(None)
        if whole:
            return text
        first, *self._pasted = text.split("\n")  # pasted lines are returned one after the other
        return first

    def drop_pasted(self) -> None:
        self._pasted = []

    def show_bottom(self, line: "Styled") -> None:
        """Show a line below the input from now on; none if it is empty. Any thread may call this."""
        self._bottom = line
        self._session.app.invalidate()

    def bottom(self) -> "Styled":
        """Return the line to show now: at first none, because the turn of the last line may just have ended,
        and the hub has not said so yet."""
        return self._bottom if monotonic() >= self._settled_at else []

    def _begin(self) -> None:
        """Write notices above the prompt from now on. The prompt calls this when it is shown, on its loop."""
        app = self._session.app
        assert app.loop is not None
        loop = app.loop
        loop.call_later(_SETTLE_SECONDS, app.invalidate)
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


def _session(editor: LineEditor, history: str | None) -> "PromptSession[str]":
    from aish.terminal.prompt_session import make_session

    return make_session(lambda text: editor.complete(text), history, editor.bottom)


def _soon(loop: "asyncio.AbstractEventLoop", work: "Callable[[], None]") -> None:
    try:
        loop.call_soon_threadsafe(work)
    except RuntimeError:
        pass  # the line has just ended: the notices wait for the next prompt
