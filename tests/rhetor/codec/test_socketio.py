"""Socket.IO: packets, namespaces, acknowledgements and attachments."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rhetor.codec import engineio, socketio
from rhetor.codec.socketio import Decoder, Packet, PacketType
from rhetor.errors import Malformed, TooLarge

LIMIT = 10_000
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text(st.characters(blacklist_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=10,
)
VALUES = st.recursive(
    JSON | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=10,
)
NAMESPACES = st.sampled_from(["/", "/custom", "/a/b"])


def decode(*messages: str | bytes) -> Packet:
    """Return the packet that these messages are, and none earlier."""
    decoder = Decoder(LIMIT)
    for message in messages[:-1]:
        assert decoder.feed(message) is None
    packet = decoder.feed(messages[-1])
    assert packet is not None
    return packet


def sent(packets: list[bytes]) -> list[str | bytes]:
    """Return the messages in encoded packets, as a client reads them."""
    return [packet.data for each in packets for packet in engineio.decode_payload(each)]


@given(st.lists(VALUES, max_size=4), NAMESPACES, st.none() | st.integers(0, 10**9))
def test_an_event_decodes_to_its_original_values(values: list[Any], namespace: str, id: int | None) -> None:
    values = ["name", *values]
    packet = decode(*sent(socketio.packets(PacketType.EVENT, namespace, values, id)))
    assert (packet.type, packet.namespace, packet.id) == (PacketType.EVENT, namespace, id)
    assert packet.values() == values


@given(st.lists(VALUES, max_size=4), NAMESPACES, st.integers(0, 10**9))
def test_an_acknowledgement_decodes_to_its_original_values(
    values: list[Any], namespace: str, id: int
) -> None:
    packet = decode(*sent(socketio.packets(PacketType.ACK, namespace, values, id)))
    assert (packet.type, packet.namespace, packet.id, packet.values()) == (
        PacketType.ACK,
        namespace,
        id,
        values,
    )


def test_packets_have_the_form_of_the_protocol() -> None:
    event, ack = PacketType.EVENT, PacketType.ACK
    assert socketio.packets(event, "/", ["foo"]) == [b'42["foo"]']
    assert socketio.packets(event, "/admin", ["bar", 1], 12) == [b'42/admin,12["bar",1]']
    assert socketio.packets(ack, "/", [], 13) == [b"4313[]"]
    assert socketio.packets(event, "/", ["baz", b"\1\2\3\4"]) == [
        b'451-["baz",{"_placeholder":true,"num":0}]',
        b"bAQIDBA==",
    ]
    assert socketio.packets(ack, "/admin", [b"\1", b"\2"], 15)[0] == (
        b'462-/admin,15[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]'
    )
    assert socketio.connected("/admin", {"sid": "x"}) == b'40/admin,{"sid":"x"}'
    assert socketio.refused("/random", "Invalid namespace") == b'44/random,{"message":"Invalid namespace"}'
    assert socketio.event("a:b", b'{"c":1}') == b'42["a:b",{"c":1}]'


def test_a_connect_has_a_namespace_and_an_optional_payload() -> None:
    assert decode("0") == Packet(PacketType.CONNECT)
    assert decode("0/custom,") == decode("0/custom") == Packet(PacketType.CONNECT, "/custom")
    packet = decode('0/custom,{"token":"1,2"}')
    assert packet.auth is not None
    assert (packet.namespace, json.loads(bytes(packet.auth))) == ("/custom", {"token": "1,2"})
    assert decode("1/custom,") == decode("1/custom") == Packet(PacketType.DISCONNECT, "/custom")


@pytest.mark.parametrize(
    "message",
    [
        *("", "abc", "7", "x2[]", "2", "2{}", "2[]", '2"a"', "2[1", '2["a"]x', '2abc["a"]', '2["a"],', "3[]"),
        *(
            '31{"a":1}',
            "0[]",
            '0"a"',
            "01",
            '012{"a":1}',
            "1{}",
            "11",
            "4",
            '4{"message":"x"}',
            "5[]",
            '5["a"]',
        ),
        *('5-["a"]', '52["a"]', '21-["a"]', "61-[]", '5-1-["a"]', f"0/{'x' * 300},", '2["\\ud800"]x'),
        *("[" * 100_000, "2" + "[" * 100_000, "2[" + "1," * 101 + "1]", '2["a"]\n["b"]'),
    ],
)
def test_an_invalid_packet_is_rejected(message: str) -> None:
    with pytest.raises(Malformed):
        Decoder(LIMIT).feed(message)


@given(st.text('0123456789-/,[]{}"a\n', max_size=30))
def test_any_text_is_decoded_or_rejected(text: str) -> None:
    try:
        packet = Decoder(LIMIT).feed(text)
        values = packet.values() if packet else []
    except (Malformed, TooLarge):
        return
    assert packet is None or (packet.namespace.startswith("/") and len(values) == len(packet.arguments))


def test_a_binary_message_needs_a_packet_that_announces_it() -> None:
    with pytest.raises(Malformed):
        Decoder(LIMIT).feed(b"\1")


def test_a_packet_between_attachments_is_rejected() -> None:
    decoder = Decoder(LIMIT)
    assert decoder.feed('52-["a",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]') is None
    assert decoder.feed(b"\1") is None
    with pytest.raises(Malformed):
        decoder.feed('2["b"]')


@pytest.mark.parametrize("number", ["1", "-1", "true", '"0"', "0.5", "null"])
def test_a_placeholder_must_name_an_attachment(number: str) -> None:
    packet = decode(f'51-["a",{{"_placeholder":true,"num":{number}}}]', b"\1")
    with pytest.raises(Malformed):
        packet.values()


def test_attachments_are_limited_in_number_and_size() -> None:
    with pytest.raises(TooLarge):
        Decoder(LIMIT).feed('5101-["a"]')
    decoder = Decoder(LIMIT)
    assert decoder.feed('52-["a"]') is None
    assert decoder.feed(b"x" * LIMIT) is None
    with pytest.raises(TooLarge):
        decoder.feed(b"x")


def test_a_decoder_reads_one_packet_after_the_other() -> None:
    decoder = Decoder(LIMIT)
    assert decoder.feed('51-["a",{"_placeholder":true,"num":0}]') is None
    first, second = decoder.feed(b"\1"), decoder.feed('2["b"]')
    assert first is not None and second is not None
    assert (first.values(), second.values()) == (["a", b"\1"], ["b"])
