"""Envelopes: content that AES-256-GCM has sealed together with the name of its place.

An envelope is the byte 0x01, the id of its key (4 bytes), a random nonce (12 bytes), and the ciphertext with
its tag (16 bytes). JSON never begins with that byte, so plain and sealed values can stand side by side.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

from rhetor.errors import SealBroken

if TYPE_CHECKING:
    from .openssl import OpenSslCipher

MARK = b"\x01"
KEY_BYTES, ID_BYTES, NONCE_BYTES, TAG_BYTES = 32, 4, 12, 16
ID_END = len(MARK) + ID_BYTES
HEAD_BYTES = len(MARK) + ID_BYTES + NONCE_BYTES
OVERHEAD = HEAD_BYTES + TAG_BYTES
_NONCE_AT = HEAD_BYTES - NONCE_BYTES
_USES_OF_SMALL = 100
_NONCES_AT_ONCE = 128  # one call to the system for many nonces takes half the time of sealing off each

_nonces: list[bytes] = []
os.register_at_fork(after_in_child=_nonces.clear)  # no two processes use the same nonces


def is_sealed(value: bytes | str) -> bool:
    """Whether the value is an envelope. Content that begins with its mark must never be stored unsealed."""
    return isinstance(value, bytes) and value[:1] == MARK


def key_id_of(envelope: bytes) -> bytes:
    """Return the id of the key with which the envelope was sealed."""
    return envelope[1:ID_END]


class Cipher:
    """The cipher of a key of 256 bits: Python's OpenSSL for the first values, and then `cryptography`, which
    is faster, but large. It may be used by several threads."""

    __slots__ = ("_key", "_small", "_uses", "decrypt", "encrypt")
    encrypt: Callable[[bytes, bytes, bytes], bytes]
    decrypt: Callable[[bytes, bytes, bytes], bytes]

    def __init__(self, key: bytes) -> None:
        from .openssl import openssl_cipher

        self._key, self._uses = key, 0
        self.encrypt, self.decrypt = self._encrypt, self._decrypt
        self._small = openssl_cipher(key)

    def _encrypt(self, nonce: bytes, content: bytes, about: bytes) -> bytes:
        if small := self._chosen():
            return small.encrypt(nonce, content, about)
        return self.encrypt(nonce, content, about)

    def _decrypt(self, nonce: bytes, sealed: bytes, about: bytes) -> bytes:
        if small := self._chosen():
            return small.decrypt(nonce, sealed, about)
        return self.decrypt(nonce, sealed, about)

    def _chosen(self) -> OpenSslCipher | None:
        """Return the cipher for the first uses. After them, `encrypt` and `decrypt` are those of the other
        one."""
        self._uses += 1
        if self._small is not None and self._uses <= _USES_OF_SMALL:
            return self._small
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        cipher = AESGCM(self._key)
        self.encrypt, self.decrypt = cipher.encrypt, cipher.decrypt
        return None


def cipher_of(key: bytes) -> Cipher:
    """Return the cipher of a key of 256 bits."""
    return Cipher(key)


def seal(cipher: Cipher, key_id: bytes, content: bytes, about: bytes) -> bytes:
    """Return an envelope. It opens only with the same `about`, which names the place of the content."""
    try:
        nonce = _nonces.pop()  # atomic: two threads never get the same one
    except IndexError:
        nonce = _drawn()
    return MARK + key_id + nonce + cipher.encrypt(nonce, content, about)


def unseal(cipher: Cipher, envelope: bytes, about: bytes) -> bytes:
    """Return the content of an envelope.

    Raises:
        SealBroken: the envelope was changed, or was sealed with another key or for another place.
    """
    if len(envelope) < OVERHEAD or envelope[0] != MARK[0]:
        raise SealBroken("a sealed value is incomplete")
    try:
        return cipher.decrypt(envelope[_NONCE_AT:HEAD_BYTES], envelope[HEAD_BYTES:], about)
    except SealBroken:
        raise
    except _invalid_tag():  # evaluated only if there is an exception
        raise SealBroken from None


@cache
def _invalid_tag() -> type[Exception]:
    from cryptography.exceptions import InvalidTag

    return InvalidTag


def _drawn() -> bytes:
    drawn = os.urandom(NONCE_BYTES * _NONCES_AT_ONCE)
    own, *others = (drawn[at : at + NONCE_BYTES] for at in range(0, len(drawn), NONCE_BYTES))
    _nonces.extend(others)
    return own
