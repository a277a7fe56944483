"""Socket.IO, revision 5 (github.com/socketio/socket.io-protocol): packets and their binary attachments, in
messages of Engine.IO.

The arguments of an event stay JSON until they are needed, so a dialect can decode them by type.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Raw

from rhetor.codec import engineio
from rhetor.codec.typed_json import items
from rhetor.errors import Malformed, TooLarge

MOST_ARGUMENTS: Final = 100
MOST_ATTACHMENTS: Final = 100
MOST_NAMESPACE: Final = 200  # characters
MAIN: Final = "/"
T = TypeVar("T")
_MAY_HAVE_ID: Final = ("2", "3", "5", "6")
_HEAD: Final = re.compile(r"([0-6])(?:(\d{1,9})-)?(/[^,]*(?:,|\Z))?(\d{1,15})?", re.ASCII)


class PacketType(StrEnum):
    CONNECT = "0"
    DISCONNECT = "1"
    EVENT = "2"
    ACK = "3"
    CONNECT_ERROR = "4"
    BINARY_EVENT = "5"
    BINARY_ACK = "6"


_BINARY: Final = {PacketType.BINARY_EVENT: PacketType.EVENT, PacketType.BINARY_ACK: PacketType.ACK}
_WITH_ATTACHMENTS: Final = {plain: binary for binary, plain in _BINARY.items()}


class Packet(msgspec.Struct, frozen=True):
    """A packet of the client. `type`: EVENT or ACK also if it has attachments. `arguments`: the values of an
    EVENT, beginning with its name, or of an ACK. `auth`: the payload of a CONNECT, None if it has none.

    An attachment is an object in the arguments, `{"_placeholder": true, "num": N}`; see `values`.
    """

    type: PacketType
    namespace: str = MAIN
    arguments: Sequence[Raw] = ()
    id: int | None = None
    auth: Raw | None = None
    attachments: Sequence[bytes] = ()

    def values(self) -> list[Any]:
        """Return the arguments as Python values, in which attachments are `bytes`.

        Raises:
            Malformed: a placeholder has no attachment, or a value cannot be decoded.
        """
        try:
            found = [msgspec.json.decode(each) for each in self.arguments]
            return [_filled(each, self.attachments) for each in found] if self.attachments else found
        except RecursionError as error:
            raise Malformed("the arguments are nested too deeply") from error
        except msgspec.DecodeError as error:
            raise Malformed(f"invalid arguments: {error}") from error


def _filled(value: Any, attachments: Sequence[bytes]) -> Any:
    if isinstance(value, list):
        return [_filled(each, attachments) for each in value]
    if not isinstance(value, dict):
        return value
    if value.get("_placeholder") is not True:
        return {name: _filled(each, attachments) for name, each in value.items()}
    number = value.get("num")
    if type(number) is not int or not 0 <= number < len(attachments):
        raise Malformed("a placeholder names an attachment that does not exist")
    return attachments[number]


class Decoder:
    """Turns the messages of one client into packets. `max_bytes`: of all attachments of a packet together.

    After an error, the decoder must not be used again.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._waiting: Packet | None = None
        self._missing = 0
        self._attachments: list[bytes] = []

    def feed(self, message: str | bytes) -> Packet | None:
        """Return the packet that the message completes; None if its attachments have not all arrived.

        Raises:
            Malformed: the message is not a packet that a client may send, or not the expected attachment.
            TooLarge: the packet has too many attachments, or they are too large.
        """
        if isinstance(message, bytes):
            return self._attach(message)
        if self._waiting is not None:
            raise Malformed("a packet came before all attachments of the previous one")
        packet, self._missing = _decode(message)
        if not self._missing:
            return packet
        self._waiting, self._attachments = packet, []
        return None

    def _attach(self, content: bytes) -> Packet | None:
        if self._waiting is None:
            raise Malformed("a binary message came without a packet that announces it")
        self._attachments.append(content)
        if sum(map(len, self._attachments)) > self._max_bytes:
            raise TooLarge("the attachments of a packet", self._max_bytes)
        if len(self._attachments) < self._missing:
            return None
        packet, self._waiting = self._waiting, None
        found = Packet(
            packet.type, packet.namespace, packet.arguments, packet.id, attachments=tuple(self._attachments)
        )
        self._attachments = []
        return found


