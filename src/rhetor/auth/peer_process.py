"""Keeps the process that opened a Unix connection apart from a later one that got the same process id."""

from __future__ import annotations

import errno
import os
import signal
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_PEER_PIDFD = 77  # SO_PEERPIDFD of unix(7), since Linux 6.5
_FD = struct.Struct("i")


@contextmanager
def held(connection: socket.socket) -> Iterator[Callable[[], bool]]:
    """Yield a function that returns whether the connection's process id still means the process that opened
    it.

    Call it after the process was looked at: the id cannot be used again before the function returns False. On
    kernels before 6.5, it always returns True.
    """
    try:
        fd = _FD.unpack(connection.getsockopt(socket.SOL_SOCKET, _PEER_PIDFD, _FD.size))[0]
    except OSError as error:
        is_unknown = error.errno == errno.ENOPROTOOPT  # any other error: the process is gone
        yield lambda: is_unknown
        return
    try:
        yield lambda: _is_there(fd)
    finally:
        os.close(fd)


def _is_there(fd: int) -> bool:
    """Return whether the process exists, even if it has ended and its parent does not know that yet."""
    try:
        signal.pidfd_send_signal(fd, 0)
    except OSError:
        return False
    return True
