"""The connection to the hub's socket: opened over `_socket`, and checked to belong to this user."""

import _socket
import os

from aish import exits
from aish.client.home import socket_path
from aish.exits import Failure

_CREDENTIAL_BYTES = 12  # struct ucred: pid, uid, gid


def connect(home: str) -> _socket.socket:
    """A connection to the hub that listens in `home`.

    Raises:
        OSError: there is none.
        Failure: whoever listens there is another user.
    """
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        connection.connect(socket_path(home))
        server = server_of(connection)
    except OSError:
        connection.close()
        raise
    if server is not None and server[1] != os.geteuid():
        connection.close()
        raise Failure(f"the hub's socket is served by another user (uid {server[1]})", exits.DENIED)
    return connection


def server_of(connection: _socket.socket) -> tuple[int, int] | None:
    """Process id and user id of who serves the socket; None where the system does not say, and the folder's
    mode has to do."""
    option = getattr(_socket, "SO_PEERCRED", None)
    if option is None:
        return None
    import sys

    credentials = connection.getsockopt(_socket.SOL_SOCKET, option, _CREDENTIAL_BYTES)
    pid, uid = credentials[:4], credentials[4:8]
    return int.from_bytes(pid, sys.byteorder), int.from_bytes(uid, sys.byteorder)
