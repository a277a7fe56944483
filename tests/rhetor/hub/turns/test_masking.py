"""Known keys reach no log: not in an answer, in a message, in a failure, or between two pieces."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import pytest
from tests.rhetor.hub.house import House, house

from rhetor.domain import event as ev
from rhetor.domain.output import Done, Output, Text, ToolUse
from rhetor.domain.secrets import MASK, Secrets
from rhetor.errors import ProviderFailed

pytestmark = pytest.mark.anyio
KEY = "sk-CANARY-1234567890"


async def logged(home: House, content: str = "hi") -> tuple[ev.TurnEnd, list[ev.Payload]]:
    accepted = await home.send(target="apollo", content=content)
    return await home.end_of(accepted), await home.log(accepted.session_id)


@pytest.mark.parametrize("cut", range(1, len(KEY)))
async def test_a_key_in_an_answer_is_masked_in_any_chunking(cut: int) -> None:
    said = [Text("it is " + KEY[:cut]), Text(KEY[cut:] + " s"), Done()]
    async with house(said, secrets=Secrets([KEY])) as home:
        end, payloads = await logged(home)
        assert isinstance(end, ev.TurnCompleted)
        assert end.text == f"it is {MASK} s"
        assert "".join(p.text for p in payloads if isinstance(p, ev.OutputDelta)) == end.text


@pytest.mark.parametrize(
    "said",
    [
        [Text("thinking of " + KEY, "reasoning"), Text("ok"), Done()],
        [ToolUse("c", "fetch", {"headers": [KEY]}, "hub"), Text("ok"), Done()],
        [Text("ok"), ProviderFailed(f"invalid key {KEY}")],
    ],
)
async def test_a_key_is_in_no_event_of_a_turn(said: Sequence[Output]) -> None:
    async with house(said, secrets=Secrets([KEY])) as home:
        _, payloads = await logged(home, f"my key is {KEY}")
        assert KEY not in repr(payloads)
        assert repr(payloads).count(MASK) >= 2
        assert home.driver.heard[0][1] == f"my key is {KEY}"  # the peer receives the unmasked message


async def test_text_held_back_is_logged_when_the_turn_fails() -> None:
    async with house([Text("answers"), ProviderFailed("gone")], secrets=Secrets(["s" + KEY])) as home:
        _, payloads = await logged(home)
        assert [p.text for p in payloads if isinstance(p, ev.OutputPartial)] == ["answers"]


async def test_every_turn_that_fails_has_a_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async with house([ProviderFailed("the provider is gone")]) as home:
        with caplog.at_level(logging.WARNING):
            accepted = await home.send(target="apollo", content="hi")
            await home.end_of(accepted)
        lines = [vars(record) for record in caplog.records if record.message == "turn failed"]
        assert [(line["turn"], line["peer"], line["code"], line["reason"]) for line in lines] == [
            (accepted.turn_id, "apollo", "provider_failed", "the provider is gone")
        ]
