"""What a person sees on the terminal while peers answer: text that scrolls by, and below it what is in
progress.

One display at a time has the terminal. Whatever this process writes to the terminal meanwhile goes through it
(`aish.output`), so that nothing is written into the lines below.
"""

import os
import threading
from time import monotonic

from aish import output
from aish.output import STDERR, STDOUT
from aish.render import dimmed
from aish.screen import status
from aish.screen.cells import fit
from aish.screen.colour import failed, good, in_colour_of
from aish.screen.echo import Echo, is_ours
from aish.screen.region import Region

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, Self

    from aish.screen.open_text import OpenText

_TICK_SECONDS = 0.1
_QUIET_SECONDS = 0.2  # an answer that comes so soon needs no spinner
_MAX_PEERS_SHARE = 2  # the lines of peers take at most this part of the screen: a half
_WORKING, _DONE, _FAILED = "working", "done", "failed"


class Display:
    """The terminal of one turn or plan, within the `with`.

    `shows_progress`: it shows a spinner, tool calls, plans, reasoning, and the status of peers. `on_screen`:
    the answer is shown on this terminal too.
    """

    def __init__(self, *, shows_progress: bool, on_screen: bool) -> None:
        self._descriptor = STDOUT if on_screen else STDERR
        can_move = os.environ.get("TERM", "dumb") not in ("", "dumb")
        self._region = Region(self._descriptor, can_move=can_move)
        self._echo = Echo(self._descriptor) if on_screen and can_move else None
        self.shows_progress = shows_progress
        self.renders = on_screen and can_move  # whether Markdown can be rendered
        self._lock = threading.RLock()
        self._wake = threading.Event()
        self._is_closed = False
        self._is_line_open = False  # the cursor is behind text, in the middle of a line
        self._writer: object = None
        self._broken: object = None  # the writer whose line something else ended
        self._waits_for: str | None = None  # the peer whose spinner is shown
        self._waits_since = monotonic()
        self._tools: dict[str, _Tool] = {}
        self._peers: dict[str, _Peer] = {}
        self._plans: dict[str, list[str]] = {}  # by peer, as they were shown last
        self._text: OpenText | None = None  # whose open block is drawn
        self._open_lines: list[str] = []
        self._open_columns = 0
        self._question: Callable[[int], Sequence[str]] | None = None
        self._written: list[str] = []  # the question, if nothing can be drawn
        self.on_close: Callable[[], None] | None = None
        self._ticker = threading.Thread(target=self._tick, name="aish display", daemon=True)

    @classmethod
    def of(cls, out: output.Sink, *, quiet: bool) -> "Display | None":
        """Return a display for the answer that goes to `out`; None if there is no terminal for it, or if the
        terminal belongs to another program at the moment."""
        on_screen, has_stderr = out.is_terminal, os.isatty(STDERR)
        descriptor = STDOUT if on_screen else STDERR
        if not (on_screen or has_stderr) or not is_ours(descriptor):
            return None
        return cls(shows_progress=has_stderr and not quiet, on_screen=on_screen)

    def __enter__(self) -> "Self":
        if self._echo is not None:
            self._echo.stop()
        output.set_screen(self)
        self._ticker.start()
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        if self.on_close is not None:
            self.on_close()
        with self._lock:
            self._finish()
            self._is_closed = True
            self._region.erase()
            output.set_screen(None)
        self._wake.set()  # the thread may still import something, and is not waited for
        if self._echo is not None:
            self._echo.restore()

    # what is written

    def write(self, text: str, writer: object, descriptor: int) -> None:
        """Write a piece of text of a `writer` where its earlier piece ended, or on a new line if another one
        has written since."""
        with self._lock:
            self._waits_for = None
            self._region.erase()
            if self._writer is not writer:
                self._end_line()
            if self._broken is writer:
                text = text.removeprefix("\n")
            self._broken = None
            if text:
                output.write(descriptor, text.encode("utf-8", "replace"))
                self._is_line_open, self._writer = text[-1] != "\n", writer
            self._draw()

    def say(self, text: str) -> None:
        """Write complete lines to stderr, above what is in progress."""
        with self._lock:
            self._region.erase()
            self._end_line()
            output.write(STDERR, f"{text}\n".encode("utf-8", "replace"))
            self._draw()

    def write_lines(self, lines: "Sequence[str]") -> None:
        """Write lines of an answer above what is in progress."""
        with self._lock:
            self._put_lines(lines)
            self._draw()

    def show(self, text: "OpenText", piece: str) -> None:
        """Show a piece of a text: its finished blocks scroll away, its open block is drawn."""
        with self._lock:
            if self._text is not text:
                self._finish()
                self._text = text
            self._waits_for = None
            text.feed(piece)
            if monotonic() >= text.draw_at:
                self._draw_text()

    def finish(self) -> None:
        """Let the open block scroll away as it is, because the text ends here or something follows it."""
        with self._lock:
            self._finish()
            self._draw()

    def _finish(self) -> None:
        if self._text is not None and not self._text.is_empty:
            columns = self._region.size[0]
            self._put_lines(self._text.end(columns))
        self._text, self._open_lines = None, []

    def _draw_text(self) -> None:
        """Draw the open block anew, after the blocks that are finished."""
        if self._text is None:
            return
        self._open_columns = self._region.size[0]
        finished = self._text.finished(self._open_columns)
        self._open_lines = self._text.open(self._open_columns)
        if finished:
            self._put_lines(finished)
        self._draw()

    def _put_lines(self, lines: "Sequence[str]") -> None:
        if lines:
            self._end_line()
            self._region.above("".join(f"{line}\r\n" for line in lines))

    # what goes on

    def waits_for(self, peer: str) -> None:
        """Show how long the peer has been working, until there is something else to see."""
        with self._lock:
            if self.shows_progress and self._waits_for is None and not self._peers:
                self._waits_for, self._waits_since = peer, monotonic()
                self._draw()

    def has_output(self) -> None:
        """Stop the spinner, because the answer goes somewhere else."""
        with self._lock:
            self._waits_for = None
            self._draw()

    def tool_called(self, peer: str, call: "dict[str, Any]") -> None:
        if not self.shows_progress:
            return
        with self._lock:
            self._finish()
            if plan := status.plan_of(call.get("arguments")):
                self._say_plan(peer, plan)
            else:
                self._waits_for = None
                key = f"{peer}\0{call.get('call_id')}"
                self._tools[key] = _Tool(peer, call, bool(self._peers))
            self._draw()

    def tool_returned(self, peer: str, result: "dict[str, Any]") -> None:
        if not self.shows_progress:
            return
        with self._lock:
            tool = self._tools.pop(f"{peer}\0{result.get('call_id')}", None)
            if tool is not None and self._may_draw():
                self.say(tool.ended(result, self._columns))
            if not self._tools:
                self.waits_for(peer)

    def show_plan(self, peer: str, plan: "dict[str, Any]") -> None:
        """Show what an agent plans to do."""
        if self.shows_progress and (lines := status.plan_of(plan)):
            with self._lock:
                self._finish()
                self._say_plan(peer, lines)

    def _say_plan(self, peer: str, lines: "list[str]") -> None:
        """Show a plan, unless it is shown already: some agents report it, and the tool call that wrote it."""
        if lines != self._plans.get(peer):
            self._plans[peer] = lines
            name = f"{peer}: " if self._peers else ""
            self.say("\n".join(dimmed(f"{name}{line}") for line in lines))

    def peer_works(self, peer: str) -> None:
        """Show a line for the peer, one of several that work at once."""
        with self._lock:
            if self.shows_progress:
                self._waits_for = None
                self._peers[peer] = _Peer()
                self._draw()

    def peer_ended(self, peer: str, *, failed: bool) -> None:
        with self._lock:
            if peer in self._peers:
                self._peers[peer].end(_FAILED if failed else _DONE)
                self._draw()

    def set_question(self, question: "Callable[[int], Sequence[str]] | None") -> None:
        """Show a question below everything else: the lines that it returns for a width. None: none. If
        nothing can be drawn, lines that have changed are written once more."""
        with self._lock:
            if question is not None:
                self._finish()
            self._question = question
            self._draw()
            if not self._region.can_move:
                self._write_question()

    def _write_question(self) -> None:
        lines = [] if self._question is None else [*self._question(self._region.size[0])]
        if lines and lines != self._written:
            self.say("\n".join(lines))
        self._written = lines

    @property
    def can_draw(self) -> bool:
        return self._region.can_move

    @property
    def _columns(self) -> int:
        return self._region.size[0] if self._region.can_move else 10_000

    def _end_line(self) -> None:
        if self._is_line_open:
            output.write(self._descriptor, b"\n")
            self._is_line_open, self._broken = False, self._writer

    def _draw(self) -> None:
        lines = [] if self._is_closed or not self._may_draw() else self._lines(monotonic())
        if lines and self._region.can_move:
            self._end_line()
        self._region.draw(lines)

    def _lines(self, now: float) -> "list[str]":
        return [*self._open_lines, *self._status_lines(now)]

    def _status_lines(self, now: float) -> "list[str]":
        columns, rows = self._region.size
        if self._question is not None:
            return [*self._peer_lines(now, columns, rows), *self._question(columns)]
        lines = [tool.line(now, columns) for tool in self._tools.values()]
        lines += self._peer_lines(now, columns, rows)
        waited = now - self._waits_since
        is_free = not (lines or self._is_line_open or self._open_lines)
        if self._waits_for and waited >= _QUIET_SECONDS and is_free:
            name = in_colour_of(self._waits_for, self._waits_for)
            lines.append(f"{status.spinner(now)} {name}  {status.whole_seconds(waited)}")
        return lines

    def _peer_lines(self, now: float, columns: int, rows: int) -> "list[str]":
        longest = max((len(name) for name in self._peers), default=0)
        # those that still work come last, next to the line where the user looks
        peers = sorted(self._peers.items(), key=lambda item: item[1].is_working)
        left_out = max(len(peers) - max(rows // _MAX_PEERS_SHARE, 1), 0)
        lines = [f"… {left_out} more"] if left_out else []
        for name, peer in peers[left_out:]:
            plain = fit(f"{name:<{longest}}  {peer.describe(now)}", columns)
            lines.append(in_colour_of(name, plain[: len(name)]) + plain[len(name) :])
        return lines

    def _tick(self) -> None:
        while not self._wake.wait(_TICK_SECONDS):
            if self._waits_for is not None and self.renders:
                import aish.screen.page  # noqa: F401  # takes a while, so it is done while the peer works
            with self._lock:
                if self._is_closed:
                    continue
                if self._text is not None and self._is_stale():
                    self._draw_text()
                self._draw()

    def _is_stale(self) -> bool:
        """Whether the open block has changed, or the width, since it was drawn."""
        assert self._text is not None
        is_due = self._text.has_new and monotonic() >= self._text.draw_at
        return is_due or (bool(self._open_lines) and self._region.size[0] != self._open_columns)

    def _may_draw(self) -> bool:
        """Whether this process may draw: it is not in the background, and no pager has the terminal."""
        return is_ours(self._descriptor, reads_keys=self._question is not None)


class _Tool:
    """A tool call that runs. `names_peer`: its line begins with the peer's name."""

    def __init__(self, peer: str, call: "dict[str, Any]", names_peer: bool) -> None:
        self._peer = peer
        self._name = status.name_of(call.get("name"))
        self._subject = status.subject_of(call.get("arguments"))
        self._begun = monotonic()
        if names_peer:
            self._name = f"{peer}: {self._name}"

    def line(self, now: float, columns: int) -> str:
        mark, taken = status.spinner(now), status.whole_seconds(now - self._begun)
        return status.tool_line(mark, self._name, self._subject, taken, columns)

    def ended(self, result: "dict[str, Any]", columns: int) -> str:
        taken = status.seconds(monotonic() - self._begun)
        if not result.get("is_error"):
            line = status.tool_line("●", self._name, self._subject, taken, columns)
            return good(line[:1]) + line[1:]
        line = status.tool_line("✗", self._name, self._subject, f"{taken}  failed", columns)
        why = fit(f"  {status.failure_of(result.get('result'))}", columns)
        return failed(line[:1]) + line[1:] + (f"\n{dimmed(why)}" if why.strip() else "")


class _Peer:
    def __init__(self) -> None:
        self._begun = monotonic()
        self._end: tuple[str, float] | None = None

    @property
    def is_working(self) -> bool:
        return self._end is None

    def end(self, word: str) -> None:
        self._end = word, monotonic()

    def describe(self, now: float) -> str:
        if self._end is None:
            return f"{_WORKING}  {status.whole_seconds(now - self._begun)}"
        word, at = self._end
        return f"{word}  {status.whole_seconds(at - self._begun)}"
