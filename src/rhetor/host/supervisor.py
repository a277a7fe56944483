"""Runs a host: supervises one program, records how it ended, and exits when the end was acknowledged.

`output.py` reads output, `input.py` writes input, `requests.py` serves clients, and `termination.py` ends the
program.
"""

from __future__ import annotations

import os
import signal
import socket
import time

from rhetor.codec import host_frames as frames
from rhetor.codec.spool_cipher import SpoolCipher

from .cipher import load_cipher
from .connection import Connection
from .event_loop import Call, Loop, Timer
from .input import Input
from .output import RETRY_SECONDS, Output
from .program import Program
from .requests import ClientServer, Refused, Request, signal_number
from .segment import write_whole
from .spec import Spec
from .spool import Spool, TailBuffer
from .status import facts
from .termination import Termination
from .tty_writer import PipeInput, TtyWriter

STDERR_BYTES = 1 << 20  # of stderr that are kept
GRACE_SECONDS = 5.0
LOOK_SECONDS = 30.0  # between two checks, while no hub is connected, that the socket still exists
FAREWELL_SECONDS = 2.0  # for clients to read their last answers


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Supervisor:
    """Supervises one program. `run` returns when the program has ended and the host is no longer needed."""

    def __init__(
        self, spec: Spec, program: Program, sock: socket.socket, cipher: SpoolCipher | None = None
    ) -> None:
        self._spec = spec
        self._program = program
        self._loop = loop = Loop()
        self._spool = Spool(
            spec.folder,
            limit=spec.spool_limit,
            keep_bytes=spec.keep_bytes,
            segment_bytes=spec.segment_bytes,
            secrets=spec.secrets,
            cipher=cipher,
        )
        self._stderr = TailBuffer(STDERR_BYTES)
        self._status: int | None = None  # of the program, from wait
        self._leaving = False
        self._acknowledged = False
        self._alone: Timer | None = None
        self._server = ClientServer(
            loop, sock, spec.nonce, self._spool, self._stderr, self._requests(), self._gone, self._hubs
        )
        self._output = Output(loop, program, self._spool, self._stderr, now_ms, self._server.refill)
        self._input = Input(loop, self._sink())
        self._termination = Termination(loop, self._reap, hangs_up=program.slave is not None)
        loop.on_signal(signal.SIGCHLD, self._reap)
        loop.on_signal(signal.SIGTERM, self._dismiss)
        self._hubs(0)

    def _sink(self) -> TtyWriter | PipeInput:
        program = self._program
        assert program.input is not None
        if program.slave is None:
            return PipeInput(program.input, program.close_input)
        return TtyWriter(program.input, program.slave, program.reader)

    def _requests(self) -> dict[int, Request]:
        return {
            frames.STATUS: self._tell_status,
            frames.WRITE: self._write,
            frames.CLOSE_STDIN: self._close_stdin,
            frames.RESIZE: self._resize,
            frames.SIGNAL: self._signal,
            frames.ACKNOWLEDGE: self._acknowledge,
            frames.END: self._end,
            frames.SEAL: self._seal,
        }

    def run(self) -> None:
        self._reap()  # the program may have ended before there was a handler for SIGCHLD
        self._loop.run()

    # requests

    def _tell_status(self, client: Connection, body: bytes) -> None:
        del body
        running = self._status is None
        told = facts(self._program, running, self._spool, self._stderr, self._output.waiting)
        client.answer(frames.FACTS, frames.pack_fields([*told, ("exited", self._server.exited)]))

    def _write(self, client: Connection, body: bytes) -> None:
        kind, last, data = frames.unpack_write(body)
        if kind not in (frames.KEYS, frames.TEXT) or len(data) > frames.MAX_PIECE_BYTES:
            raise Refused(frames.BAD_REQUEST)
        self._need_program()
        self._input.write(client, kind, last, data, lambda reason: _answer(client, reason))

    def _close_stdin(self, client: Connection, body: bytes) -> None:
        del body
        self._need_program()
        self._input.shut(client, lambda reason: _answer(client, reason))

    def _resize(self, client: Connection, body: bytes) -> None:
        rows, cols = frames.unpack_size(body)
        if not self._program.terminal:
            raise Refused(frames.NO_TERMINAL)
        if not rows or not cols:
            raise Refused(frames.BAD_REQUEST)
        self._need_program()
        self._program.resize(rows, cols)
        client.answer(frames.DONE)

    def _signal(self, client: Connection, body: bytes) -> None:
        number = signal_number(body)
        self._need_program()
        self._program.signal(number)
        client.answer(frames.DONE)

    def _acknowledge(self, client: Connection, body: bytes) -> None:
        offset = frames.unpack_offset(body)
        if offset > self._spool.head:
            raise Refused(frames.AHEAD)
        self._spool.acknowledge(offset)
        client.answer(frames.DONE)
        self._output.resume()
        if self._server.exited and offset == self._spool.head:
            self._acknowledged = True
            self._leave_if_done()

    def _end(self, client: Connection, body: bytes) -> None:
        grace = frames.unpack_number(body) / 1000

        def done() -> None:
            self._when_told(lambda: client.answer(frames.EXITED, self._server.exited))

        self._termination.begin(grace, done)

    def _seal(self, client: Connection, body: bytes) -> None:
        try:
            self._spool.seal(load_cipher(*frames.unpack_seal(body)))
        except (ImportError, ValueError, OSError):
            raise Refused(frames.CANNOT_SEAL) from None
        client.answer(frames.DONE)
        self._seal_earlier()

    def _seal_earlier(self) -> None:
        """Seal the output so far, a segment at a time, so that the program and the clients do not wait."""
        try:
            if self._spool.seal_earlier():
                self._loop.after(0, self._seal_earlier)
        except OSError:
            self._loop.after(RETRY_SECONDS, self._seal_earlier)

    def _need_program(self) -> None:
        if self._status is not None:
            raise Refused(frames.PROGRAM_OVER)

    # the end of the program and of the host

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if not pid:
                break
            if pid == self._program.pid:
                self._status = status
                self._input.close(frames.PROGRAM_OVER)
                self._conclude()
        self._leave_if_done()

    def _conclude(self) -> None:
        """Record the program's end and report it, after the last output."""
        assert self._status is not None
        if not self._output.drain() or not self._record(self._status):
            # the disk is full; the end is reported only after it was recorded
            self._loop.after(RETRY_SECONDS, self._conclude)
            return
        self._program.close()
        if not self._termination.under_way:
            self._termination.begin(GRACE_SECONDS, self._leave_if_done)

    def _record(self, status: int) -> bool:
        by_signal = os.WIFSIGNALED(status)
        code = None if by_signal else os.WEXITSTATUS(status)
        number = os.WTERMSIG(status) if by_signal else None
        exited = frames.pack_exited(code, number, now_ms(), self._spool.head)
        try:
            write_whole(f"{self._spec.folder}/exit", exited)
        except FileNotFoundError:
            pass  # the folder was removed, so nobody will look for the file
        except OSError:
            return False
        self._server.tell_exit(exited)
        return True

    def _when_told(self, call: Call) -> None:
        if self._server.exited:
            call()
        else:
            self._loop.after(RETRY_SECONDS, lambda: self._when_told(call))

    def _gone(self, client: Connection) -> None:
        self._input.gone(client)

    def _hubs(self, number: int) -> None:
        self._loop.cancel(self._alone)
        self._alone = None
        if not number:
            self._wait_for_hub(time.monotonic() + self._spec.alone_seconds)

    def _wait_for_hub(self, until: float) -> None:
        left = until - time.monotonic()
        # its folder may have been removed: without its socket, no hub can find this host again
        if left <= 0 or not os.path.exists(self._spec.socket):  # noqa: PTH110
            self._dismiss()
            return
        self._alone = self._loop.after(min(left, LOOK_SECONDS), lambda: self._wait_for_hub(until))

    def _dismiss(self) -> None:
        """End the program, then exit without waiting for an acknowledgement."""
        self._acknowledged = True
        self._termination.begin(GRACE_SECONDS, self._leave_if_done)

    def _leave_if_done(self) -> None:
        if self._leaving or not self._acknowledged or not self._server.exited or self._termination.under_way:
            return
        self._leaving = True
        try:
            os.unlink(self._spec.socket)  # noqa: PTH108 (pathlib costs memory)
        except FileNotFoundError:
            pass  # the hub has removed this host's files
        self._loop.after(FAREWELL_SECONDS, self._loop.stop)
        self._server.leave(self._loop.stop)


def _answer(client: Connection, reason: int) -> None:
    if reason:
        client.answer(frames.FAILED, frames.pack_number(reason))
    else:
        client.answer(frames.DONE)
