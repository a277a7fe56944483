"""JSON-RPC 2.0: the examples of the standard, and invalid requests."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from rhetor.codec.jsonrpc import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    Call,
    Fault,
    Refused,
    batch,
    decode,
    error,
    notice,
    params_of,
    refusal,
    result,
)

FIXTURES = Path(__file__).parent / "fixtures"
EXAMPLES = json.loads((FIXTURES / "jsonrpc_examples.json").read_text())


def _subtract(params: Any) -> int:
    first, second = params if isinstance(params, list) else (params["minuend"], params["subtrahend"])
    return int(first - second)


METHODS: dict[str, Callable[[Any], Any]] = {
    "subtract": _subtract,
    "sum": sum,
    "get_data": lambda params: ["hello", 5],
    "update": lambda params: None,
    "notify_hello": lambda params: None,
    "notify_sum": lambda params: None,
}


def served(text: str) -> Any:
    """Return the answer of a server with these methods, None if there is none."""
    incoming = decode(text)
    replies = [reply for item in incoming.items if (reply := _reply(item))]
    if not replies:
        return None
    return json.loads(batch(replies) if incoming.is_batch else replies[0])


def _reply(item: Call | Fault) -> bytes:
    if isinstance(item, Fault):
        return refusal(item)
    method = METHODS.get(item.method)
    params = None if item.params is None else json.loads(bytes(item.params))
    reply = error(item.id, METHOD_NOT_FOUND) if method is None else result(item.id, method(params))
    return b"" if item.is_notice else reply


def _without_data(answer: Any) -> Any:
    """Remove `data` from errors, which the standard leaves open."""
    for reply in answer if isinstance(answer, list) else [answer]:
        if reply and "error" in reply:
            reply["error"].pop("data", None)
    return answer


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example["what"])
def test_the_examples_of_the_standard_get_its_answers(example: dict[str, Any]) -> None:
    assert _without_data(served(example["sent"])) == example["answered"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\x00",
        "nonsense",
        "NaN",
        '{"jsonrpc":"2.0","method":"m","params":[NaN],"id":1}',
        '{"jsonrpc":"2.0","method":"m","params":[-Infinity],"id":1}',
        '{"jsonrpc":"2.0","method":"m","params":["\\ud800"],"id":1}',
        '{"jsonrpc":"2.0","method":"\\udfff and more"}',
        "[" * 100_000,
        "[" * 100_000 + "]" * 100_000,
        '{"a":' * 100_000,
        '{"jsonrpc":"2.0","method":"m"} {"jsonrpc":"2.0","method":"m"}',
        '\ufeff{"jsonrpc":"2.0","method":"m","id":1}',
    ],
    ids=lambda text: repr(text[:40]),
)
def test_text_that_is_not_json_is_a_parse_error(text: str) -> None:
    [fault] = decode(text).items
    assert isinstance(fault, Fault)
    assert (fault.code, fault.id) == (PARSE_ERROR, None)


@pytest.mark.parametrize(
    ("text", "id"),
    [
        ("1", None),
        ('"text"', None),
        ("null", None),
        ('{"jsonrpc":"1.0","method":"m","id":1}', 1),
        ('{"jsonrpc":2.0,"method":"m","id":"a"}', "a"),
        ('{"method":"m","id":1}', 1),
        ('{"jsonrpc":"2.0","id":1}', 1),
        ('{"jsonrpc":"2.0","method":null,"id":1}', 1),
        ('{"jsonrpc":"2.0","method":"m","params":null,"id":1}', 1),
        ('{"jsonrpc":"2.0","method":"m","params":"p","id":1}', 1),
        ('{"jsonrpc":"2.0","method":"m","id":true}', None),
        ('{"jsonrpc":"2.0","method":"m","id":[1]}', None),
        ('{"jsonrpc":"2.0","method":"m","id":{}}', None),
        ('{"jsonrpc":"2.0","method":"m","id":' + "9" * 5000 + "}", None),
        ("[" + ",".join(["1"] * 101) + "]", None),
    ],
)
def test_an_invalid_request_is_an_error_with_its_id_if_it_has_one(text: str, id: Any) -> None:
    [fault] = decode(text).items
    assert isinstance(fault, Fault)
    assert (fault.code, fault.id) == (INVALID_REQUEST, id)


class Place(msgspec.Struct):
    where: str
    number: int = 0


@pytest.mark.parametrize("id", [0, -1, 1.5, "", "ä", None])
def test_an_id_is_returned_unchanged(id: Any) -> None:
    [call] = decode(json.dumps({"jsonrpc": "2.0", "method": "m", "id": id})).items
    assert call == Call("m", None, id)
    assert json.loads(result(id, [1])) == {"jsonrpc": "2.0", "id": id, "result": [1]}


def test_a_call_without_an_id_is_a_notification_and_one_with_null_is_not() -> None:
    [notified] = decode('{"jsonrpc":"2.0","method":"m"}').items
    [asked] = decode('{"jsonrpc":"2.0","method":"m","id":null}').items
    assert (notified, asked) == (Call("m", is_notice=True), Call("m"))


def test_if_a_member_occurs_twice_the_last_one_counts() -> None:
    [call] = decode(
        '{"jsonrpc":"2.0","method":"m","method":"n","params":{"where":"a","where":"b"},"id":1}'
    ).items
    assert isinstance(call, Call)
    assert (call.method, params_of(call, Place), call.id) == ("n", Place("b"), 1)


def test_params_are_decoded_by_name() -> None:
    assert params_of(Call("m", Raw(b'{"where": "here", "unknown": 1}')), Place) == Place("here")


@pytest.mark.parametrize(
    "params",
    [None, [], ["here"], {"where": 1}, {}, {"where": "here", "number": "1"}],
)
def test_params_of_the_wrong_shape_are_rejected(params: Any) -> None:
    with pytest.raises(Refused) as refused:
        params_of(Call("m", None if params is None else Raw(json.dumps(params).encode())), Place)
    with pytest.raises(Refused):
        params_of(Call("m", Raw(b'{"where": "here", "number": 1e999}')), Place)
    assert refused.value.code == INVALID_PARAMS


def test_a_notification_has_no_id() -> None:
    assert json.loads(notice("m", {"a": 1})) == {"jsonrpc": "2.0", "method": "m", "params": {"a": 1}}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(text=st.text() | JSON.map(json.dumps))
def test_any_text_decodes_to_calls_or_faults(text: str) -> None:
    items = decode(text).items
    assert items
    assert {type(item) for item in items} <= {Call, Fault}
    assert served(text) is None or {r["jsonrpc"] for r in _listed(served(text))} == {"2.0"}


def _listed(answer: Any) -> list[Any]:
    return answer if isinstance(answer, list) else [answer]
