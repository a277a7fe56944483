"""Encodes payloads as JSON and decodes them, and checks that texts and numbers can be stored."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache

import msgspec

from rhetor.domain.event import PAYLOADS, Payload
from rhetor.errors import Malformed

MAX_INTEGER = (1 << 63) - 1
_encoder = msgspec.json.Encoder()


def encode(payload: Payload) -> bytes:
    """Return the payload's `data` as JSON in UTF-8.

    Raises:
        Malformed: it has a lone surrogate or a value without a JSON type, or it is nested too deeply.
    """
    try:
        return _encoder.encode(payload)
    except UnicodeEncodeError as error:
        raise _not_unicode(payload.type) from error
    except (TypeError, ValueError, RecursionError) as error:
        raise Malformed(f"{payload.type} cannot be encoded as JSON", why=type(error).__name__) from error


def decode(kind: str, data: bytes) -> Payload:
    """Decode a payload of the type `kind`, as `encode` returned it."""
    return _decoder(kind)(data)


@cache
def _decoder(kind: str) -> Callable[[bytes], Payload]:
    """Return a decoder, created on first use, because creating all of them would delay the hub's start."""
    return msgspec.json.Decoder(PAYLOADS[kind]).decode


def require_text(what: str, texts: Iterable[str | None]) -> None:
    """Check that texts can be stored.

    Raises:
        Malformed: a text contains a lone surrogate, which UTF-8 cannot encode, or NUL, which not
            every database can store.
    """
    for text in texts:
        if text is None:
            continue
        if "\0" in text:
            raise Malformed(f"{what} contains the character NUL; remove it")
        if not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError as error:
                raise _not_unicode(what) from error


def require_integer(what: str, value: int) -> None:
    """Check that a number can be stored.

    Raises:
        Malformed: the number is negative or has more than 63 bits.
    """
    if not 0 <= value <= MAX_INTEGER:
        raise Malformed(f"{what} must be between 0 and 2^63 - 1")


def _not_unicode(what: str) -> Malformed:
    return Malformed(f"{what} contains a lone surrogate; send valid Unicode")
