"""Engine.IO, revision 4, on the server's side (github.com/socketio/engine.io-protocol): packets, the payloads
of long polling, and the messages of a WebSocket.

An encoded packet has its form for long polling: the digit of its type and its text, or `b` and a binary
message in base64. A payload is packets with a separator in between. On a WebSocket, each packet is one
message.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

import msgspec

from rhetor.codec.websocket_frames import binary_frame, text_frame
from rhetor.errors import Malformed, TooLarge

SEPARATOR: Final = b"\x1e"
MOST_PACKETS: Final = 10_000  # of one payload; even an empty packet takes memory
VERSION: Final = "4"


class PacketType(StrEnum):
    OPEN = "0"
    CLOSE = "1"
    PING = "2"
    PONG = "3"
    MESSAGE = "4"
    UPGRADE = "5"
    NOOP = "6"


CLOSE: Final = b"1"
PING: Final = b"2"
NOOP: Final = b"6"
PROBE: Final = "probe"
PROBED: Final = b"3probe"  # the answer to a ping with `probe`


class Packet(NamedTuple):
    """A packet of the client. `data`: text, or the bytes of a binary message."""

    type: PacketType
    data: str | bytes = ""


class Timing(NamedTuple):
    """What the server promises in its handshake. `ping_interval` and `ping_timeout` are in seconds;
    `max_payload`: the largest payload or message that it accepts, in bytes."""

    ping_interval: float
    ping_timeout: float
    max_payload: int


def decode(message: str | bytes) -> Packet:
    """Return the packet in a message of a WebSocket.

    Raises:
        Malformed: the message is empty, or its first character is not the type of a packet.
    """
    if isinstance(message, bytes):
        return Packet(PacketType.MESSAGE, message)
    try:
        return Packet(PacketType(message[:1]), message[1:])
    except ValueError:
        raise Malformed("not an Engine.IO packet: its first character must be from 0 to 6") from None


def decode_payload(body: bytes) -> Iterator[Packet]:
    """Yield the packets in the body of a POST request. Each is decoded when it is its turn, because decoding
    all of a large body would block the event loop.

    Raises:
        Malformed: a packet is invalid, or not UTF-8.
        TooLarge: there are more than 10,000 packets.
    """
    if body.count(SEPARATOR) >= MOST_PACKETS:
        raise TooLarge("the number of packets in a payload", MOST_PACKETS)
    return map(_decode_part, body.split(SEPARATOR))


def _decode_part(part: bytes) -> Packet:
    if not part.startswith(b"b"):
        try:
            return decode(part.decode())
        except UnicodeDecodeError as error:
            raise Malformed("the payload must be UTF-8") from error
    try:
        return Packet(PacketType.MESSAGE, binascii.a2b_base64(memoryview(part)[1:], strict_mode=True))
    except ValueError as error:
        raise Malformed("a binary packet must be `b`, followed by base64") from error


def message(data: str | bytes) -> bytes:
    """Return the packet of a message: text, or bytes for a binary message."""
    if isinstance(data, bytes):
        return b"b" + binascii.b2a_base64(data, newline=False)
    return b"4" + data.encode()


def handshake(sid: str, upgrades: Sequence[str], timing: Timing) -> bytes:
    """Return the packet that opens a session."""
    opened = {
        "sid": sid,
        "upgrades": upgrades,
        "pingInterval": round(timing.ping_interval * 1000),
        "pingTimeout": round(timing.ping_timeout * 1000),
        "maxPayload": timing.max_payload,
    }
    return b"0" + msgspec.json.encode(opened)


def frames(packets: Iterable[bytes]) -> bytes:
    """Return encoded packets as frames of a WebSocket."""
    return b"".join(map(_frame, packets))


def _frame(packet: bytes) -> bytes:
    return binary_frame(binascii.a2b_base64(packet[1:])) if packet[:1] == b"b" else text_frame(packet)
