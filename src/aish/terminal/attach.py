"""`aish tools attach NAME`: a program in this terminal, as if it had been started here.

Keys go to the hub as they are typed, the program's bytes come back as it writes them. A connection that is
lost is made anew: programs outlive the hub, and the hub draws the screen again for whoever attaches.
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
from aish.client.websocket_frames import BINARY, BROKEN_OFF, FORBIDDEN, LEAVING, RESTARTING, TOO_SLOW, Closed
from aish.exits import Failure
from aish.output import STDOUT, say, write
from aish.terminal.overlay import Overlay
from aish.terminal.tty import PLAIN, RawTerminal, window_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal, TypeAlias

    Mode: TypeAlias = Literal["rw", "r"]

DETACH_SECONDS = 0.03  # after which what has begun like Ctrl-] is another key
# kitty's `ESC[93;5u`, with other keys, a press and a text at will; xterm's `ESC[27;5;93~`.
_FORMS = re.compile(rb"\x1d|\x1b\[93(?::[\d:]*)?;(\d+)(?::1)?(?:;[\d:]*)?u|\x1b\[27;(\d+);93~")
_BEGUN = re.compile(rb"\x1b(?:\[(?:9(?:3(?:[:;][\d:;]*)?)?|2(?:7(?:;[\d;]*)?)?)?)?\Z")
_MAX_HELD_BYTES = 64
_CONTROL, _LOCKS = 4, 64 | 128

STDIN = 0
_RECONNECT_SECONDS = 10.0
_PAUSE, _PATIENCE = 0.1, 2.0  # seconds between two tries, and for one
_MAX_KEPT_BYTES = 4096
_MAX_UNSENT_KEYS = 65536
_COMES_BACK = (BROKEN_OFF, LEAVING, RESTARTING, TOO_SLOW)
_CTRL_C, _BELL, _CLEAR = b"\x03", b"\x07", b"\x1b[H\x1b[2J"


class Ended:
    """How a program ended: by itself with a code, or by a signal."""

    def __init__(self, exit_code: int | None, signal: "int | str | None") -> None:
        self.exit_code = exit_code
        self.signal = signal


def attach(hub: Hub, name: str, mode: "Mode" = "rw") -> int:
    """Until the program ends or Ctrl-] is typed; where no person sits at both ends it is only looked at.

    0, also after Ctrl-]; 1 where the program failed, whose own code is said.

    Raises:
        Failure: there is no such program, or it is lost, or the hub is (for longer than ten seconds).
        KeyboardInterrupt: it was only looked at, and that was stopped.
        BrokenPipeError: nobody reads any more what it shows.
    """
    has_person = os.isatty(STDIN) and os.isatty(STDOUT)
    attachment = Attachment(hub, name, mode if has_person else "r")
    try:
        if has_person:
            with RawTerminal() as terminal:
                ended = attachment.run(terminal)
        else:
            ended = attachment.run(None)
    finally:
        attachment.close()
    for notice in attachment.notices:
        say(notice)
    if ended is not None:
        return told(name, ended)
    if has_person:
        say(f"Detached from {name} (aish tools attach {name} goes on)")
    return exits.DONE


def told(name: str, ended: Ended) -> int:
    """Say how the program ended; the exit code for it."""
    if ended.signal is not None:
        say(f"{name} was ended by signal {ended.signal}")
    elif ended.exit_code:
        say(f"{name} has ended with exit code {ended.exit_code}")
    else:
        say(f"{name} has ended")
        return exits.DONE
    return exits.FAILED


class Attachment:
    """One view of a program, over as many connections as it takes.

    Raises:
        Failure: the first one is refused.
    """

    def __init__(self, hub: Hub, name: str, mode: "Mode") -> None:
        self._name = name
        self._mode = mode
        self._path = f"/ws/attach/{quote(name)}?mode={mode}"
        self._socket: WebSocket | None = open_websocket(hub, self._path)
        self._hub = Hub(hub.home, may_start=False)  # who ends the hub means it
        self._lost_at = self._next_try = 0.0
        self._keys = Keys()
        self._release_at = 0.0
        self._overlay = Overlay()
        self._kept = bytearray()
        self._is_over = False
        self._ended: Ended | None = None
        self._pipe = [STDOUT] if stat.S_ISFIFO(os.fstat(STDOUT).st_mode) else []

    @property
    def notices(self) -> "list[str]":
        """What was forwarded to the program's terminal meanwhile."""
        return self._overlay.told

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()

    def run(self, terminal: RawTerminal | None) -> Ended | None:
        """How the program ended; None where it goes on, and the person has left.

        Raises:
            Failure, BrokenPipeError: as `attach`.
        """
        self._terminal = terminal
        if terminal is not None:
            self._draw(_scrolled_away())
        self._send_size()
        self._show()
        while not (self._is_over or self._keys.has_left):
            self._wait()
        return self._ended

    def _wait(self) -> None:
        """Until something has come, or is due; and do what it asks for. The hub is heard first, so that keys
        go where they can go."""
        socket, terminal = self._socket, self._terminal
        reading: list[Any] = [*self._pipe, *([socket] if socket else [])]
        if terminal is not None:
            reading.append(terminal.wakeup)
            if socket is None or socket.unsent_bytes < _MAX_UNSENT_KEYS:
                reading.append(STDIN)
        sending = [socket] if socket and socket.unsent_bytes else []
        readable, writable, _ = select.select(reading, sending, [], self._timeout())
        if socket is None or socket in readable:
            self._show()
        if socket and writable:
            socket.flush()
        if terminal is not None and terminal.wakeup in readable:
            terminal.woken()
            self._send_size()
        if STDIN in readable:
            self._typed()
        elif self._keys.held and monotonic() >= self._release_at:
            self._send_keys(self._keys.release())
        self._show_notices()
        if STDOUT in readable:
            raise BrokenPipeError  # a pipe's writing end can be read when nobody reads at the other one

    def _timeout(self) -> float | None:
        due = [self._release_at] if self._keys.held else []
        if self._socket is None:
            due.append(self._next_try)
        if self._overlay.due is not None and self._terminal is not None:
            due.append(self._overlay.due)
        return max(min(due) - monotonic(), 0.0) if due else None

    def _typed(self) -> None:
        try:
            typed = os.read(STDIN, 4096)
        except OSError:
            typed = b""
        if not typed or (self._mode == "r" and _CTRL_C in typed):
            self._keys.has_left = True  # the terminal is gone, or there is nobody whom Ctrl-C could reach
            return
        self._send_keys(self._keys.feed(typed))
        self._release_at = monotonic() + DETACH_SECONDS

    def _draw(self, data: bytes) -> None:
        try:
            write(STDOUT, data)
        except BrokenPipeError:
            raise
        except OSError:
            self._keys.has_left = True  # the terminal is gone

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
        self._socket.send(encode({"type": "size", "rows": rows, "cols": columns}).decode())

    def _show(self) -> None:
        """Write what the program has written by now, and hear what the hub says of it."""
        if self._socket is None:
            self._connect_again()  # whose answer may have brought frames with it
        if self._socket is None:
            return
        try:
            for kind, data in self._socket.messages():
                if kind == BINARY:
                    self._overlay.disturbed(monotonic())
                    self._draw(data)
                else:
                    self._hear(data)
        except Closed as closed:
            if not self._is_over:
                self._lose(closed)

    def _hear(self, data: bytes) -> None:
        try:
            said: dict[str, Any] = decode(data)
            kind = said.get("type")
        except (ValueError, AttributeError):
            raise Failure("the hub sent what cannot be read", exits.UNREACHABLE) from None
        if kind == "exited":
            self._is_over, self._ended = True, Ended(said.get("exit_code"), said.get("signal"))
        elif kind == "notice":
            self._overlay.take(said, monotonic())
        elif kind == "lost":
            raise Failure(f"{self._name} is lost: {said.get('reason')}")

    def _show_notices(self) -> None:
        """What was forwarded here: for a few seconds, and then the hub draws the screen again."""
        if self._terminal is None:
            return
        now = monotonic()
        if line := self._overlay.drawn(now, *window_size(STDOUT)):
            self._draw(line)
        if self._overlay.is_over(now) and self._socket is not None:
            self._socket.close()
            self._socket = None
            self._lost_at = self._next_try = now

    def _lose(self, closed: Closed) -> None:
        if closed.code == FORBIDDEN:
            raise Failure(f"{self._name}: {closed.reason or 'no keys are taken here'}", exits.DENIED)
        if closed.code not in _COMES_BACK:
            raise Failure(f"the hub has closed the view of {self._name}: {closed}", exits.UNREACHABLE)
        self._socket = None
        self._lost_at = monotonic()
        self._next_try = self._lost_at + (0.0 if closed.code == TOO_SLOW else _PAUSE)

    def _connect_again(self) -> None:
        now = monotonic()
        if now < self._next_try:
            return
        try:
            after = f"&after={self._overlay.cursor}" if self._overlay.cursor else ""
            self._socket = open_websocket(self._hub, self._path + after, _PATIENCE)
        except Failure as failure:
            if failure.code not in (exits.UNREACHABLE, exits.TIMED_OUT):
                raise
            if now - self._lost_at > _RECONNECT_SECONDS:
                raise Failure(
                    f"the hub is gone; aish tools attach {self._name} goes on", exits.UNREACHABLE
                ) from None
            self._next_try = monotonic() + _PAUSE
            return
        if self._terminal is not None:
            self._draw(PLAIN + _CLEAR)  # the screen is drawn anew, and from nothing
        self._send_size()
        kept, self._kept = bytes(self._kept), bytearray()
        self._send_keys(kept)


