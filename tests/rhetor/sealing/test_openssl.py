"""The small cipher encrypts exactly as the one of `cryptography`, which takes over after some uses."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from rhetor.errors import SealBroken
from rhetor.sealing import openssl
from rhetor.sealing.envelope import Cipher
from rhetor.sealing.openssl import NONCE_BYTES, OpenSslCipher, openssl_cipher

KEY = bytes(range(32))
nonces = st.binary(min_size=NONCE_BYTES, max_size=NONCE_BYTES)
content = st.binary(max_size=2000)


def small(key: bytes = KEY) -> OpenSslCipher:
    """A Python whose OpenSSL cannot be called is none that these tests are run with."""
    cipher = openssl_cipher(key)
    assert cipher is not None
    return cipher


@given(st.binary(min_size=32, max_size=32), nonces, content, content)
def test_both_ciphers_are_the_same(key: bytes, nonce: bytes, content: bytes, about: bytes) -> None:
    sealed = AESGCM(key).encrypt(nonce, content, about)
    assert small(key).encrypt(nonce, content, about) == sealed
    assert small(key).decrypt(nonce, sealed, about) == content


@given(nonces, content, content, st.data())
def test_a_changed_bit_is_recognized(nonce: bytes, content: bytes, about: bytes, data: st.DataObject) -> None:
    parts = [bytearray(each) for each in (nonce, small().encrypt(nonce, content, about), about)]
    part = data.draw(st.sampled_from([each for each in parts if each]))
    part[data.draw(st.integers(0, len(part) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(SealBroken):
        small().decrypt(*(bytes(each) for each in parts))


def test_what_is_too_short_or_for_another_key_does_not_open() -> None:
    sealed = small().encrypt(bytes(NONCE_BYTES), b"content", b"about")
    for cipher, rest in ((small(), sealed[:15]), (small(), b""), (small(bytes(32)), sealed)):
        with pytest.raises(SealBroken):
            cipher.decrypt(bytes(NONCE_BYTES), rest, b"about")


def test_keys_and_nonces_of_other_lengths_are_rejected() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        small(bytes(16))
    for length in (0, NONCE_BYTES - 1, NONCE_BYTES + 1):
        with pytest.raises(ValueError, match="12 bytes"):
            small().encrypt(bytes(length), b"content", b"about")


def test_the_other_cipher_takes_over_after_some_uses_in_any_thread() -> None:
    cipher, other = Cipher(KEY), AESGCM(KEY)

    def used(number: int) -> bool:
        nonce = number.to_bytes(NONCE_BYTES, "big")
        sealed = cipher.encrypt(nonce, b"content", b"about")
        opened = cipher.decrypt(nonce, sealed, b"about")
        return (sealed, opened) == (other.encrypt(nonce, b"content", b"about"), b"content")

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(used, range(200)))
    assert isinstance(cipher.encrypt.__self__, AESGCM)  # type: ignore[attr-defined]


@pytest.mark.parametrize("found", [None, bytes(32)])
def test_without_a_working_openssl_the_other_cipher_is_used_from_the_start(
    found: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`found`: what the library encrypts the test case to; None if it cannot be called."""
    openssl._tested_library.cache_clear()
    if found is None:
        monkeypatch.setattr(openssl, "_library", lambda: None)
    else:
        monkeypatch.setattr(openssl, "_KNOWN", found)
    try:
        assert openssl_cipher(KEY) is None
        cipher = Cipher(KEY)
        sealed = cipher.encrypt(bytes(NONCE_BYTES), b"content", b"about")
        assert sealed == AESGCM(KEY).encrypt(bytes(NONCE_BYTES), b"content", b"about")
        assert cipher.decrypt(bytes(NONCE_BYTES), sealed, b"about") == b"content"
    finally:
        openssl._tested_library.cache_clear()