def _decode(text: str) -> tuple[Packet, int]:
    """Return the packet in a text, and the number of its attachments."""
    head = _HEAD.match(text)
    if head is None:
        raise Malformed("not a Socket.IO packet: its first character must be from 0 to 6")
    kind = PacketType(head[1])
    namespace = (head[3] or MAIN).removesuffix(",")
    if len(namespace) > MOST_NAMESPACE:
        raise Malformed(f"the name of a namespace has more than {MOST_NAMESPACE} characters")
    is_binary = kind in _BINARY
    if (head[2] is not None) != is_binary or (head[4] is not None and kind not in _MAY_HAVE_ID):
        raise Malformed("the packet has a number that its type must not have, or lacks a required one")
    count = int(head[2] or 0)
    if count > MOST_ATTACHMENTS:
        raise TooLarge("the number of attachments", MOST_ATTACHMENTS)
    id = None if head[4] is None else int(head[4])
    return _packet(_BINARY.get(kind, kind), namespace, id, text[head.end() :]), count


def _packet(kind: PacketType, namespace: str, id: int | None, payload: str) -> Packet:
    match kind:
        case PacketType.CONNECT:
            return Packet(kind, namespace, auth=_object(payload))
        case PacketType.DISCONNECT if not payload:
            return Packet(kind, namespace)
        case PacketType.EVENT:
            if arguments := _array(payload):
                return Packet(kind, namespace, arguments, id)
        case PacketType.ACK if id is not None:
            return Packet(kind, namespace, _array(payload), id)
    raise Malformed("the packet has no valid payload")


def _object(payload: str) -> Raw | None:
    if not payload:
        return None
    found: Raw = _json(lambda: msgspec.json.decode(payload, type=Raw))
    if bytes(memoryview(found)[:1]) != b"{":
        raise Malformed("the payload of CONNECT must be an object")
    return found


def _array(payload: str) -> list[Raw]:
    return _json(lambda: items(payload, MOST_ARGUMENTS))


def _json(decode: Callable[[], T]) -> T:
    try:
        return decode()
    except RecursionError as error:
        raise Malformed("the payload is nested too deeply") from error
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise Malformed(f"invalid payload: {str(error)[:200]}") from error


def connected(namespace: str, answer: Any) -> bytes:
    """Return the Engine.IO packet that answers a CONNECT."""
    return b"40%b%b" % (_prefix(namespace), msgspec.json.encode(answer))


def refused(namespace: str, reason: str, data: Any = None) -> bytes:
    """Return the Engine.IO packet of a CONNECT_ERROR. The client's error has `reason` as its message, and
    `data`."""
    body: dict[str, Any] = {"message": reason}
    if data is not None:
        body["data"] = data
    return b"44%b%b" % (_prefix(namespace), msgspec.json.encode(body))


def event(name: str, payload: bytes) -> bytes:
    """Return the Engine.IO packet of an EVENT in the main namespace, with one argument, which is JSON."""
    return b"42[%b,%b]" % (msgspec.json.encode(name), payload)


def packets(kind: PacketType, namespace: str, values: Sequence[Any], id: int | None = None) -> list[bytes]:
    """Return the Engine.IO packets of an EVENT or an ACK: its text, and its attachments, which are `bytes` in
    the values."""
    found: list[bytes] = []
    body = msgspec.json.encode([_emptied(each, found) for each in values])
    number = b"" if id is None else b"%d" % id
    if not found:
        return [b"4%b%b%b%b" % (kind.encode(), _prefix(namespace), number, body)]
    head = b"4%b%d-" % (_WITH_ATTACHMENTS[kind].encode(), len(found))
    return [b"%b%b%b%b" % (head, _prefix(namespace), number, body), *map(engineio.message, found)]


def _emptied(value: Any, found: list[bytes]) -> Any:
    """Return the value with a placeholder instead of each attachment, which is appended to `found`."""
    if isinstance(value, bytes):
        found.append(value)
        return {"_placeholder": True, "num": len(found) - 1}
    if isinstance(value, list | tuple):
        return [_emptied(each, found) for each in value]
    if isinstance(value, dict):
        return {name: _emptied(each, found) for name, each in value.items()}
    return value


def _prefix(namespace: str) -> bytes:
    return b"" if namespace == MAIN else b"%b," % namespace.encode()
