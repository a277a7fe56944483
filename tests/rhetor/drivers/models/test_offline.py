"""The offline model: honest, deterministic, in several chunks, for nothing."""

from contextlib import aclosing

import pytest
from msgspec.structs import replace

from rhetor.domain.output import Began, Done, Output, Text, Usage
from rhetor.drivers.base import PastMessage, Prompt
from rhetor.drivers.models.offline import OfflineConversation, OfflineDriver
from tests.rhetor.drivers.talk import APOLLO, turn

pytestmark = pytest.mark.anyio

WORDS = (
    "Apollo, code analyst, as the embedded offline model: no model provider is configured, so this is no "
    "real answer. I was asked: “Design a cache”. `aish doctor` says how to add a provider; then I answer in "
    "earnest."
)


def said(outputs: list[Output]) -> str:
    return "".join(output.text for output in outputs if isinstance(output, Text))


async def test_the_answer_says_what_it_is_and_comes_in_several_chunks_at_no_cost() -> None:
    driver = OfflineDriver()
    outputs, failure = await turn(await driver.open(APOLLO), "Design a cache")
    assert failure is None
    assert outputs[0] == Began("offline")
    assert outputs[-2:] == [Usage("offline", 0, 0, cost="0"), Done("stop")]
    assert said(outputs) == WORDS
    assert len(outputs[1:-2]) > 5
    await driver.aclose()


async def test_the_same_message_gives_the_same_chunks() -> None:
    first = await turn(OfflineConversation(APOLLO), "Design a cache")
    assert await turn(OfflineConversation(APOLLO), "Design a cache") == first


async def test_a_long_message_is_shown_in_part_and_on_one_line() -> None:
    outputs, _ = await turn(OfflineConversation(APOLLO), "one\n two " + "x" * 500)
    assert f"I was asked: “one two {'x' * 111}…”." in said(outputs)


async def test_what_was_said_before_is_counted() -> None:
    history = [PastMessage("user", "Hi"), PastMessage("assistant", "Hello")]
    outputs, _ = await turn(OfflineConversation(APOLLO), "Design a cache", history)
    assert "“Design a cache”. I was given 2 earlier messages. `aish" in said(outputs)


async def test_a_peer_without_a_role_is_called_by_its_name() -> None:
    outputs, _ = await turn(OfflineConversation(replace(APOLLO, role="")), "Hi")
    assert said(outputs).startswith("Apollo, as the embedded")


async def test_the_fence_around_what_another_peer_said_is_not_shown() -> None:
    message = "[From Athena]\n--- 00ff ---\nTwo levels.\n--- 00ff ---\n\ncheck it"
    outputs, _ = await turn(OfflineConversation(APOLLO), message)
    assert "I was asked: “[From Athena] Two levels. check it”." in said(outputs)


async def test_interrupting_ends_the_words() -> None:
    conversation = OfflineConversation(APOLLO)
    async with aclosing(conversation.send(Prompt("Hi"), ())) as outputs:
        assert await anext(outputs) == Began("offline")
        await conversation.interrupt()
        assert [output async for output in outputs] == []
