"""Aliases: names for lines of the shell."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.rhetor.hub.forwarding.test_forwards import AGENT_OF_APOLLO
from tests.rhetor.hub.house import ME, OTHER, house

from rhetor.domain.rule_commands import PutAlias, RemoveAlias
from rhetor.errors import Forbidden, Malformed, NameTaken, NotFound, RhetorError, TooLarge, Unprocessable
from rhetor.hub.forwarding import aliases
from rhetor.hub.forwarding.aliases import alias_of, aliases_of
from rhetor.store.sqlite.store import SqliteStore

pytestmark = pytest.mark.anyio
REVIEW = PutAlias("review", 'git diff | apollo "review: $@"', "reviews my changes")


async def test_an_alias_belongs_to_its_owner_and_survives_a_restart(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "hub.db", clock=lambda: 1)
    async with house(store=store) as home:
        await home.execute(REVIEW)
        await home.execute(PutAlias("all", "apollo,athena << $1"))
    await store.aclose()
    store = await SqliteStore.open(tmp_path / "hub.db", clock=lambda: 1)
    async with house(store=store) as home:
        assert [each.name for each in await aliases_of(home.hub.state, ME)] == ["all", "review"]
        assert (await alias_of(home.hub.state, ME, "review")).command == REVIEW.command
        with pytest.raises(NotFound):
            await alias_of(home.hub.state, OTHER, "review")
        await home.hub.execute(OTHER, PutAlias("review", "ls"))
        await home.execute(PutAlias("review", "git diff | athena"))
        assert (await alias_of(home.hub.state, ME, "review")).command == "git diff | athena"
        await home.execute(RemoveAlias("review"))
        assert (await alias_of(home.hub.state, OTHER, "review")).command == "ls"
        with pytest.raises(NotFound):
            await home.execute(RemoveAlias("review"))
    await store.aclose()


@pytest.mark.parametrize(
    ("command", "error", "says"),
    [
        (PutAlias("two words", "ls"), Malformed, "invalid alias name"),
        (PutAlias("x", " "), Malformed, "the line of an alias is empty"),
        (PutAlias("x", "y" * 4097), TooLarge, "4096"),
        (PutAlias("x", "ls | | y"), Unprocessable, "a stage is missing before |"),
        (PutAlias("list", "ls"), NameTaken, "a command called 'list'"),
        (PutAlias("apollo", "ls"), NameTaken, "a peer called 'apollo'"),
        (PutAlias("x", "ls && x"), Unprocessable, "an alias cannot call an alias: x calls x"),
        (PutAlias("x", "ls | review | wc"), Unprocessable, "x calls review"),
        (PutAlias("git", "ls"), Unprocessable, "review calls git"),
    ],
)
async def test_an_invalid_alias_is_rejected(command: PutAlias, error: type[RhetorError], says: str) -> None:
    async with house() as home:
        await home.execute(REVIEW)
        with pytest.raises(error, match=says.replace("|", "[|]")):
            await home.execute(command)
        assert [each.name for each in await aliases_of(home.hub.state, ME)] == ["review"]


async def test_a_program_of_a_peer_cannot_change_aliases() -> None:
    async with house() as home:
        for command in (REVIEW, RemoveAlias("review")):
            with pytest.raises(Forbidden):
                await home.hub.execute(AGENT_OF_APOLLO, command)


async def test_a_caller_has_a_limited_number_of_aliases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aliases, "MOST_ALIASES", 2)
    async with house() as home:
        for name in ("one", "two", "one"):
            await home.execute(PutAlias(name, "ls"))
        with pytest.raises(Unprocessable, match="there are 2 aliases already"):
            await home.execute(PutAlias("three", "ls"))
        await home.hub.execute(OTHER, PutAlias("three", "ls"))
