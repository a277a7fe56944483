"""Files that a passphrase seals, in the format of age (https://c2sp.org/age, version 1); `age -d` opens them.

Files of any length are written and read in pieces of 64 KiB, each of which is authenticated, so that a file
that was cut or changed is recognized.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import io
import re
import secrets
from hashlib import sha256
from typing import IO, TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

BEGIN = b"age-encryption.org/v1\n"
WORK = 18  # the logarithm of scrypt's cost: 256 MiB of memory and about a second
MOST_WORK = 22  # as in age
PIECE, TAG, NONCE = 1 << 16, 16, 16
_SALT = b"age-encryption.org/v1/scrypt"
_STANZA = re.compile(rb"-> scrypt ([A-Za-z0-9+/]{22}) ([1-9][0-9]?)\n([A-Za-z0-9+/]{43})\n---")
_MAC = re.compile(rb" ([A-Za-z0-9+/]{43})\n")
_MOST_HEADER = 1 << 12


class NotOpened(Exception):
    """The file cannot be opened; the text says why."""


class WrongPassphrase(NotOpened):
    """The passphrase is not the one with which the file was sealed."""


class SealedWriter(io.RawIOBase):
    """Seals what is written to it, and writes that to `file`, which stays open. `close` writes the end,
    without which the file is not complete; `abandon` closes without that."""

    def __init__(self, file: IO[bytes], passphrase: str, work: int = WORK) -> None:
        super().__init__()
        key = secrets.token_bytes(16)
        nonce = secrets.token_bytes(NONCE)
        self._file = file
        self._cipher = _stream_cipher(key, nonce)
        self._held = bytearray()
        self._count = 0
        self._written = 0
        file.write(_header(key, passphrase, work) + nonce)

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._written

    def write(self, data: ReadableBuffer) -> int:
        piece = memoryview(data).cast("B")
        self._held += piece
        self._written += len(piece)
        at = 0
        while len(self._held) - at > PIECE:  # the last piece is known only at the end
            self._seal(bytes(self._held[at : at + PIECE]), last=False)
            at += PIECE
        del self._held[:at]
        return len(piece)

    def close(self) -> None:
        if not self.closed:
            self._seal(bytes(self._held), last=True)
            self._file.flush()
        super().close()

    def abandon(self) -> None:
        super().close()

    def _seal(self, piece: bytes, *, last: bool) -> None:
        self._file.write(self._cipher.encrypt(_nonce(self._count, last), piece, None))
        self._count += 1


class OpenedReader(io.RawIOBase):
    """Reads what was sealed from `file`, which stays open.

    Raises:
        WrongPassphrase, NotOpened: when it is opened.
        NotOpened: while it is read: the file was cut or changed. What was read before is as it was sealed.
    """

    def __init__(self, file: IO[bytes], passphrase: str) -> None:
        super().__init__()
        self._file = file
        self._cipher = _stream_cipher(_opened_key(file, passphrase), _exactly(file, NONCE))
        self._next = file.read(PIECE + TAG)
        self._held = b""
        self._at = 0
        self._count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        if self._at == len(self._held):
            self._held, self._at = self._piece(), 0
        into = memoryview(buffer).cast("B")
        taken = self._held[self._at : self._at + len(into)]
        into[: len(taken)] = taken
        self._at += len(taken)
        return len(taken)

    def _piece(self) -> bytes:
        """Return the next piece; nothing at the end."""
        if not self._next:
            if not self._count:
                raise NotOpened("it was cut")
            return b""
        sealed, self._next = self._next, self._file.read(PIECE + TAG)
        last = not self._next
        try:
            piece = self._cipher.decrypt(_nonce(self._count, last), sealed, None)
        except (InvalidTag, ValueError):
            raise NotOpened(self._reason(sealed, last=last)) from None
        if last and not piece and self._count:
            raise NotOpened("it was changed")
        self._count += 1
        return piece

    def _reason(self, sealed: bytes, *, last: bool) -> str:
        """Return why a piece cannot be opened: it is another piece than the last one, or was changed."""
        if not last:
            return "it was changed"
        try:
            self._cipher.decrypt(_nonce(self._count, last=False), sealed, None)
        except (InvalidTag, ValueError):
            return "it was cut or changed"
        return "it was cut"


def is_sealed_file(file: IO[bytes]) -> bool:
    """Whether the file, which is at its beginning, and is so again afterwards, is in this format."""
    begin = file.read(len(BEGIN))
    file.seek(0)
    return begin == BEGIN


def _header(key: bytes, passphrase: str, work: int) -> bytes:
    salt = secrets.token_bytes(16)
    body = ChaCha20Poly1305(_wrapping_key(passphrase, salt, work)).encrypt(bytes(12), key, None)
    header = b"%b-> scrypt %b %d\n%b\n---" % (BEGIN, _encoded(salt), work, _encoded(body))
    return b"%b %b\n" % (header, _encoded(_mac(key, header)))


def _opened_key(file: IO[bytes], passphrase: str) -> bytes:
    if _exactly(file, len(BEGIN)) != BEGIN:
        raise NotOpened("it is not a file of age")
    stanza = _until(file, b"---")
    found, mac = _STANZA.fullmatch(stanza), _MAC.fullmatch(_until(file, b"\n"))
    if found is None or mac is None:
        raise NotOpened("it is not sealed with a passphrase, or it was changed")
    work = int(found[2])
    if work > MOST_WORK:
        raise NotOpened(f"its work factor {work} is larger than {MOST_WORK}")
    wrapping = ChaCha20Poly1305(_wrapping_key(passphrase, _decoded(found[1]), work))
    try:
        key = wrapping.decrypt(bytes(12), _decoded(found[3]), None)
    except InvalidTag:
        raise WrongPassphrase("the passphrase is wrong") from None
    if not hmac.compare_digest(_mac(key, BEGIN + stanza), _decoded(mac[1])):
        raise NotOpened("it was changed")
    return key


def _wrapping_key(passphrase: str, salt: bytes, work: int) -> bytes:
    return Scrypt(_SALT + salt, 32, n=1 << work, r=8, p=1).derive(passphrase.encode())


def _stream_cipher(key: bytes, nonce: bytes) -> ChaCha20Poly1305:
    return ChaCha20Poly1305(HKDF(SHA256(), 32, nonce, b"payload").derive(key))


def _mac(key: bytes, header: bytes) -> bytes:
    return hmac.new(HKDF(SHA256(), 32, b"", b"header").derive(key), header, sha256).digest()


def _nonce(count: int, last: bool) -> bytes:
    return count.to_bytes(11, "big") + bytes((last,))


def _until(file: IO[bytes], end: bytes) -> bytes:
    """Read up to the first occurrence of `end`, which is included."""
    found = bytearray()
    while not found.endswith(end):
        if len(found) > _MOST_HEADER:
            raise NotOpened("its header is invalid")
        found += _exactly(file, 1)
    return bytes(found)


def _exactly(file: IO[bytes], size: int) -> bytes:
    data = file.read(size)
    if len(data) < size:
        raise NotOpened("it was cut")
    return data


def _encoded(data: bytes) -> bytes:
    return base64.b64encode(data).rstrip(b"=")


def _decoded(text: bytes) -> bytes:
    try:
        data = base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        raise NotOpened("its header is invalid") from None
    if _encoded(data) != text:
        raise NotOpened("its header is invalid")
    return data
