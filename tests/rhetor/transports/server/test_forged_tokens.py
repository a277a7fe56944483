"""Forged and malformed tokens are 401 on every API."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.forged import Forger
from tests.hostile.attacks.entrances import ENTRANCES, knock
from tests.issued import bearer, issue, login
from tests.rhetor.transports.socketio.hub_talker import connecting
from tests.served import Served, served

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def forging(folder: Path) -> AsyncIterator[tuple[Served, Forger]]:
    """Run a hub, and return what a forger of its tokens has."""
    for name in ("other", "hub"):
        (folder / name).mkdir()
    async with served(folder / "other") as home:
        other = await issue(home, "ci", "read", "send")
    async with served(folder / "hub") as home:
        home.node.attempts.per_minute = 1_000_000
        token = await issue(home, "ci", "read", "send")
        refresh = (await login(home))["refresh_token"]
        yield home, Forger.of(home.hub, token, refresh, other)


async def test_forged_tokens_are_rejected(tmp_path: Path) -> None:
    async with forging(tmp_path) as (home, forger):
        opened = []
        for wrong, token in forger.all().items():
            answer = await home.ask_tcp("GET", "/api/v2/ai", bearer(token))
            if answer.status != 401:
                opened.append((wrong, answer.status))
        assert opened == []
        assert (await home.ask_tcp("GET", "/api/v2/ai", bearer(forger.token))).status == 200


@pytest.mark.long
async def test_forged_tokens_are_rejected_by_every_api(tmp_path: Path) -> None:
    async with forging(tmp_path) as (home, forger):
        closed = [entrance for entrance in ENTRANCES if not entrance.is_open]
        opened = []
        for wrong, token in forger.all().items():
            for entrance in closed:
                reply = await knock(home, entrance, ("Authorization", f"Bearer {token}"))
                if reply.status != 401:
                    opened.append((entrance.name, wrong, reply.status))
        assert opened == []
        for entrance in closed:
            reply = await knock(home, entrance, ("Authorization", f"Bearer {forger.token}"))
            assert (entrance.name, reply.status != 401) == (entrance.name, True)


async def test_a_websocket_may_have_a_long_or_a_large_head(tmp_path: Path) -> None:
    async with forging(tmp_path) as (home, forger):
        valid = ("Authorization", f"Bearer {forger.token}")
        socket = next(entrance for entrance in ENTRANCES if entrance.name == "ws")
        for lines in ([("X-Large", "x" * 40_000)], [(f"X-{number}", "x") for number in range(300)]):
            assert (await knock(home, socket, valid, *lines)).status == 101


@pytest.mark.long
async def test_forged_tokens_are_rejected_by_socketio(tmp_path: Path) -> None:
    async with forging(tmp_path) as (home, forger):
        opened = []
        forged = list(forger.all().items())
        for start in range(0, len(forged), 5):  # a client may send ten invalid packets
            async with connecting(home) as talker:
                for wrong, token in forged[start : start + 5]:
                    answer = await talker.connect({"token": token})
                    if answer.get("data", {}).get("status") != 401:
                        opened.append((wrong, answer))
                assert "sid" in await talker.connect({"token": forger.token})
        assert opened == []


@pytest.mark.long
async def test_forged_tokens_are_counted_as_invalid_ones(tmp_path: Path) -> None:
    async with forging(tmp_path) as (home, forger):
        home.node.attempts.per_minute = 5
        forged = list(forger.all().values())[:7]
        answers = [await home.ask_tcp("GET", "/api/v2/ai", bearer(token)) for token in forged]
        assert [answer.status for answer in answers] == [401] * 5 + [429] * 2
        assert (await home.ask_tcp("GET", "/api/v2/ai", bearer(forger.token))).status == 200
