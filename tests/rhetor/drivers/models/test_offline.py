"""The offline model answers deterministically, in several chunks and at no cost."""

from contextlib import aclosing

import pytest
from msgspec.structs import replace

from rhetor.domain.output import Began, Done, Output, Text, Usage
from rhetor.drivers.base import PastMessage, Prompt
from rhetor.drivers.models.offline import OfflineConversation, OfflineDriver
from tests.rhetor.drivers.talk import APOLLO, turn

pytestmark = pytest.mark.anyio

WORDS = (
    "Apollo, code analyst (embedded offline model): no model provider is configured, so this is not a real "
    "answer. The message was: “Design a cache”. To add a provider, run `aish setup`."
)


def said(outputs: list[Output]) -> str:
    return "".join(output.text for output in outputs if isinstance(output, Text))


async def test_the_answer_names_the_offline_model_and_has_several_free_chunks() -> None:
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


async def test_a_long_message_is_shortened_to_one_line() -> None:
    outputs, _ = await turn(OfflineConversation(APOLLO), "one\n two " + "x" * 500)
    assert f"The message was: “one two {'x' * 111}…”." in said(outputs)


async def test_the_answer_counts_earlier_messages() -> None:
    history = [PastMessage("user", "Hi"), PastMessage("assistant", "Hello")]
    outputs, _ = await turn(OfflineConversation(APOLLO), "Design a cache", history)
    assert "“Design a cache”. The conversation has 2 earlier messages. To add" in said(outputs)


async def test_a_peer_without_a_role_answers_with_its_name_only() -> None:
    outputs, _ = await turn(OfflineConversation(replace(APOLLO, role="")), "Hi")
    assert said(outputs).startswith("Apollo (embedded offline")


async def test_the_excerpt_leaves_out_the_fence_around_another_peers_text() -> None:
    message = "[From Athena]\n--- 00ff ---\nTwo levels.\n--- 00ff ---\n\ncheck it"
    outputs, _ = await turn(OfflineConversation(APOLLO), message)
    assert "The message was: “[From Athena] Two levels. check it”." in said(outputs)


async def test_an_interrupted_answer_stops() -> None:
    conversation = OfflineConversation(APOLLO)
    async with aclosing(conversation.send(Prompt("Hi"), ())) as outputs:
        assert await anext(outputs) == Began("offline")
        await conversation.interrupt()
        assert [output async for output in outputs] == []
