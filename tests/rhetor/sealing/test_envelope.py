"""An envelope opens only unchanged, with its key, and for its place."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rhetor.errors import SealBroken
from rhetor.sealing import envelope
from rhetor.sealing.envelope import OVERHEAD, cipher_of, is_sealed, key_id_of, seal, unseal

CIPHER = cipher_of(bytes(range(32)))
OTHER = cipher_of(bytes(32))
ID = b"\xa1\xb2\xc3\xd4"
content = st.binary(max_size=2000)
about = st.binary(max_size=100)


@given(content, about)
def test_what_was_sealed_opens(content: bytes, about: bytes) -> None:
    sealed = seal(CIPHER, ID, content, about)
    assert unseal(CIPHER, sealed, about) == content
    assert (len(sealed), key_id_of(sealed), is_sealed(sealed)) == (len(content) + OVERHEAD, ID, True)


@given(content, about, about)
def test_an_envelope_does_not_open_for_another_place(content: bytes, about: bytes, other: bytes) -> None:
    sealed = seal(CIPHER, ID, content, about)
    if other != about:
        with pytest.raises(SealBroken):
            unseal(CIPHER, sealed, other)
    with pytest.raises(SealBroken):
        unseal(OTHER, sealed, about)


@given(st.binary(min_size=1, max_size=200), st.data())
def test_a_flipped_bit_is_recognized(content: bytes, data: st.DataObject) -> None:
    sealed = bytearray(seal(CIPHER, ID, content, b"place"))
    # the id of the key is what selects the cipher, so a flip there is found by the ring
    at = data.draw(st.sampled_from([0, *range(5, len(sealed))]))
    sealed[at] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(SealBroken):
        unseal(CIPHER, bytes(sealed), b"place")


@given(content, st.data())
def test_a_cut_envelope_is_recognized(content: bytes, data: st.DataObject) -> None:
    sealed = seal(CIPHER, ID, content, b"place")
    with pytest.raises(SealBroken):
        unseal(CIPHER, sealed[: data.draw(st.integers(0, len(sealed) - 1))], b"place")


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
def test_json_is_never_taken_for_an_envelope(value: object) -> None:
    import msgspec

    assert not is_sealed(msgspec.json.encode(value))


def test_equal_contents_never_have_equal_envelopes() -> None:
    sealed = {seal(CIPHER, ID, b"the same", b"place") for _ in range(1000)}
    nonces = {each[5:17] for each in sealed}
    assert len(sealed) == len(nonces) == 1000


def test_a_forked_process_draws_nonces_of_its_own() -> None:
    seal(CIPHER, ID, b"fill the pool", b"place")
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, seal(CIPHER, ID, b"x", b"place"))
        os._exit(0)
    os.waitpid(child, 0)
    theirs, ours = os.read(reading, 100), seal(CIPHER, ID, b"x", b"place")
    for fd in (reading, writing):
        os.close(fd)
    assert theirs[5:17] != ours[5:17]
    assert theirs[5:17] not in envelope._nonces
