"""JSON that arrives in pieces: its values are counted, however it is split."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rhetor.codec.incoming_json import IncomingJson
from rhetor.errors import Malformed, TooManyValues

TEXTS = st.text(st.sampled_from(['"', "\\", "[", "{", ",", "a", "é", "😀", "\n"]), max_size=6)
VALUES = st.recursive(
    st.none() | st.integers(-9, 9) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)


def counted(value: Any) -> int:
    """Return the number of commas and opening brackets that are not in a text."""
    if not isinstance(value, list | dict):
        return 0
    items = value if isinstance(value, list) else value.values()
    return 1 + max(0, len(items) - 1) + sum(map(counted, items))


def fed(data: bytes, cuts: list[int], most: int) -> str:
    incoming = IncomingJson(most)
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    text = "".join(incoming.feed(data[begin:end]) for begin, end in pairwise(edges))
    incoming.end()
    return text


@given(VALUES, st.lists(st.integers(0, 200), max_size=5))
def test_values_are_counted_exactly_however_the_text_is_split(value: Any, cuts: list[int]) -> None:
    data = msgspec.json.encode(value)
    found = counted(value)
    assert fed(data, cuts, found) == data.decode()
    if found:
        with pytest.raises(TooManyValues):
            fed(data, cuts, found - 1)


@pytest.mark.parametrize("cut", range(6))
@pytest.mark.parametrize("data", [b'["\xff"]', b'["\xf0\x9f', b'["\xed\xa0\x80"]'])
def test_text_that_is_not_utf8_is_malformed(data: bytes, cut: int) -> None:
    with pytest.raises(Malformed):
        fed(data, [cut], 10)


@given(st.binary(), st.lists(st.integers(0, 50), max_size=3))
def test_any_bytes_are_accepted_or_rejected(data: bytes, cuts: list[int]) -> None:
    try:
        assert fed(data, cuts, 10) == data.decode()
    except (Malformed, TooManyValues):
        pass
