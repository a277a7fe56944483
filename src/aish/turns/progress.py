"""What is shown beside the answer of a plan: the heading above it and, on stderr, the answers of earlier
stages and what peers write to stderr."""

import os

from aish.output import STDERR, STDOUT, Sink, say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from aish.headings import Quoting
    from aish.screen.wrapping import Wrapping


class HeadedSink(Sink):
    """Writes one answer to the terminal, under the heading of its peer, and quoted. `peer` must be set before
    the answer begins."""

    quotes = True

    def __init__(self) -> None:
        super().__init__(STDOUT)
        self._part: Quoting | None = None

    def without_heading(self) -> Sink:
        return Sink(STDOUT)

    def write(self, text: str) -> None:
        if self._part is None and text:
            from aish.headings import Quoting
            from aish.render import heading

            self._part = Quoting()
            super().write(f"{heading(self.peer)}\n")
        super().write(self._part.feed(text) if self._part else text)

    def end(self) -> None:
        super().write(self._part.end() if self._part else "")
        super().end()


class Remarks:
    """What peers write to stderr. It cannot pass for the answer of another peer."""

    def __init__(self) -> None:
        self._sink = Sink(STDERR)
        self._part: Quoting | None = None

    def write(self, text: str, *, beside_answers: bool) -> None:
        """Write a piece. `beside_answers`: it stands among answers that have headings."""
        if self._part is None and (beside_answers or self._sink.is_terminal):
            from aish.headings import Quoting

            self._part = Quoting()
        self._sink.write(text if self._part is None else self._part.feed(text))

    def end(self) -> None:
        self._sink.write("" if self._part is None else self._part.end())
        self._sink.end()


class Progress:
    """Shows the answers of earlier stages, dimmed and wrapped between words, on stderr if that is a terminal.

    They are streamed if the stages run one at a time, and otherwise shown whole.
    """

    def __init__(self, *, shown: bool) -> None:
        self._sink = Sink(STDERR, dim=True) if shown and os.isatty(STDERR) else None
        self._peer = ""
        self._part: Quoting | None = None
        self._wrapping: Wrapping | None = None
        self.one_at_a_time = True
        self.has_headings = False  # whether the heading of an answer has been shown

    def show(self, peer: str, text: str) -> None:
        if self._sink is None:
            return
        if self._part is None or self._peer != peer:
            from aish.headings import Quoting
            from aish.render import heading
            from aish.screen.wrapping import Wrapping

            self._end_part()
            say(heading(peer), dim=True)
            self._peer, self._part, self._wrapping = peer, Quoting(), Wrapping(_columns)
            self.has_headings = True
        assert self._wrapping is not None
        self._sink.write(self._wrapping.feed(self._part.feed(text)))

    def break_line(self) -> None:
        if self._sink is not None:
            self._sink.write("" if self._wrapping is None else self._wrapping.end())
            self._sink.break_line()

    def end(self) -> None:
        if self._sink is not None:
            self._end_part()
            self._sink.end()
        self._peer, self._part = "", None

    def _end_part(self) -> None:
        if self._sink is not None and self._part is not None and self._wrapping is not None:
            self._sink.write(self._wrapping.feed(self._part.end()) + self._wrapping.end())


def _columns() -> int:
    return os.get_terminal_size(STDERR).columns
