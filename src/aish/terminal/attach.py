"""`aish tools attach NAME`: shows a program in this terminal, as if it had been started here.

Keys go to the hub as they are typed, and the program's bytes come back as it writes them. If the connection
is lost, the terminal reconnects: programs outlive the hub, and the hub redraws the screen for a new viewer.
"""

import os
import re
import select
import stat
from time import monotonic

from aish import exits
from aish.client.hub import Hub, quote
from aish.client.json_sse import decode, encode
from aish.client.websocket import WebSocket, open_websocket
from aish.client.websocket_frames import ABNORMAL, BINARY, FORBIDDEN, GOING_AWAY, RESTARTING, TOO_SLOW, Closed
from aish.exits import Failure
from aish.output import STDOUT, say, write
from aish.render import cleaned
from aish.terminal.overlay import Overlay
from aish.terminal.status_line import StatusLine, rows_above
from aish.terminal.tty import PLAIN, RawTerminal, window_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal, TypeAlias

    Mode: TypeAlias = Literal["rw", "r"]

DETACH_SECONDS = 0.03  # the longest pause within the bytes of Ctrl-]
# Ctrl-] in the forms of kitty (`ESC[93;5u`, with optional fields) and xterm (`ESC[27;5;93~`)
_FORMS = re.compile(rb"\x1d|\x1b\[93(?::[\d:]*)?;(\d+)(?::1)?(?:;[\d:]*)?u|\x1b\[27;(\d+);93~")
_BEGUN = re.compile(rb"\x1b(?:\[(?:9(?:3(?:[:;][\d:;]*)?)?|2(?:7(?:;[\d;]*)?)?)?)?\Z")
_MAX_HELD_BYTES = 64
_CONTROL, _LOCKS = 4, 64 | 128

STDIN = 0
_RECONNECT_TIMEOUT = 10.0  # seconds
_RETRY_PAUSE, _TRY_TIMEOUT = 0.1, 2.0  # seconds
_MAX_KEPT_BYTES = 4096
_MAX_UNSENT_KEYS = 65536
_RESIZE_SECONDS = 0.2  # in which a program gets its new size, and redraws its screen
_RECONNECT_CODES = (ABNORMAL, GOING_AWAY, RESTARTING, TOO_SLOW)
_CTRL_C, _BELL, _CLEAR = b"\x03", b"\x07", b"\x1b[H\x1b[2J"


class ProgramExit:
    """How a program ended: with an exit code, or by a signal."""

    def __init__(self, exit_code: int | None, signal: "int | str | None") -> None:
        self.exit_code = exit_code
        self.signal = signal


def attach(hub: Hub, name: str, mode: "Mode" = "rw") -> int:
    """Show the program until it ends or the user types Ctrl-]. If stdin or stdout is not a terminal, the view
    is read-only.

    Return 0 if the program succeeded or the user detached; 1 if it failed, after printing its own exit code.

    Raises:
        Failure: there is no such program, the program is lost, or the hub cannot be reached for more than ten
            seconds.
        KeyboardInterrupt: the user stopped a read-only view.
        BrokenPipeError: the reader of stdout has closed the pipe.
    """
    is_interactive = os.isatty(STDIN) and os.isatty(STDOUT)
    attachment = Attachment(hub, name, mode if is_interactive else "r")
    try:
        if is_interactive:
            with RawTerminal() as terminal:
                ended = attachment.run(terminal)
        else:
            ended = attachment.run(None)
    finally:
        attachment.close()
    for notice in attachment.notices:
        say(notice)
    if ended is not None:
        return report_exit(name, ended)
    if is_interactive:
        say(f"Detached from {name} (aish tools attach {name} reattaches)")
    return exits.DONE


def report_exit(name: str, ended: ProgramExit) -> int:
    """Print how the program ended, and return the exit code of the shell."""
    if ended.signal is not None:
        say(f"{name} was killed by signal {ended.signal}")
    elif ended.exit_code:
        say(f"{name} exited with code {ended.exit_code}")
    else:
        say(f"{name} exited")
        return exits.DONE
    return exits.FAILED


