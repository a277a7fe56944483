"""Sockets that have names, as they are written to: frames as commands, and bytes with the text that announces
them (wire page, section 3)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import msgspec
from msgspec import Meta

from rhetor.codec.jsonrpc import parse
from rhetor.domain.command import KeepBlob, SendMessage
from rhetor.domain.plan import IfBusy
from rhetor.domain.socket import MOST_BYTES, Socket
from rhetor.errors import Malformed, RhetorError, TextOnly, TooLarge

from .peer_socket import Delimiter, Id, Sender

TOKEN = r"[A-Za-z0-9!#$&^_.+-]{1,100}"
MEDIA_TYPE = rf"^{TOKEN}/{TOKEN}( ?; ?{TOKEN}={TOKEN}){{0,10}}$"


class _Write(msgspec.Struct, rename={"from_": "from"}):
    content: str
    execute: bool = False
    delimiter: Delimiter | None = None
    if_busy: IfBusy = "queue"
    command_id: Id | None = None
    from_: Sender = ""


class _Bytes(msgspec.Struct, rename={"from_": "from"}):
    media_type: Annotated[str, Meta(max_length=255, pattern=MEDIA_TYPE)]
    bytes: Annotated[int, Meta(ge=1)]
    command_id: Id | None = None
    from_: Sender = ""

    def announced(self) -> Announced:
        return Announced(self.media_type, self.bytes, self.from_, self.command_id)


@dataclass(frozen=True, slots=True)
class Announced:
    """`size` bytes of binary content are to follow in one frame."""

    media_type: str
    size: int
    from_: str = ""
    command_id: str | None = None

    def command(self, session_id: str, content: bytes) -> KeepBlob | Malformed:
        if len(content) != self.size:
            return Malformed(f"{self.size} bytes were announced, and {len(content)} came")
        return KeepBlob(session_id, self.media_type, content, self.from_, self.command_id)


class Writing:
    """What one connection writes to a socket, frame by frame."""

    def __init__(self, socket: Socket) -> None:
        self._socket = socket
        self._announced: Announced | None = None
        self._passes_over = False

    def take(self, frame: str | bytes) -> Iterator[SendMessage | KeepBlob | RhetorError]:
        """What the frame asks for, once it is complete; and what is wrong with it, or with the one before."""
        announced, self._announced = self._announced, None
        passes_over, self._passes_over = self._passes_over, False
        if isinstance(frame, str):
            if announced is not None:
                yield Malformed("the bytes that were announced did not come")
            yield from self._text(frame)
        elif announced is not None:
            yield announced.command(self._socket.session_id, frame)
        elif not passes_over:  # else they belong to what was refused
            yield Malformed("bytes come after a write that announces them")

    def _text(self, text: str) -> Iterator[SendMessage | RhetorError]:
        said = _decoded(text, self._socket.session_id)
        if not isinstance(said, Announced):
            yield said
        elif refusal := self._refusal(said):
            self._passes_over = True
            yield refusal
        else:
            self._announced = said

    def _refusal(self, announced: Announced) -> RhetorError | None:
        """Why the bytes are not taken, said before they come."""
        if not self._socket.is_shared:
            return TextOnly(self._socket.peer)
        return TooLarge("binary content", MOST_BYTES) if announced.size > MOST_BYTES else None


def _decoded(text: str, session_id: str) -> SendMessage | Announced | Malformed:
    try:
        said = parse(text)
        if not isinstance(said, dict) or said.get("type") != "write":
            return Malformed('a frame is {"type": "write", …}')
        if "content" not in said and "media_type" not in said:
            return Malformed("a write has `content`, or `media_type` and `bytes`")
        if "content" not in said:
            return msgspec.convert(said, _Bytes).announced()
        return SendMessage(session_id=session_id, **msgspec.structs.asdict(msgspec.convert(said, _Write)))
    except RecursionError:
        return Malformed("it is nested too deep")
    except (msgspec.MsgspecError, UnicodeError, ValueError, OverflowError) as error:
        return Malformed(str(error)[:200])
