"""The messages between a hub and a machine that has joined it, and what makes them survive a lost connection.

Every message but the acknowledgement has a number. Each side keeps what it has sent until the other one
acknowledges it, and sends it again over the next connection. So a message is delivered once, and in order, as
long as both processes run.
"""

from __future__ import annotations

from struct import Struct
from struct import error as StructError
from typing import NamedTuple

WINDOW_BYTES = 1 << 18  # of a channel's data that its receiver may have left unread
MOST_DATA_BYTES = 1 << 15  # in one message
MOST_UNACKNOWLEDGED_BYTES = 4 << 20

# OPEN, NOTE: JSON. OPENED, REFUSED: the answer to OPEN, JSON. CREDIT: bytes that were read. END: no more data
ACK, OPEN, OPENED, REFUSED, DATA, CREDIT, END, NOTE = range(8)

_HEAD = Struct(">BQI")
_CREDIT = Struct(">I")


class LinkBroken(ValueError):
    """The other side does not follow the protocol. Nothing that it sent after that can be trusted."""


class Message(NamedTuple):
    """A message of a channel. `number`: of the message; in an acknowledgement, of the last one received."""

    kind: int
    number: int
    channel: int
    body: bytes


def packed(message: Message) -> bytes:
    return _HEAD.pack(message.kind, message.number, message.channel) + message.body


def unpacked(data: bytes) -> Message:
    """Decode a message.

    Raises:
        LinkBroken: it is too short, too long, or of an unknown kind.
    """
    try:
        kind, number, channel = _HEAD.unpack(data[: _HEAD.size])
    except StructError as error:
        raise LinkBroken(f"a message of {len(data)} bytes") from error
    if kind > NOTE:
        raise LinkBroken(f"a message of kind {kind}")
    return Message(kind, number, channel, data[_HEAD.size :])


def pack_credit(count: int) -> bytes:
    return _CREDIT.pack(count)


def unpack_credit(body: bytes) -> int:
    try:
        return int(_CREDIT.unpack(body)[0])
    except StructError as error:
        raise LinkBroken("a credit without a number") from error


class Outbox:
    """The messages that were sent and not acknowledged, by number. `size`: their bytes."""

    def __init__(self) -> None:
        self.last = 0
        self.size = 0
        self._kept: dict[int, bytes] = {}
        self._acknowledged = 0

    def add(self, kind: int, channel: int, body: bytes = b"") -> None:
        """Number a message, and keep it."""
        self.last += 1
        data = packed(Message(kind, self.last, channel, body))
        self._kept[self.last] = data
        self.size += len(data)

    def get(self, number: int) -> bytes | None:
        """Return the message of this number; None if there is none yet."""
        return self._kept.get(number)

    def acknowledge(self, number: int) -> None:
        """Forget the messages up to this number.

        Raises:
            LinkBroken: it was not sent.
        """
        if number > self.last:
            raise LinkBroken(f"message {number} was acknowledged and never sent")
        while self._acknowledged < number:
            self._acknowledged += 1
            self.size -= len(self._kept.pop(self._acknowledged))

    def has_after(self, number: int) -> bool:
        """Return whether all messages after this number are kept."""
        return self._acknowledged <= number <= self.last


class Inbox:
    """The messages that were received. `last`: the number of the last one."""

    def __init__(self) -> None:
        self.last = 0

    def take(self, number: int) -> bool:
        """Note a message. Return False if it was received before.

        Raises:
            LinkBroken: one before it is missing.
        """
        if number <= self.last:
            return False
        if number != self.last + 1:
            raise LinkBroken(f"message {number} follows message {self.last}")
        self.last = number
        return True
