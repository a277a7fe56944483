"""The trays of peers and terminals: messages that wait there until somebody takes them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.rhetor.hub.forwarding.test_forwards import AGENT_OF_APOLLO
from tests.rhetor.hub.house import ME, OTHER, house

from rhetor.domain.rule_commands import ClearTray, PutNote, PutPurpose, PutTerminal, TakeNote
from rhetor.errors import Malformed, RhetorError, TooLarge, UnknownPeer, Unprocessable
from rhetor.hub.core.limits import Limits
from rhetor.hub.forwarding import inbox
from rhetor.store.sqlite.store import SqliteStore

pytestmark = pytest.mark.anyio


async def test_messages_wait_in_the_order_in_which_they_were_sent(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "hub.db", clock=lambda: 1)
    async with house(store=store) as home:
        for number in range(30):  # several in one millisecond
            await home.execute(PutNote("apollo", "new", f"message {number}"))
        await home.execute(PutNote("apollo", "keep", "kept"))
    await store.aclose()
    store = await SqliteStore.open(tmp_path / "hub.db", clock=lambda: 1)
    async with house(store=store) as home:
        state = home.hub.state
        assert await inbox.counts(state, ME, "apollo") == {"prompt": 0, "new": 30, "keep": 1}
        notes = await inbox.notes_of(state, ME, "Apollo", "new")
        assert [note.text for note in notes] == [f"message {number}" for number in range(30)]
        assert all(len(note.id) == 8 and note.from_ == ME.subject for note in notes)
        assert (await home.hub.execute(ME, TakeNote("apollo", "new"))).text == "message 0"
        assert await home.execute(ClearTray("apollo", "new")) == 29
        assert await home.hub.execute(ME, TakeNote("apollo", "new")) is None
        assert await inbox.counts(state, ME, "apollo") == {"prompt": 0, "new": 0, "keep": 1}
    await store.aclose()


async def test_each_message_is_taken_once_by_callers_at_the_same_time() -> None:
    async with house() as home:
        for number in range(20):
            await home.execute(PutNote("apollo", "new", str(number)))
        taken = await asyncio.gather(*(home.hub.execute(ME, TakeNote("apollo", "new")) for _ in range(25)))
        assert sorted(int(note.text) for note in taken if note) == list(range(20))
        assert sum(note is None for note in taken) == 5


async def test_a_peer_reads_all_its_messages_and_others_only_their_own() -> None:
    async with house() as home:
        await home.execute(PutNote("apollo", "new", "from me"))
        await home.hub.execute(OTHER, PutNote("apollo", "new", "from another"))
        await home.hub.execute(AGENT_OF_APOLLO, PutNote("athena", "prompt", "from a program", "me"))
        state = home.hub.state

        async def texts(principal: object, name: str, tray: str) -> list[str]:
            return [note.text for note in await inbox.notes_of(state, principal, name, tray)]  # type: ignore[arg-type]

        assert await texts(ME, "apollo", "new") == ["from me"]
        assert await texts(OTHER, "apollo", "new") == ["from another"]
        assert await texts(AGENT_OF_APOLLO, "apollo", "new") == ["from me", "from another"]
        assert await texts(ME, "athena", "prompt") == []
        (note,) = await inbox.notes_of(state, AGENT_OF_APOLLO, "athena", "prompt")
        assert note.from_ == "apollo"  # a program cannot choose its sender
        assert await home.hub.execute(OTHER, ClearTray("apollo", "new")) == 1
        assert await texts(ME, "apollo", "new") == ["from me"]


async def test_a_message_of_a_terminal_carries_its_purpose() -> None:
    async with house() as home:
        await home.execute(PutTerminal("jill"))
        await home.execute(PutPurpose("jill", "deploys"))
        note = await home.hub.execute(ME, PutNote("tty:4711", "new", "done", "jill"))
        assert (note.to, note.from_, note.purpose) == ("tty:4711", "jill", "deploys")


@pytest.mark.parametrize(
    ("command", "error", "says"),
    [
        (PutNote("nobody", "new", "x"), UnknownPeer, "nobody"),
        (PutNote("apollo", "bogus", "x"), Unprocessable, "Invalid inbox type 'bogus'. Must be: prompt, new"),  # type: ignore[arg-type]
        (TakeNote("apollo", ""), Unprocessable, "Invalid inbox type ''"),  # type: ignore[arg-type]
        (PutNote("apollo", "new", " "), Malformed, "empty"),
        (PutNote("apollo", "new", "x" * (1 << 21)), TooLarge, "the message"),
    ],
)
async def test_an_invalid_message_is_rejected(
    command: PutNote | TakeNote, error: type[RhetorError], says: str
) -> None:
    async with house() as home:
        with pytest.raises(error, match=says):
            await home.execute(command)


async def test_a_full_tray_rejects_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "MOST_NOTES", 2)
    async with house() as home:
        for _ in range(2):
            await home.execute(PutNote("apollo", "new", "x"))
        with pytest.raises(Unprocessable, match="the tray new of apollo has 2 messages"):
            await home.execute(PutNote("apollo", "new", "x"))
        await home.execute(PutNote("apollo", "keep", "x"))


async def test_a_tray_has_room_for_few_of_the_largest_messages() -> None:
    largest = PutNote("apollo", "new", "x" * 900)
    async with house(limits=Limits(message_bytes=1000)) as home:
        puts = (home.hub.execute(ME, largest) for _ in range(20))
        found = await asyncio.gather(*puts, return_exceptions=True)
        (error,) = {str(each) for each in found if isinstance(each, Exception)}
        assert error == "the tray new of apollo has no room for the message; clear it first"
        stored = await inbox.counts(home.hub.state, ME, "apollo")
        assert stored == {
            "prompt": 0,
            "new": sum(not isinstance(each, Exception) for each in found),
            "keep": 0,
        }
        assert stored["new"] == 8
        await home.hub.execute(OTHER, largest)