def _scrolled_away() -> bytes:
    """An empty screen, for the hub draws only what the program shows; what was there is still above it."""
    rows, _ = window_size(STDOUT)
    return b"\x1b[999;1H" + b"\n" * rows + _CLEAR


class Keys:
    """What is typed, in any pieces → what the program is given, up to the Ctrl-].

    `held`: what may be the beginning of one. Where nothing follows in `DETACH_SECONDS`, call `release`.
    """

    def __init__(self) -> None:
        self.held = b""
        self.has_left = False

    def feed(self, typed: bytes) -> bytes:
        """What is to be sent now; nothing more once `has_left`."""
        if self.has_left:
            return b""
        data, self.held = self.held + typed, b""
        for found in _FORMS.finditer(data):
            if _is_control(found):
                self.has_left = True
                return data[: found.start()]
        begun = _BEGUN.search(data)
        if begun is None or len(begun[0]) > _MAX_HELD_BYTES:
            return data
        self.held = begun[0]
        return data[: begun.start()]

    def release(self) -> bytes:
        """What was held: nothing came that makes it a Ctrl-]."""
        held, self.held = self.held, b""
        return held


def _is_control(found: "re.Match[bytes]") -> bool:
    modifiers = found[1] or found[2]
    return modifiers is None or (int(modifiers) - 1) & ~_LOCKS == _CONTROL