class Attachment:
    """One view of a program, over as many connections as necessary.

    Raises:
        Failure: the hub rejects the first connection.
    """

    def __init__(self, hub: Hub, name: str, mode: "Mode") -> None:
        self._name = name
        self._mode = mode
        self._path = f"/ws/attach/{quote(name)}?mode={mode}"
        self._socket: WebSocket | None = open_websocket(hub, self._path)
        self._hub = Hub(hub.home, may_start=False)  # if the user stops the hub, it stays stopped
        self._lost_at = self._next_try = 0.0
        self._keys = Keys()
        self._release_at = 0.0
        self._overlay = Overlay()
        self._kept = bytearray()
        self._has_exited = False
        self._ended: ProgramExit | None = None
        self._status: StatusLine | None = None
        self._redraw_at: float | None = None
        self._pipe = [STDOUT] if stat.S_ISFIFO(os.fstat(STDOUT).st_mode) else []

    @property
    def notices(self) -> "list[str]":
        """Messages that were forwarded to the program's terminal while it was shown."""
        return self._overlay.notices

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()

    def run(self, terminal: RawTerminal | None) -> ProgramExit | None:
        """Show the program; return how it ended, or None if the user detached from it.

        Raises:
            Failure, BrokenPipeError: as for `attach`.
        """
        self._terminal = terminal
        if terminal is not None:
            keys = "Ctrl-] detach" if self._mode == "rw" else "Ctrl-] detach  read-only"
            self._status = StatusLine(f" {cleaned(self._name)}  {keys} ", *window_size(STDOUT))
            self._draw(_scroll_screen() + self._status.begin())
        self._send_size()
        self._receive()
        while not (self._has_exited or self._keys.has_detached):
            self._wait()
        if self._status is not None:
            self._draw(self._status.erased())
        return self._ended

    def _wait(self) -> None:
        """Wait for the hub, a key, a signal or a timer, and handle it.

        The hub is handled first: if it has closed the connection, keys are kept for the next one.
        """
        socket, terminal = self._socket, self._terminal
        reading: list[Any] = [*self._pipe, *([socket] if socket else [])]
        if terminal is not None:
            reading.append(terminal.wakeup)
            if socket is None or socket.unsent_bytes < _MAX_UNSENT_KEYS:
                reading.append(STDIN)
        sending = [socket] if socket and socket.unsent_bytes else []
        readable, writable, _ = select.select(reading, sending, [], self._timeout())
        if socket is None or socket in readable:
            self._receive()
        if socket and writable:
            socket.flush()
        if terminal is not None and terminal.wakeup in readable:
            terminal.handle_wakeup()
            self._send_size()
            self._take_size()
        if STDIN in readable:
            self._read_keys()
        elif self._keys.held and monotonic() >= self._release_at:
            self._send_keys(self._keys.release())
        self._show_notices()
        if STDOUT in readable:
            raise BrokenPipeError  # the writing end of a pipe becomes readable when the reader has closed it

    def _timeout(self) -> float | None:
        due = [self._release_at] if self._keys.held else []
        if self._socket is None:
            due.append(self._next_try)
        if self._overlay.due is not None and self._terminal is not None:
            due.append(self._overlay.due)
        if self._redraw_at is not None:
            due.append(self._redraw_at)
        return max(min(due) - monotonic(), 0.0) if due else None

    def _read_keys(self) -> None:
        try:
            typed = os.read(STDIN, 4096)
        except OSError:
            typed = b""
        if not typed or (self._mode == "r" and _CTRL_C in typed):
            self._keys.has_detached = (
                True  # the terminal is gone, or the view is read-only and Ctrl-C has nothing else to stop
            )
            return
        self._send_keys(self._keys.feed(typed))
        self._release_at = monotonic() + DETACH_SECONDS

    def _draw(self, data: bytes) -> None:
        try:
            write(STDOUT, data)
        except BrokenPipeError:
            raise
        except OSError:
            self._keys.has_detached = True  # the terminal is gone

    def _send_keys(self, keys: bytes) -> None:
        if self._mode == "r" or not keys:
            return
        if self._socket is not None and self._socket.send(keys):
            return
        room = _MAX_KEPT_BYTES - len(self._kept)
        self._kept += keys[:room]
        if len(keys) > room:
            self._draw(_BELL)

    def _send_size(self) -> None:
        if self._socket is None or not os.isatty(STDOUT):
            return
        rows, columns = window_size(STDOUT)
        if self._status is not None:
            rows = rows_above(rows)
        self._socket.send(encode({"type": "size", "rows": rows, "cols": columns}).decode())

    def _receive(self) -> None:
        """Write the output that has arrived, and handle the hub's messages. Reconnect if necessary."""
        if self._socket is None:
            self._reconnect()  # the response may have brought frames with it
        if self._socket is None:
            return
        try:
            for kind, data in self._socket.messages():
                if kind == BINARY:
                    self._overlay.program_wrote(monotonic())
                    self._draw(data if self._status is None else self._status.passed(data))
                else:
                    self._handle(data)
        except Closed as closed:
            if not self._has_exited:
                self._handle_close(closed)

    def _handle(self, data: bytes) -> None:
        try:
            message: dict[str, Any] = decode(data)
            kind = message.get("type")
        except (ValueError, AttributeError):
            raise Failure("the hub sent an invalid message", exits.UNREACHABLE) from None
        if kind == "exited":
            self._has_exited, self._ended = True, ProgramExit(message.get("exit_code"), message.get("signal"))
        elif kind in ("attached", "size") and self._status is not None:
            self._fit(int(message["rows"]), int(message["cols"]))
        elif kind == "notice":
            self._overlay.add(message, monotonic())
        elif kind == "lost":
            raise Failure(f"lost the program {self._name}: {message.get('reason')}")

    def _show_notices(self) -> None:
        """Draw a forwarded message over the screen. To remove it, reconnect: the hub then redraws the
        screen."""
        if self._terminal is None:
            return
        now = monotonic()
        if line := self._overlay.draw(now, *window_size(STDOUT)):
            self._draw(line)
        if self._overlay.is_over(now):
            if self._status is not None and self._status.is_shown:
                self._draw(self._status.drawn())  # the message has covered it
            else:
                self._redraw_at = now
        self._redraw_if_due(now)

    def _take_size(self) -> None:
        """Fit the status line to the terminal's new size. What the terminal has kept of the screen is redrawn
        as soon as the program has its new size, too."""
        if self._status is not None:
            was_shown = self._status.is_shown
            self._status.resize(*window_size(STDOUT))
            if was_shown or self._status.is_shown:
                self._redraw_at = monotonic() + _RESIZE_SECONDS

    def _fit(self, rows: int, columns: int) -> None:
        """Note the size of the program's terminal. If it was larger than this one, redraw what was drawn."""
        assert self._status is not None
        self._status.has_program_rows(rows)
        if self._status.is_shown and (rows > self._status.rows or columns > window_size(STDOUT)[1]):
            self._redraw_at = monotonic() + _RESIZE_SECONDS

    def _redraw_if_due(self, now: float) -> None:
        """Draw the status line again if its row must be reserved again. If the screen must be redrawn,
        reconnect."""
        if self._status is None:
            return
        self._draw(self._status.refreshed())
        if self._status.is_doubtful and self._redraw_at is None:
            self._redraw_at = now + _RESIZE_SECONDS
        if self._redraw_at is not None and now >= self._redraw_at and self._socket is not None:
            self._redraw_at = None
            self._socket.close()
            self._socket = None
            self._lost_at = self._next_try = now

    def _handle_close(self, closed: Closed) -> None:
        if closed.code == FORBIDDEN:
            raise Failure(
                f"{self._name}: {closed.reason or 'the hub rejects keys from this terminal'}", exits.DENIED
            )
        if closed.reason == "host_silent":
            hint = f"end both with: aish tools terminate {self._name} --force"
            raise Failure(f"{self._name}: its host process does not answer", exits.UNREACHABLE, hint=hint)
        if closed.code not in _RECONNECT_CODES:
            raise Failure(f"the hub closed the connection to {self._name}: {closed}", exits.UNREACHABLE)
        self._socket = None
        self._lost_at = monotonic()
        self._next_try = self._lost_at + (0.0 if closed.code == TOO_SLOW else _RETRY_PAUSE)

    def _reconnect(self) -> None:
        now = monotonic()
        if now < self._next_try:
            return
        try:
            after = f"&after={self._overlay.cursor}" if self._overlay.cursor else ""
            self._socket = open_websocket(self._hub, self._path + after, _TRY_TIMEOUT)
        except Failure as failure:
            if failure.code not in (exits.UNREACHABLE, exits.TIMED_OUT):
                raise
            if now - self._lost_at > _RECONNECT_TIMEOUT:
                raise self._lost_hub() from None
            self._next_try = monotonic() + _RETRY_PAUSE
            return
        if self._terminal is not None:
            begun = b"" if self._status is None else self._status.begin()
            self._draw(PLAIN + _CLEAR + begun)  # the hub redraws the whole screen
        self._send_size()
        kept, self._kept = bytes(self._kept), bytearray()
        self._send_keys(kept)

    def _lost_hub(self) -> Failure:
        name = self._name
        hint = f"{name} keeps running (aish tools attach {name} reattaches)"
        return Failure(f"lost the connection to the hub; {hint}", exits.UNREACHABLE)


