"""The reasoning of the peers of a plan, dimmed, on stderr. It cannot pass for the answer of a peer."""

from aish.headings import Quoting
from aish.output import STDERR, Sink

_MOST_HELD = 1000  # characters of an unfinished line


class Thoughts:
    """What peers think, by step. The reasoning of a single peer is streamed; what several think at the same
    time is shown line by line, each with its peer's name."""

    def __init__(self) -> None:
        self._sink = Sink(STDERR, dim=True)
        self._streamed: _Streamed | None = None
        self._lines: dict[str, _Lines] = {}

    def stream(self, step: str, text: str, *, name: str) -> None:
        """Show a piece. `name`: what stands before the first one."""
        if self._streamed is None or self._streamed.step != step:
            self.end_all()
            self._streamed = _Streamed(step)
            self._sink.write(name)
        self._sink.write(self._streamed.quoting.feed(text))

    def add(self, step: str, text: str, *, name: str) -> None:
        """Show the lines that this piece completes. `name`: what stands before each."""
        self._write(self._lines.setdefault(step, _Lines(name)).feed(text))

    def end(self, step: str) -> None:
        """Show the rest of what a step has thought so far, because something else follows."""
        if self._streamed is not None and self._streamed.step == step:
            self._sink.write(self._streamed.quoting.end())
            self._sink.end()
            self._streamed = None
        if (lines := self._lines.pop(step, None)) is not None:
            self._write(lines.end())

    def _write(self, lines: list[str]) -> None:
        for line in lines:
            self._sink.write(line)
        self._sink.end()  # what is drawn below is not dimmed

    def end_all(self) -> None:
        for step in [*self._lines, *([self._streamed.step] if self._streamed else [])]:
            self.end(step)


class _Streamed:
    def __init__(self, step: str) -> None:
        self.step = step
        self.quoting = Quoting()


class _Lines:
    """The lines of one peer, of which the last one may be unfinished."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._quoting = Quoting()
        self._held = ""

    def feed(self, text: str) -> list[str]:
        *lines, self._held = (self._held + self._quoting.feed(text)).split("\n")
        if len(self._held) > _MOST_HELD:
            lines, self._held = [*lines, self._held], ""
        return [f"{self._name}{line}\n" for line in lines if line.strip()]

    def end(self) -> list[str]:
        rest = self._held + self._quoting.end()
        return [f"{self._name}{rest}\n"] if rest.strip() else []
