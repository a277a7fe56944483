"""The messages of a machine's link: each is delivered once, and in order, whatever the connections do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rhetor.codec.machine_link import (
    DATA,
    OPEN,
    Inbox,
    LinkBroken,
    Message,
    Outbox,
    pack_credit,
    packed,
    unpack_credit,
    unpacked,
)


def test_messages_survive_packing() -> None:
    message = Message(DATA, 7, 3, b"\0bytes")
    assert unpacked(packed(message)) == message
    assert unpack_credit(pack_credit(65536)) == 65536


@pytest.mark.parametrize("data", [b"", b"\x01", b"\xff" + bytes(12)])
def test_what_is_no_message_is_rejected(data: bytes) -> None:
    with pytest.raises(LinkBroken):
        unpacked(data)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=30), st.integers(0, 40))
def test_each_message_arrives_once_and_in_order(cuts: list[tuple[int, int]], count: int) -> None:
    """Each connection delivers some messages, and some of their acknowledgements, and is lost."""
    outbox, inbox, taken = Outbox(), Inbox(), []
    for number in range(count):
        outbox.add(OPEN, number)
    for delivered, acknowledged in [*cuts, (count, count)]:
        outbox.acknowledge(max(inbox.last - acknowledged, outbox.last - len(outbox._kept)))
        at = inbox.last - acknowledged + 1
        for number in range(max(1, at), inbox.last + delivered + 1):
            data = outbox.get(number)
            if data is not None and inbox.take(unpacked(data).number):
                taken.append(unpacked(data).channel)
    assert taken == list(range(count))


def test_a_gap_and_an_acknowledgement_of_nothing_break_the_link() -> None:
    with pytest.raises(LinkBroken):
        Inbox().take(2)
    with pytest.raises(LinkBroken):
        Outbox().acknowledge(1)