def _scroll_screen() -> bytes:
    """Return the bytes that scroll the screen empty, because the hub draws only what the program shows."""
    rows, _ = window_size(STDOUT)
    return b"\x1b[999;1H" + b"\n" * rows + _CLEAR


class Keys:
    """Finds Ctrl-] in the user's input, which arrives in any pieces, and returns everything before it.

    `held` are bytes that may be the beginning of Ctrl-]. If no others arrive within `DETACH_SECONDS`, call
    `release`.
    """

    def __init__(self) -> None:
        self.held = b""
        self.has_detached = False

    def feed(self, typed: bytes) -> bytes:
        """Return the bytes to send to the program now; empty if `has_detached` was set before."""
        if self.has_detached:
            return b""
        data, self.held = self.held + typed, b""
        for found in _FORMS.finditer(data):
            if _is_control(found):
                self.has_detached = True
                return data[: found.start()]
        begun = _BEGUN.search(data)
        if begun is None or len(begun[0]) > _MAX_HELD_BYTES:
            return data
        self.held = begun[0]
        return data[: begun.start()]

    def release(self) -> bytes:
        """Return the held bytes, which are not Ctrl-]."""
        held, self.held = self.held, b""
        return held


def _is_control(found: "re.Match[bytes]") -> bool:
    modifiers = found[1] or found[2]
    return modifiers is None or (int(modifiers) - 1) & ~_LOCKS == _CONTROL
