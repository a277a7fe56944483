"""Finds a text in the files of a folder, in every form in which the product could have written it there."""

from __future__ import annotations

import base64
import gzip
import sys
import zlib
from collections.abc import Iterator
from json import dumps
from pathlib import Path
from urllib.parse import quote

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MOST = 64 << 20  # bytes of content that a file is decompressed to


def forms(text: str) -> frozenset[bytes]:
    """Return the text as bytes in several encodings. Of base64, those parts that do not depend on what is
    before and after the text."""
    found = {text.encode(encoding) for encoding in ("utf-8", "utf-16-le", "utf-16-be", "utf-32-le")}
    found |= {text.encode().hex().encode(), text.encode().hex().upper().encode()}
    found |= {quote(text, safe="").encode(), dumps(text)[1:-1].encode(), text[::-1].encode()}
    for shift in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            data = bytes(shift) + text.encode()
            found.add(encode(data)[4 if shift else 0 : len(data) // 3 * 4])
    return frozenset(found)


def places(folder: Path, text: str, without: tuple[str, ...] = ()) -> list[str]:
    """Return the files that contain the text or have it in their path; but not those whose names begin with
    one of `without`."""
    searched = forms(text)
    found = []
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if name.startswith(without):
            continue
        contents = _contents(path) if path.is_file() and not path.is_symlink() else iter(())
        if text in name or any(form in content for content in contents for form in searched):
            found.append(name)
    return found


def _contents(path: Path) -> Iterator[bytes]:
    """Yield the content of the file, and what is compressed in it, wherever that begins."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:  # removed meanwhile
        return
    yield data
    for magic, decompress in (
        (b"\x28\xb5\x2f\xfd", _zstd),
        (b"\x1f\x8b\x08", _gzip),
        (b"\x78\x9c", _zlib),
        (b"\x78\x01", _zlib),
        (b"\x78\xda", _zlib),
    ):
        at = data.find(magic)
        while at >= 0:
            yield decompress(data[at:])
            at = data.find(magic, at + 1)


def _zstd(data: bytes) -> bytes:
    try:
        return zstd.ZstdDecompressor().decompress(data, MOST)
    except zstd.ZstdError:
        return b""


def _gzip(data: bytes) -> bytes:
    try:
        return zlib.decompressobj(wbits=31).decompress(data, MOST)
    except (zlib.error, gzip.BadGzipFile):
        return b""


def _zlib(data: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(data, MOST)
    except zlib.error:
        return b""
