"""AES-256-GCM from the OpenSSL library that Python has loaded for `hashlib` and `ssl`.

The package `cryptography` has an OpenSSL of its own, which takes 8 MB of memory and 25 ms to load. A hub that
seals nothing but credentials uses a cipher a few times, and does without it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from ctypes import POINTER, byref, c_char_p, c_int, c_void_p, create_string_buffer
from functools import cache
from typing import Any, NamedTuple

from rhetor.errors import SealBroken

KEY_BYTES, NONCE_BYTES, TAG_BYTES = 32, 12, 16
_MOST_BYTES = (1 << 31) - 1  # OpenSSL counts with an `int`
_GET_TAG, _SET_TAG = 0x10, 0x11  # EVP_CTRL_AEAD_GET_TAG, EVP_CTRL_AEAD_SET_TAG
_DONE = 1
_KNOWN = bytes.fromhex("cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919")

_INIT = (c_void_p, c_void_p, c_void_p, c_char_p, c_char_p)
_UPDATE = (c_void_p, c_char_p, POINTER(c_int), c_char_p, c_int)
_FINAL = (c_void_p, c_char_p, POINTER(c_int))


class _Direction(NamedTuple):
    """The functions that encrypt, or those that decrypt."""

    init: Callable[..., int]
    update: Callable[..., int]
    final: Callable[..., int]


class _Library(NamedTuple):
    algorithm: int
    new: Callable[[], int | None]
    free: Callable[[int], None]
    control: Callable[..., int]
    clear_errors: Callable[[], None]
    encrypting: _Direction
    decrypting: _Direction


class OpenSslCipher:
    """The cipher of one key. It may be used by several threads. The methods are those of `AESGCM`."""

    def __init__(self, key: bytes, library: _Library) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"a key has {KEY_BYTES} bytes")
        self._key = key
        self._library = library

    def encrypt(self, nonce: bytes, data: bytes, about: bytes) -> bytes:
        """Return the ciphertext and its tag."""
        tag = create_string_buffer(TAG_BYTES)
        with self._begun(self._library.encrypting, nonce) as context:
            sealed = _passed(self._library.encrypting, context, data, about)
            if sealed is None or self._library.control(context, _GET_TAG, TAG_BYTES, tag) != _DONE:
                raise OSError("OpenSSL cannot encrypt")
        return sealed + tag.raw

    def decrypt(self, nonce: bytes, data: bytes, about: bytes) -> bytes:
        """Return what was encrypted.

        Raises:
            SealBroken: the tag is not that of the ciphertext and `about`.
        """
        if len(data) < TAG_BYTES:
            raise SealBroken
        sealed, tag = data[:-TAG_BYTES], data[-TAG_BYTES:]
        with self._begun(self._library.decrypting, nonce) as context:
            if self._library.control(context, _SET_TAG, TAG_BYTES, tag) != _DONE:
                raise OSError("OpenSSL cannot decrypt")
            content = _passed(self._library.decrypting, context, sealed, about)
        if content is None:
            self._library.clear_errors()  # which are those of the thread, so that TLS would find them
            raise SealBroken
        return content

    @contextmanager
    def _begun(self, direction: _Direction, nonce: bytes) -> Iterator[int]:
        if len(nonce) != NONCE_BYTES:
            raise ValueError(f"a nonce has {NONCE_BYTES} bytes")
        context = self._library.new()
        if not context:
            raise MemoryError
        try:
            if direction.init(context, self._library.algorithm, None, self._key, nonce) != _DONE:
                raise OSError("OpenSSL has no AES-256-GCM")
            yield context
        finally:
            self._library.free(context)


def _passed(direction: _Direction, context: int, data: bytes, about: bytes) -> bytes | None:
    """Return the data after it was encrypted or decrypted; None if that failed. GCM changes no length."""
    if len(data) > _MOST_BYTES or len(about) > _MOST_BYTES:
        raise OverflowError("too long to be sealed at once")
    length, result, rest = c_int(), create_string_buffer(max(len(data), 1)), create_string_buffer(TAG_BYTES)
    done = (
        direction.update(context, None, byref(length), about, len(about)),
        direction.update(context, result, byref(length), data, len(data)),
        direction.final(context, rest, byref(length)),
    )
    return result.raw[: len(data)] if done == (_DONE, _DONE, _DONE) else None


def openssl_cipher(key: bytes) -> OpenSslCipher | None:
    """Return the cipher of a key of 256 bits; None where Python's OpenSSL cannot be called."""
    library = _tested_library()
    return OpenSslCipher(key, library) if library else None


@cache
def _tested_library() -> _Library | None:
    """Return the functions if they encrypt as they must: test case 14 of the specification of GCM."""
    if library := _library():
        with suppress(OSError):
            if OpenSslCipher(bytes(KEY_BYTES), library).encrypt(bytes(NONCE_BYTES), bytes(16), b"") == _KNOWN:
                return library
    return None


def _library() -> _Library | None:
    """Return the functions, which are looked up in what `_hashlib` is linked with; None if it is built into
    Python, or has no OpenSSL."""
    try:
        import _hashlib

        loaded: Any = ctypes.CDLL(_hashlib.__file__)
        return _Library(
            _function(loaded, "EVP_aes_256_gcm", c_void_p)(),
            _function(loaded, "EVP_CIPHER_CTX_new", c_void_p),
            _function(loaded, "EVP_CIPHER_CTX_free", None, c_void_p),
            _function(loaded, "EVP_CIPHER_CTX_ctrl", c_int, c_void_p, c_int, c_int, c_char_p),
            _function(loaded, "ERR_clear_error", None),
            _direction(loaded, "Encrypt"),
            _direction(loaded, "Decrypt"),
        )
    except (ImportError, AttributeError, OSError):
        return None


def _direction(loaded: Any, verb: str) -> _Direction:
    return _Direction(
        _function(loaded, f"EVP_{verb}Init_ex", c_int, *_INIT),
        _function(loaded, f"EVP_{verb}Update", c_int, *_UPDATE),
        _function(loaded, f"EVP_{verb}Final_ex", c_int, *_FINAL),
    )


def _function(loaded: Any, name: str, result: Any, *arguments: Any) -> Any:
    found = getattr(loaded, name)
    found.restype, found.argtypes = result, arguments
    return found
