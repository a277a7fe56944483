"""Engine.IO: packets, payloads, and one session."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rhetor.codec import engineio
from rhetor.codec.engineio import Packet, PacketType, Timing
from rhetor.codec.engineio_session import MOST_IN_PAYLOAD, QUEUE_BYTES, EngineSession, Phase
from rhetor.codec.websocket_frames import binary_frame, text_frame
from rhetor.errors import Malformed, TooLarge

TIMING = Timing(0.3, 0.2, 1_000_000)
# JSON, the only text that the hub sends, has no separator
TEXT = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\x1e"))
MESSAGES = st.lists(TEXT | st.binary(), min_size=1, max_size=20)


@given(MESSAGES)
def test_a_payload_decodes_to_its_original_messages(messages: list[str | bytes]) -> None:
    payload = engineio.SEPARATOR.join(map(engineio.message, messages))
    assert list(engineio.decode_payload(payload)) == [Packet(PacketType.MESSAGE, each) for each in messages]


@given(MESSAGES)
def test_on_a_websocket_each_packet_is_one_message(messages: list[str | bytes]) -> None:
    frames = [
        binary_frame(each) if isinstance(each, bytes) else text_frame(b"4" + each.encode())
        for each in messages
    ]
    assert engineio.frames(map(engineio.message, messages)) == b"".join(frames)


def test_a_packet_has_a_type_and_a_text() -> None:
    assert engineio.decode("2probe") == Packet(PacketType.PING, "probe")
    assert engineio.decode(b"\1\2") == Packet(PacketType.MESSAGE, b"\1\2")
    assert list(engineio.decode_payload(b"3")) == [Packet(PacketType.PONG)]


@pytest.mark.parametrize(
    "body", [b"", b"abc", b"7", b"4a\x1e", b"\x1e4a", b"4\xff", b"bAQ", b"b AQID", "bñ".encode()]
)
def test_an_invalid_payload_is_rejected(body: bytes) -> None:
    with pytest.raises(Malformed):
        list(engineio.decode_payload(body))


@given(st.binary())
def test_any_body_is_decoded_or_rejected(body: bytes) -> None:
    try:
        for packet in engineio.decode_payload(body):
            assert packet.type in PacketType
    except Malformed:
        pass


def test_a_payload_with_too_many_packets_is_rejected() -> None:
    with pytest.raises(TooLarge):
        engineio.decode_payload(b"\x1e".join([b"3"] * 10_001))


def test_the_handshake_has_milliseconds() -> None:
    packet = engineio.handshake("s1", ["websocket"], TIMING)
    assert (packet[:1], msgspec.json.decode(packet[1:])) == (
        b"0",
        {
            "sid": "s1",
            "upgrades": ["websocket"],
            "pingInterval": 300,
            "pingTimeout": 200,
            "maxPayload": 1_000_000,
        },
    )


@given(st.lists(st.lists(st.integers(0, 99_999), max_size=40)))
def test_payloads_have_each_packet_once_and_in_order(rounds: list[list[int]]) -> None:
    session, taken = EngineSession(TIMING, 0.0), list[bytes]()
    for numbers in rounds:
        session.put(b"4%d" % n for n in numbers)
        if not session.is_empty:
            packets = session.take_payload().split(engineio.SEPARATOR)
            assert len(packets) <= MOST_IN_PAYLOAD
            taken += packets
    taken += session.take()
    assert taken == [b"4%d" % n for numbers in rounds for n in numbers]
    assert (session.is_empty, session.is_full) == (True, False)


def test_a_queue_is_full_at_its_limit_and_has_room_after_a_poll() -> None:
    session = EngineSession(TIMING, 0.0)
    session.put([b"4" + b"x" * (QUEUE_BYTES // 20)] * 20)
    assert session.is_full
    session.take_payload()
    assert not session.is_full


def test_a_client_that_answers_pings_stays_connected() -> None:
    session, now = EngineSession(TIMING, 0.0), 0.0
    for _ in range(3):
        assert session.deadline == pytest.approx(now + 0.3)
        assert session.beat(session.deadline) and session.take() == [engineio.PING]
        assert session.deadline == pytest.approx(now + 0.5)
        now = session.deadline - 0.1
        assert not session.is_overdue(now)
        session.pong(now)


def test_a_client_that_does_not_answer_pings_is_closed_at_the_deadline() -> None:
    session = EngineSession(TIMING, 0.0)
    assert session.beat(0.301)
    assert (session.is_overdue(0.49), session.is_overdue(0.5)) == (False, True)
    assert not session.beat(0.5)


def test_a_client_is_closed_at_the_deadline_even_if_no_ping_was_sent() -> None:
    session = EngineSession(TIMING, 0.0)
    assert (session.is_overdue(0.49), session.is_overdue(0.5)) == (False, True)


def test_a_suspended_server_gives_its_client_the_whole_time() -> None:
    session = EngineSession(TIMING, 0.0)
    assert session.beat(9.0)
    assert session.deadline == pytest.approx(9.2)


def test_a_closed_session_drops_its_packets() -> None:
    session = EngineSession(TIMING, 0.0)
    session.put([b"4a"])
    session.close()
    session.put([b"4b"])
    assert (session.phase, session.is_empty, session.is_overdue(99.0)) == (Phase.CLOSED, True, False)


def test_base64_matches_that_of_browsers() -> None:
    content: Any = bytes(range(256))
    assert engineio.message(content) == b"b" + base64.b64encode(content)
