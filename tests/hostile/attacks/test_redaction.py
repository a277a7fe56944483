"""A known key is in no event and in no row, wherever it is cut and in whatever output it comes."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest
from tests.rhetor.hub.house import House, house

from rhetor.domain.output import (
    Began,
    Done,
    Late,
    Output,
    Record,
    Spooled,
    Text,
    ToolResult,
    ToolUse,
    Usage,
)
from rhetor.domain.secrets import LEAST, Secrets
from rhetor.errors import ProviderFailed
from rhetor.hub.core.masking import MaskedOutputs

pytestmark = pytest.mark.anyio

# one of ordinary characters, one that JSON escapes, and one that JSON may also write in two ways
KEYS = ("sk-CANARY-1234567890", 'pw"CANARY\\1234\\567', 'pässwörd-"CANARY"-1')
KEY, *OTHERS = KEYS
SOME = [KEY, *(pytest.param(other, marks=pytest.mark.long) for other in OTHERS)]
Pieces = Callable[[str, str], Sequence[Output]]


def spooled(*outputs: Any) -> Spooled:
    return Spooled("program/1", 10, outputs)


# how an output begins and how it continues; the two pieces are one text for whoever reads it
PIECES: dict[str, Pieces] = {
    "answer": lambda a, b: [Text(a), Text(b)],
    "reasoning": lambda a, b: [Text(a, "reasoning"), Text(b, "reasoning")],
    "stderr": lambda a, b: [Text(a, "stderr"), Text(b, "stderr")],
    "answer around a tool call": lambda a, b: [Text(a), ToolUse("c", "ls", {}, "hub"), Text(b)],
    "answer around reasoning": lambda a, b: [Text(a), Text("hm", "reasoning"), Text(b)],
    "answer in one piece of a spool": lambda a, b: [spooled(Text(a), Text(b))],
    "answer in two pieces of a spool": lambda a, b: [spooled(Text(a)), spooled(Text(b))],
    "answer one by one": lambda a, b: [Text(each) for each in a + b],
    "an empty piece between": lambda a, b: [Text(a), Text(""), Text(b)],
}


def strings(value: Any) -> list[str]:
    """Return all texts in a JSON value, in order; binary ones are decoded."""
    if isinstance(value, str):
        try:
            return [value, base64.b64decode(value, validate=True).decode("utf-8", "replace")]
        except ValueError:
            return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for each in inner for text in strings(each)]


async def written(home: House, stream: str) -> tuple[str, str]:
    """Return what the log of a session says, joined without a gap, and all that is in its events and rows."""
    values = [msgspec.to_builtins(payload) for payload in await home.log(stream)]
    shown = [value["text"] for value in values if value.get("text")]
    rows = [
        row.doc.decode()
        for kind in ("session", "turn", "program", "request")
        for row in await home.store.find(kind)
    ]
    return "".join(shown), "\n".join([*strings(values), *rows])


@pytest.mark.long
@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("name", PIECES)
async def test_a_key_is_in_no_text_wherever_it_is_cut(name: str, key: str) -> None:
    scripts = [[*PIECES[name](key[:cut], key[cut:]), Done()] for cut in range(len(key) + 1)]
    async with house(*scripts, secrets=Secrets([key])) as home:
        for cut in range(len(key) + 1):
            accepted = await home.send(target="apollo", content="hi")
            await home.end_of(accepted)
            shown, everything = await written(home, accepted.session_id)
            assert key not in shown and key not in everything, cut
            for part in (key[:cut], key[cut:]):
                assert len(part) < LEAST or part not in everything, (cut, part)


@pytest.mark.parametrize("key", SOME)
async def test_the_beginning_of_a_key_at_the_end_of_a_turn_does_not_give_it_away(key: str) -> None:
    ends: list[Callable[[str], Sequence[Any]]] = [
        lambda a: [Text(a), Done()],
        lambda a: [Text(a, "reasoning"), Done()],
        lambda a: [Text(a), ProviderFailed("gone")],
        lambda a: [Text(a)],
    ]
    for end in ends:
        scripts = [end(f"it is {key[:cut]}") for cut in range(LEAST, len(key))]
        async with house(*scripts, secrets=Secrets([key])) as home:
            for cut in range(LEAST, len(key)):
                accepted = await home.send(target="apollo", content="hi")
                await home.end_of(accepted)
                _, everything = await written(home, accepted.session_id)
                assert key[:LEAST] not in everything, cut


def whole(key: str) -> dict[str, list[Any]]:
    """Return outputs that contain the key at once, each in another place."""
    arguments = json.dumps({"token": key})
    twice = json.dumps({"arguments": arguments})
    return {
        "argument": [ToolUse("c", "fetch", {"headers": [{"x": key}]}, "hub")],
        "name of an argument": [ToolUse("c", "fetch", {key: 1}, "hub")],
        "argument as JSON": [ToolUse("c", "fetch", arguments, "hub")],
        "argument as JSON in JSON": [ToolUse("c", "fetch", twice, "hub")],
        "result": [ToolUse("c", "ls", {}, "hub"), ToolResult("c", {"content": [{"text": f"a {key} b"}]})],
        "result that failed": [ToolUse("c", "ls", {}, "hub"), ToolResult("c", key, is_error=True)],
        "record": [Record({"env": {"TOKEN": key}})],
        "record of JSON": [Record({"line": arguments, "more": twice})],
        "record of another line": [Record(raw=base64.b64encode(f"debug: {key}\n".encode()).decode())],
        "record of a line that was cut": [
            Record({"cut": 99}, base64.b64encode(f"{key} and ".encode() + b"\xff").decode())
        ],
        "model": [Began(key), Usage(key, 1, 1)],
        "failure": [ProviderFailed(f"invalid key {key}", hint=f"not {key}", said={"key": [key]})],
        "failure of a bug": [RuntimeError(f"cannot use {key}")],
    }


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("name", whole(""))
async def test_a_key_is_in_no_event_whatever_has_it(name: str, key: str) -> None:
    outputs = whole(key)[name]
    end = [] if isinstance(outputs[-1], Exception) else [Text("ok"), Done()]
    async with house([*outputs, *end], secrets=Secrets([key])) as home:
        accepted = await home.send(target="apollo", content=f"use {key}")
        ended = await home.end_of(accepted)
        _, everything = await written(home, accepted.session_id)
        texts = [everything, *strings(msgspec.to_builtins(ended))]
        assert "[masked]" in everything
        for text in texts:
            assert key not in text
            for written_out in (json.dumps(key), json.dumps(key, ensure_ascii=False)):
                assert written_out[1:-1] not in text
        for hit in await home.store.search("canary"):
            assert "CANARY" not in hit.excerpt


@pytest.mark.parametrize("key", KEYS)
def test_a_key_is_in_no_late_text_wherever_it_is_cut(key: str) -> None:
    for cut in range(len(key) + 1):
        for turn in ("", "t_1"):
            masks = MaskedOutputs(Secrets([key]))
            pieces = [Late(f"ps: {key[:cut]}", True, turn), Late(f"{key[cut:]}; ", False, turn)]
            found = [one for piece in pieces for one in masks.take(spooled(Text("x"), piece))]
            late = [
                o for each in found if isinstance(each, Spooled) for o in each.outputs if isinstance(o, Late)
            ]
            late += [o for o in masks.settle() if isinstance(o, Late)]
            assert "".join(one.text for one in late) == "ps: [masked]; "
            assert [one.new for one in late] == [True, *[False] * (len(late) - 1)]
            assert {one.turn for one in late} == {turn}
