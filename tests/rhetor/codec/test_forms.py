"""Errors about texts with a pattern say in words what the text must be."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Annotated, Any, get_args, get_type_hints

import msgspec
import pytest
from msgspec import Raw, Struct

import rhetor.dialects
import rhetor.transports.rest.bodies
from rhetor.codec import jsonrpc, typed_json
from rhetor.codec.forms import PLAIN, form, in_words
from rhetor.transports.mcp import arguments


class Body(Struct):
    name: Annotated[str, msgspec.Meta(pattern=PLAIN)] = ""
    colours: list[Annotated[str, form("^[a-z]+$", "must be the name of a colour")]] = []


def invalid(data: bytes) -> msgspec.ValidationError:
    with pytest.raises(msgspec.ValidationError) as raised:
        msgspec.json.decode(data, type=Body)
    return raised.value


def test_an_invalid_text_is_described_in_words() -> None:
    assert typed_json.fault("body", invalid(b'{"name": "a\\nb"}')) == {
        "where": "body.name",
        "why": "control characters are not allowed",
    }
    assert typed_json.fault("body", invalid(b'{"colours": ["red", "7"]}')) == {
        "where": "body.colours.1",
        "why": "must be the name of a colour",
    }


@pytest.mark.parametrize(
    ("params", "why"),
    [
        (b'{"name": "a\\nb"}', "control characters are not allowed - at `$.name`"),
        (b'{"colours": ["7"]}', "must be the name of a colour - at `$.colours[0]`"),
    ],
)
def test_an_invalid_param_of_a_websocket_call_is_described_in_words(params: bytes, why: str) -> None:
    with pytest.raises(jsonrpc.Refused) as refused:
        jsonrpc.params_of(jsonrpc.Call("chat", Raw(params)), Body)
    assert refused.value.why == why


def structs() -> Iterator[type[Struct]]:
    """Yield the types of everything that clients send."""
    packages = (rhetor.dialects, rhetor.transports.rest.bodies)
    modules = [
        importlib.import_module(f"{package.__name__}.{found.name}")
        for package in packages
        for found in pkgutil.iter_modules(package.__path__)
    ]
    for module in (*modules, arguments):
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, Struct) and value.__module__ == module.__name__:
                yield value


def patterns(hint: Any) -> Iterator[str]:
    """Yield the patterns in a type, and in the types that it consists of."""
    for meta in getattr(hint, "__metadata__", ()):
        if isinstance(meta, msgspec.Meta) and meta.pattern is not None:
            yield meta.pattern
    for inner in get_args(hint):
        yield from patterns(inner)


def test_every_pattern_of_what_clients_send_has_words() -> None:
    hints = [hint for struct in structs() for hint in get_type_hints(struct, include_extras=True).values()]
    found = {pattern for hint in hints for pattern in patterns(hint)}
    assert len(found) > 10
    assert [each for each in found if "regex" in in_words(f"Expected `str` matching regex {each!r}")] == []
