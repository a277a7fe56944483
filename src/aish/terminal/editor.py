"""The prompt at which a person types: line editing, history, completion, and lines that arrive above it.

On a terminal that can move its cursor it is that of prompt_toolkit, which can write above a line that is
being typed and put it back as it was. Elsewhere what arrives goes below what is being
typed.
"""

import os
import sys

from aish.client.home import state_home
from aish.output import STDOUT, write
from aish.terminal.above import ABOVE, Above
from aish.terminal.tty import window_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable

    from prompt_toolkit import PromptSession
    from prompt_toolkit.data_structures import Size

STDIN = 0
MAX_HISTORY_BYTES, KEPT_HISTORY_BYTES = 1 << 20, 1 << 19


class Editor:
    """Lines from where nobody sits. `editor` makes what fits the terminal."""

    is_for_person = False

    def read(self, prompt: str, *, whole: bool = False) -> str:
        """The next line, without its end; with `whole`, all that was pasted, as one.

        Raises:
            EOFError: the input is over.
            KeyboardInterrupt: Ctrl-C; the cursor stands at the beginning of a line.
        """
        line = sys.stdin.readline()
        if not line:
            raise EOFError
        return line.rstrip("\r\n")


class PlainEditor(Editor):
    """A terminal without a cursor to move: a line that arrives goes below what is typed, which is then shown
    again."""

    is_for_person = True

    def __init__(self, above: Above = ABOVE) -> None:
        self._above = above

    def read(self, prompt: str, *, whole: bool = False) -> str:
        import readline  # it gives `input` its line editing and its history

        _show(self._above.take())
        self._above.await_at(lambda: _show("\n", self._above.take(), prompt, readline.get_line_buffer()))
        try:
            return input(prompt)
        except KeyboardInterrupt:
            write(STDOUT, b"\n")
            raise
        finally:
            self._above.await_at(None)


class LineEditor(Editor):
    """`words`: what a word may be completed to, when Tab is pressed. `history`: the file that keeps what was
    typed; a line that begins with a space is not kept."""

    is_for_person = True

    def __init__(self, above: Above = ABOVE, history: str | None = None) -> None:
        self.words: Callable[[], Iterable[str]] = frozenset
        self._above = above
        self._session = _session(lambda: self.words(), history)
        self._pasted: list[str] = []

    def read(self, prompt: str, *, whole: bool = False) -> str:
        if self._pasted:
            return self._pasted.pop(0)
        try:
            text = self._session.prompt(prompt, pre_run=self._begin)
        finally:
            self._above.await_at(None)
        if whole:
            return text
        first, *self._pasted = text.split("\n")  # more lines than one were pasted: they are run in turn
        return first

    def _begin(self) -> None:
        """The prompt is there, in a loop of its own; from now on what arrives is written above it."""
        from prompt_toolkit.application import get_app

        loop = get_app().loop
        assert loop is not None
        self._above.await_at(lambda: _soon(loop, self._show))

    def _show(self) -> None:
        from prompt_toolkit.application import run_in_terminal

        run_in_terminal(lambda: _show(self._above.take()))


def editor() -> Editor:
    """The best that the terminal allows."""
    if not (os.isatty(STDIN) and os.isatty(STDOUT)):
        return Editor()
    if os.environ.get("TERM", "dumb") in ("", "dumb"):
        return PlainEditor()
    return LineEditor(history=_history_file())


def _history_file() -> str | None:
    """The file in the home, for its owner only, no longer than is useful; None where it cannot be had."""
    path = os.path.join(state_home(), "history")  # noqa: PTH118
    try:
        os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)  # noqa: PTH103, PTH120
        with open(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
            if file.seek(0, os.SEEK_END) > MAX_HISTORY_BYTES:
                file.seek(-KEPT_HISTORY_BYTES, os.SEEK_END)
                kept = file.read().partition(b"\n\n")[2]  # from the next entry on
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
    from prompt_toolkit.history import FileHistory
    from prompt_toolkit.output.vt100 import Vt100_Output
    from prompt_toolkit.shortcuts import CompleteStyle

    class History(FileHistory):
        def store_string(self, string: str) -> None:
            if not string.startswith(" "):
                super().store_string(string)

    return PromptSession(
        history=History(history) if history else None,
        # a terminal that is asked where its cursor is may answer when a program already reads its keys
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
        pass  # the line is just over: what arrived waits for the next prompt
