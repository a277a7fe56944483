"""The part of a Markdown text that is not finished yet, while the text arrives in pieces.

A block is finished when the next one has begun with a complete line: nothing that follows changes it then,
except a link that is defined later.
"""

from time import monotonic

from aish.headings import quoted_on_terminal
from aish.render import Filter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from aish.screen.page import Parser

_LEAST_SECONDS = 0.05  # between two drawings
_QUOTING_COLUMNS = 2  # that quoting may add to a line
_SHARE = 8  # drawing takes at most this part of the time


class OpenText:
    """The part of one answer that is not finished. `quotes`: what looks like the heading of another answer is
    quoted."""

    def __init__(self, *, quotes: bool) -> None:
        self._quotes = quotes
        self._filter = Filter(colours=False)
        self._source = ""
        self._new: list[str] = []
        self._parser: Parser | None = None
        self._has_finished = False
        self.draw_at = 0.0

    def feed(self, text: str) -> None:
        if text := self._filter.feed(text):
            self._new.append(text)

    def finished(self, columns: int) -> list[str]:
        """Return the lines of the blocks that are finished now."""
        if not any("\n" in piece for piece in self._new):
            return []
        self._take_new()
        complete, _, rest = self._source.rpartition("\n")
        blocks = self._parse(f"{complete}\n")
        if len(blocks) < 2:
            return []
        begin = blocks[-1][0]
        self._source = "\n".join([*f"{complete}\n".split("\n")[begin:-1], rest])
        return self._lines([tokens for _, tokens in blocks[:-1]], columns, is_finished=True)

    def open(self, columns: int) -> list[str]:
        """Return the lines of what is not finished."""
        begun = monotonic()
        self._take_new()
        lines = self._lines([tokens for _, tokens in self._parse(self._source)], columns)
        self.draw_at = monotonic() + max(_LEAST_SECONDS, _SHARE * (monotonic() - begun))
        return lines

    def end(self, columns: int) -> list[str]:
        """Return the lines of what is not finished, and forget it: the text has ended here."""
        self._take_new()
        blocks = [tokens for _, tokens in self._parse(self._source)]
        self._source = ""
        return self._lines(blocks, columns, is_finished=True)

    @property
    def is_empty(self) -> bool:
        return not self._source and not self._new

    @property
    def has_new(self) -> bool:
        return bool(self._new)

    def _take_new(self) -> None:
        self._source += "".join(self._new)
        self._new.clear()

    def _parse(self, source: str) -> "list[tuple[int, list[Any]]]":
        from aish.screen.page import Parser

        self._parser = self._parser or Parser()
        return self._parser.parse(source)

    def _lines(self, blocks: "list[list[Any]]", columns: int, *, is_finished: bool = False) -> list[str]:
        from aish.screen.page import rendered

        lines = rendered(blocks, columns - _QUOTING_COLUMNS if self._quotes else columns)
        if lines and self._has_finished:
            lines.insert(0, "")
        self._has_finished = self._has_finished or (is_finished and bool(lines))
        if self._quotes:
            lines = quoted_on_terminal("\n".join(lines)).split("\n") if lines else []
        return lines
