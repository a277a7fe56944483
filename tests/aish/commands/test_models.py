"""`aish models`, and the model in other lists."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.aish.scripted import Ran, ScriptedHub, Shell, answer


def model(name: str, **more: Any) -> dict[str, Any]:
    plain = {"takes": ["text"], "json": False, "price": None, "peers": [], "is_default": False, "error": None}
    return {"model": name, "provider": name.partition("/")[0], **plain, **more}


PRICE = {"input_per_1m": "2", "output_per_1m": "10", "cached_per_1m": None}
MANY = [f"peer{n}" for n in range(12)]
MODELS = [
    model("one/a", takes=["text", "image"], json=True, price=PRICE, peers=["apollo"], is_default=True),
    model("one/b", peers=MANY),
    model("cli:gemini", takes=None),
    model("x/y", peers=["iris"], error="there is no provider named 'x'"),
]
SILENT = [{"provider": "box", "detail": "it did not answer within 1.5 s", "hint": "start it"}]
NOTE = "aish: box did not list its models: it did not answer within 1.5 s; start it\n"


@pytest.fixture(autouse=True)
def found(hub: ScriptedHub) -> None:
    hub.on("GET /api/v2/models", answer({"models": MODELS, "silent": SILENT}))


def test_models_are_shown_with_what_they_take_and_cost(aish: Shell) -> None:
    ran = aish("models")
    assert (ran.code, ran.err) == (0, NOTE)
    lines = [" | ".join(cell for cell in line.split("  ") if cell.strip()) for line in ran.out.splitlines()]
    assert [[cell.strip() for cell in line.split("|")] for line in lines] == [
        ["MODEL", "TAKES", "USD/1M IN", "OUT", "USED BY"],
        ["one/a (default)", "text, image, json", "2", "10", "apollo"],
        ["one/b", "text", "unknown", "peer0, peer1, peer2, peer3, peer4 and 7 more"],
        ["cli:gemini", "text, more when it runs", "unknown"],
        ["x/y", "text", "unknown", "there is no provider named 'x'"],
    ]
    assert json.loads(aish("models", "ONE/", "--json").out) == MODELS[:2]
    assert json.loads(aish("models", "json", "apollo").out) == MODELS[:1]
    assert aish("models", "nosuch") == Ran(0, "No models\n", NOTE)


@pytest.mark.parametrize("words", [("a", "b"), ("--price",)])
def test_other_words_are_wrong_usage(aish: Shell, words: tuple[str, ...]) -> None:
    assert aish("models", *words).code == 2


def test_lists_show_the_model(aish: Shell, hub: ScriptedHub) -> None:
    apollo = {"id": "apollo", "kind": "specialist", "status": "idle", "description": "analyst"}
    box = {"id": "box", "kind": "terminal", "status": "idle", "description": "", "model": None}
    hub.on("GET /api/v2/ai", answer({"peers": [{**apollo, "model": "one/a"}, box]}))
    assert aish("list").out.splitlines()[:2] == [
        "NAME    TYPE      STATUS  MODEL  AT  DESCRIPTION",
        "apollo  greek     idle    one/a      analyst",
    ]
    assert [peer["model"] for peer in json.loads(aish("list", "json").out)] == ["one/a", None]
    said = {"at": "2026-11-30T08:00:00.000Z", "ai": "apollo", "message": "hi", "response": "yes"}
    hub.on("GET /api/v2/history?limit=20", answer({"history": [{**said, "model": "one/a"}]}))
    assert "  apollo (one/a)\n  > hi\n  yes\n" in aish("history").out
    status = {"name": "apollo", "kind": "specialist", "status": "idle", "model": "one/a"}
    hub.on("GET /api/v2/ai/apollo/status", answer(status))
    assert "model     one/a\n" in aish("explain", "apollo").out
