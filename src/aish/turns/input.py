"""Reads piped input to its end, and makes it the text of a message."""

import os

from aish import exits
from aish.exits import Failure
from aish.output import say

STDIN = 0
# The hub rejects a body over 8 MiB, so the rest of a longer input is not read.
MAX_INPUT_BYTES = 8 * 1024 * 1024
_PIECE_BYTES = 65536
_read: "list[bytes]" = []  # the whole standard input, once it was read


def read_input(descriptor: int = STDIN) -> str:
    """Return the piped input, without its final newline. Empty if the descriptor is a terminal or closed.

    Raises:
        Failure: the input is larger than the hub accepts, or cannot be read.
    """
    try:
        os.fstat(descriptor)
    except OSError:
        return ""
    if os.isatty(descriptor):
        return ""
    data = read_all(descriptor)
    if descriptor == STDIN:
        _read.append(data)
    return as_text(data)


def return_input() -> None:
    """Make the piped input readable again, for this process and for programs, because it was not used."""
    from tempfile import TemporaryFile

    if _read:
        with TemporaryFile() as file:
            file.write(_read.pop())
            file.seek(0)
            os.dup2(file.fileno(), STDIN)


def read_all(descriptor: int) -> bytes:
    """Read to the end of the input.

    Raises:
        Failure: the input is larger than a peer can receive, or cannot be read.
    """
    pieces: list[bytes] = []
    size = 0
    while piece := read_piece(descriptor):
        pieces.append(piece)
        size += len(piece)
        if size > MAX_INPUT_BYTES:
            raise input_too_large()
    return b"".join(pieces)


def read_piece(descriptor: int) -> bytes:
    """Wait for the next bytes, also if the descriptor does not block. Empty at the end of the input.

    Another process that shares the pipe may have set it to non-blocking at any time (Node.js does).

    Raises:
        Failure: the input cannot be read.
    """
    while True:
        try:
            return os.read(descriptor, _PIECE_BYTES)
        except BlockingIOError:
            import select

            select.select([descriptor], [], [])
        except OSError as error:  # a folder, for example
            raise Failure(f"cannot read the input: {error.strerror}") from None


def input_too_large() -> Failure:
    limit = f"{MAX_INPUT_BYTES // (1024 * 1024)} MiB"
    return Failure(f"the input is larger than {limit}; send a part of it", exits.USAGE)


def as_text(data: bytes) -> str:
    """Decode a program's output as the input of a peer, without its final newline. A line on
    stderr says if bytes are replaced because they are not UTF-8."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        say("the input is not text in UTF-8; invalid bytes are sent as \N{REPLACEMENT CHARACTER}")
        text = data.decode("utf-8", "replace")
    return text.removesuffix("\n").removesuffix("\r")
