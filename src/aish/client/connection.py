"""Opens a connection to the hub's socket, and checks that the hub belongs to this user.

The module `socket` takes too long to import, so this one uses `_socket`.
"""

import _socket
import os

from aish import exits
from aish.client.home import socket_path
from aish.exits import Failure

_CREDENTIAL_BYTES = 12  # struct ucred: pid, uid, gid


def connect(home: str) -> _socket.socket:
    """Return a connection to the hub that listens in `home`.

    Raises:
        OSError: no hub is listening.
        Failure: the process that is listening belongs to another user.
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
        raise Failure(other_user(server[1]), exits.DENIED)
    return connection


def server_of(connection: _socket.socket) -> tuple[int, int] | None:
    """Return the process id and user id of the process that is listening.

    Return None if the system does not provide them; then only the mode of the folder protects the socket.
    """
    option = getattr(_socket, "SO_PEERCRED", None)
    if option is None:
        return None
    import sys

    credentials = connection.getsockopt(_socket.SOL_SOCKET, option, _CREDENTIAL_BYTES)
    pid, uid = credentials[:4], credentials[4:8]
    return int.from_bytes(pid, sys.byteorder), int.from_bytes(uid, sys.byteorder)


def other_user(uid: int) -> str:
    """Return the message for a socket on which another user is listening."""
    return (
        f"another user (uid {uid}) is listening on the hub's socket; set RHETOR_HOME to a folder that you own"
    )
