"""The parts of a message besides its text: images, audio and files, and who takes which of them.

The content of a part is a blob, which is stored beside the log. Events only name it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

PartType = Literal["image", "audio", "file"]
Take = Literal["image", "pdf", "audio", "json"]  # what a model or an agent may take, or give
TAKES: tuple[Take, ...] = ("image", "pdf", "audio", "json")
TEXT_ONLY: frozenset[Take] = frozenset()
MOST_PARTS = 20
MOST_BYTES = 16 << 20  # of one part, and of all parts of a message together
PDF = "application/pdf"
UNKNOWN = "application/octet-stream"
# what models read, by the beginning of the content
_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"%PDF-", PDF),
    (b"ID3", "audio/mpeg"),
)
_READABLE = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp", PDF, "audio/mpeg", "audio/wav"})
_SAME = {
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "audio/mp3": "audio/mpeg",
    "audio/x-mp3": "audio/mpeg",
    "audio/wave": "audio/wav",
    "audio/x-wav": "audio/wav",
    "audio/vnd.wave": "audio/wav",
    "application/x-pdf": PDF,
}


class Part(Struct, frozen=True, gc=False):
    """A part of an accepted message. `bytes`: the size of its content. `name`: of the file, for readers."""

    type: PartType
    media_type: str
    blob_id: str
    bytes: int
    name: str = ""

    def __str__(self) -> str:
        return f"{self.name or self.type} ({self.media_type})"


class GivenPart(Struct, frozen=True, gc=False):
    """A part as its sender gives it: a blob, the content itself (`data`), or a `url` from which the hub reads
    it. Exactly one of the three is set. If `media_type` is empty, it is that of the content."""

    type: PartType
    media_type: str = ""
    name: str = ""
    blob_id: str = ""
    data: bytes = b""
    url: str = ""

    def __repr__(self) -> str:
        return f"GivenPart({self.type!r}, {self.media_type!r}, {self.name!r})"


def given_again(parts: Iterable[Part]) -> tuple[GivenPart, ...]:
    """Return parts that are stored already as those of another message."""
    return tuple(GivenPart(part.type, part.media_type, part.name, part.blob_id) for part in parts)


def known_type(content: bytes) -> str:
    """Return the media type that the content itself shows; empty if it is none that models read."""
    for start, media_type in _SIGNATURES:
        if content.startswith(start):
            return media_type
    if content[:4] == b"RIFF" and content[8:12] in (b"WEBP", b"WAVE"):
        return "image/webp" if content[8:12] == b"WEBP" else "audio/wav"
    # a frame of MPEG audio begins with eleven set bits; its layer is never 0
    is_frame = len(content) > 3 and content[0] == 0xFF and content[1] & 0xE0 == 0xE0 and content[1] & 0x06
    return "audio/mpeg" if is_frame else ""


def media_type_of(given: str, content: bytes) -> str | None:
    """Return the media type of a content that was given as `given`; None if it is not what it is said to be.

    Without a given type, or with the type of unknown content, the content itself decides.
    """
    plain = given.partition(";")[0].strip().lower()
    plain, found = _SAME.get(plain, plain), known_type(content)
    if plain in ("", UNKNOWN):
        return found or UNKNOWN
    if plain in _READABLE or found:
        return plain if plain == found else None
    return plain


def type_of(media_type: str) -> PartType:
    """Return the type of the parts with this media type."""
    if media_type.startswith("image/"):
        return "image"
    return "audio" if media_type.startswith("audio/") else "file"


def take_of(media_type: str) -> Take | None:
    """Return what a peer must take to get this media type; None if no peer does."""
    if media_type not in _READABLE:
        return None
    if media_type == PDF:
        return "pdf"
    return "image" if media_type.startswith("image/") else "audio"


def not_taken(parts: Iterable[Part], takes: frozenset[Take]) -> Part | None:
    """Return the first of the parts that a peer does not take; None if it takes all."""
    return next((part for part in parts if take_of(part.media_type) not in takes), None)
