"""Targets and conversations for the tests of given conversations."""

from typing import Any

from rhetor.domain.given import (
    Block,
    CallOptions,
    GivenConversation,
    GivenMessage,
    GivenTool,
    SaidCall,
    SaidPart,
    SaidResult,
    SaidText,
)
from rhetor.domain.parts import GivenPart
from rhetor.drivers.models.target import Kind, Provider, Target

PNG = b"\x89PNG\r\n\x1a\nA"
PDF = b"%PDF-1.7"
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
WEATHER = GivenTool("weather", "The weather now", SCHEMA)
CLOCK = GivenTool("clock")


def at(kind: Kind, url: str, model: str = "m") -> Target:
    return Target(Provider("p", kind, url), model)


OPENAI = at("openai", "https://api.openai.com/v1", "gpt-5.4")
LOCAL = at("openai", "http://127.0.0.1:8080/v1")
ELSEWHERE = at("openai", "https://llm.example/v1")
OPENROUTER = at("openrouter", "https://openrouter.ai/api/v1", "anthropic/claude-sonnet-5-5")
ANTHROPIC = at("anthropic", "https://api.anthropic.com", "claude-sonnet-4-6")
ANTHROPIC_LIKE = at("anthropic", "https://llm.example")


def user(*blocks: Block | str) -> GivenMessage:
    return GivenMessage("user", tuple(map(_block, blocks)))


def assistant(*blocks: Block | str) -> GivenMessage:
    return GivenMessage("assistant", tuple(map(_block, blocks)))


def _block(block: Block | str) -> Block:
    return SaidText(block) if isinstance(block, str) else block


def image(name: str = "") -> SaidPart:
    return SaidPart(GivenPart("image", "image/png", name, blob_id="b_1"))


def result(id: str, text: str = "", **more: Any) -> SaidResult:
    return SaidResult(id, (SaidText(text),) if text else (), **more)


def asks(*messages: GivenMessage | str, **more: Any) -> GivenConversation:
    said = tuple(user(each) if isinstance(each, str) else each for each in messages)
    return GivenConversation(said, **more)


def with_options(vendor: Any = "openai", **more: Any) -> GivenConversation:
    return asks("Hi", options=CallOptions(vendor, **more))


LOOP = asks(
    "What is the weather in Rome and Oslo?",
    assistant(
        "I look.", SaidCall("c1", "weather", '{"city":"Rome"}'), SaidCall("c2", "weather", '{"city":"Oslo"}')
    ),
    user(result("c1", "sunny"), result("c2", "no city", is_error=True), "And now?"),
    system=(SaidText("Be brief."),),
    tools=(WEATHER,),
)
