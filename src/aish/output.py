"""Writes answers to stdout, and everything else to stderr.

An answer is written at once and unbuffered. On a terminal, it is filtered; otherwise, its bytes are not
changed.
"""

import os

from aish import exits
from aish.exits import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    from aish import render

    class Screen(Protocol):
        """What has the terminal at the moment."""

        def say(self, text: str) -> None: ...

        def write(self, text: str, writer: object, descriptor: int) -> None: ...


_OFFLINE = """\
No model provider is configured, so the embedded offline model answers.
For real answers, run `aish setup`, which finds API keys, local models and
coding agents, or set OPENAI_API_KEY, ANTHROPIC_API_KEY or OPENROUTER_API_KEY."""
_shown_notices: set[str] = set()

STDOUT, STDERR = 1, 2
_screen: "Screen | None" = None


class OutputLost(Failure):
    """Standard output accepts no more data: the disk is full, for example."""


def open_standard_descriptors() -> None:
    """Open `/dev/null` as each of the descriptors 0 to 2 that is closed.

    Otherwise the next file or connection would get its number, and what is meant for stdout would be written
    there. A closed stdout cannot be written then, so that no answer is lost without a word.
    """
    for number in (0, STDOUT, STDERR):
        try:
            os.fstat(number)
        except OSError:
            mode = os.O_RDONLY if number == STDOUT else os.O_RDWR
            os.open(os.devnull, mode)  # gets the lowest free number, which is this one
            os.set_inheritable(number, True)


def write(descriptor: int, data: bytes) -> None:
    """Write all of `data`, even if the descriptor accepts it in pieces or does not block. What stderr does
    not accept is dropped, because no answer should fail for that.

    Raises:
        BrokenPipeError: the reader of the pipe has closed it.
        OutputLost: stdout cannot be written.
    """
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:
            import select

            select.select([], [descriptor], [])
        except BrokenPipeError:
            if descriptor != STDERR:
                raise
            return
        except OSError as error:
            if descriptor != STDERR:
                raise OutputLost(f"cannot write standard output: {error.strerror}") from None
            return


def set_screen(screen: "Screen | None") -> None:
    """Pass everything that is written to the terminal through `screen`; None: write it directly."""
    global _screen
    _screen = screen


def say(text: str, *, dim: bool = False) -> None:
    """Print a line on stderr. A terminal gets it wrapped between words, and dimmed if `dim` is set.

    If stderr is closed, the line is lost and nothing else happens.
    """
    if os.isatty(STDERR):
        from aish.render import cleaned, dimmed

        text = _fitted(cleaned(text))
        text = dimmed(text) if dim else text
        if _screen is not None:
            _screen.say(text)
            return
    write(STDERR, f"{text}\n".encode("utf-8", "replace"))


def _fitted(text: str) -> str:
    """Return lines for the terminal at stderr, wrapped between words."""
    columns = os.get_terminal_size(STDERR).columns
    if not columns or max(map(len, text.split("\n"))) <= columns:
        return text
    from textwrap import wrap

    lines = (
        wrap(line, columns, subsequent_indent="  ", break_on_hyphens=False) if len(line) > columns else [line]
        for line in text.split("\n")
    )
    return "\n".join(piece for pieces in lines for piece in pieces)


def print_line(text: str) -> int:
    """Print the text and a newline on stdout, and return exit code 0."""
    return print_text(f"{text}\n")


def print_text(text: str) -> int:
    """Print the text on stdout, and return exit code 0. A terminal gets only text and colours."""
    if os.isatty(STDOUT):
        from aish.render import coloured

        text = coloured(text)
    write(STDOUT, text.encode("utf-8", "replace"))
    return exits.DONE


def print_json(value: "Any") -> int:
    """Print a value as indented JSON on stdout, and return exit code 0."""
    import json

    return print_line(_json_for(STDOUT, json.dumps(value, indent=2, ensure_ascii=False)))


def _json_for(descriptor: int, text: str) -> str:
    """Return JSON as it is, or with escapes for what must not reach a terminal."""
    if not os.isatty(descriptor):
        return text
    from aish.render import as_ascii_where_hidden

    return as_ascii_where_hidden(text)


class Sink:
    """Receives the text of answers and writes it to a descriptor. An answer without a final newline gets one.

    If the descriptor is a terminal, the text is filtered, and dimmed if `dim` is set. `peer`: whose answer it
    is. `quotes`: it quotes what looks like a heading.
    """

    peer = ""
    quotes = False

    def __init__(self, descriptor: int = STDOUT, *, dim: bool = False) -> None:
        self._descriptor = descriptor
        self._at_line_start = True
        self._filter: render.Filter | None = None
        if os.isatty(descriptor):
            from aish.render import Filter

            self._filter = Filter(dim=dim)

    @property
    def is_terminal(self) -> bool:
        return self._filter is not None

    def without_heading(self) -> "Sink":
        """Return the sink for answers that have their headings already."""
        return self

    def write(self, text: str) -> None:
        """Write a piece of an answer.

        Raises:
            BrokenPipeError: the reader has closed the pipe.
        """
        if self._filter is not None:
            text = self._filter.feed(text)
        if text:
            self._at_line_start = text[-1] == "\n"
            self._put(text)

    def write_raw(self, data: bytes) -> None:
        """Write JSON from the hub, of whole lines. Only a terminal gets other bytes, with the same meaning.

        Raises:
            BrokenPipeError: the reader has closed the pipe.
        """
        if self._filter is not None and not data.isascii():
            data = _json_for(self._descriptor, data.decode("utf-8", "replace")).encode()
        write(self._descriptor, data)

    def break_line(self) -> None:
        """On a terminal, end an unfinished line, so that a message on stderr begins a new one."""
        if self._filter is not None and not self._at_line_start:
            self._put("\n")
            self._at_line_start = True

    def end(self) -> None:
        """End an answer, complete or not."""
        left = self._filter.end() if self._filter is not None else ""
        if not self._at_line_start:
            left += "\n"
        if left:
            self._put(left)
        self._at_line_start = True

    def _put(self, text: str) -> None:
        if _screen is not None and self._filter is not None:
            _screen.write(text, self, self._descriptor)
        else:
            write(self._descriptor, text.encode("utf-8", "replace"))


def show_offline_notice() -> None:
    """Print once per process that the embedded offline model answers."""
    if "offline" not in _shown_notices:
        _shown_notices.add("offline")
        say(_OFFLINE)


def show_local_notice(model: str) -> None:
    """Print once per process that a small model on this machine answers."""
    if "local" not in _shown_notices:
        _shown_notices.add("local")
        say(f"a small local model ({model}) answers; add a provider for better answers")


def show_model_notice() -> None:
    """Print once per process that the running hub does not use this shell's `RHETOR_MODEL`."""
    if "model" not in _shown_notices:
        _shown_notices.add("model")
        say("RHETOR_MODEL does not change the running hub; run aish shutdown first")
