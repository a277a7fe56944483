"""Payloads to JSON and back, and which texts a store can keep. Knows nothing of streams or tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, cast

import msgspec

from rhetor.domain.event import (
    PAYLOADS,
    BlobKept,
    ForwardFailed,
    MessageAccepted,
    MessageForwarded,
    Payload,
    data_of,
)
from rhetor.errors import Malformed

MAX_INTEGER = (1 << 63) - 1
_encoder = msgspec.json.Encoder()


def encode(payload: Payload) -> bytes:
    """The payload's `data` as JSON in UTF-8.

    Raises:
        Malformed: it holds what JSON cannot say (a lone surrogate, a value of no JSON type) or is nested
            too deeply.
    """
    try:
        return _encoder.encode(data_of(payload))
    except UnicodeEncodeError as error:
        raise _not_unicode(payload.type) from error
    except (TypeError, ValueError, RecursionError) as error:
        raise Malformed(f"{payload.type} cannot be written as JSON", why=type(error).__name__) from error


def decode(kind: str, data: bytes) -> Payload:
    """The payload that `encode` wrote, of the type named `kind`."""
    return _DECODERS[kind](data)


def require_text(what: str, texts: Iterable[str | None]) -> None:
    """Raises:
    Malformed: one of the texts has no form in UTF-8 (it holds a lone surrogate)."""
    for text in texts:
        if text is not None and not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError as error:
                raise _not_unicode(what) from error


def require_integer(what: str, value: int) -> None:
    """Raises:
    Malformed: the number is negative or has more than 63 bits."""
    if not 0 <= value <= MAX_INTEGER:
        raise Malformed(f"{what} is not between 0 and 2^63 - 1")


def _not_unicode(what: str) -> Malformed:
    return Malformed(f"{what} holds a lone surrogate, which is no Unicode text")


def _decoder(kind: type[Payload]) -> Callable[[bytes], Payload]:
    return cast("Callable[[bytes], Payload]", msgspec.json.Decoder(kind).decode)


def _decoder_with_sender(kind: type[Payload]) -> Callable[[bytes], Payload]:
    def decode_one(data: bytes) -> Payload:
        values: dict[str, Any] = msgspec.json.decode(data)
        values["from_"] = values.pop("from")  # Python keeps the word that clients see
        return msgspec.convert(values, kind)

    return decode_one


_WITH_SENDER = (MessageAccepted, BlobKept, MessageForwarded, ForwardFailed)
_DECODERS = {name: _decoder(kind) for name, kind in PAYLOADS.items()} | {
    kind.type: _decoder_with_sender(kind) for kind in _WITH_SENDER
}
