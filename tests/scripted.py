"""A peer whose answers and timing are scripted by the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any, Literal

from rhetor.domain.output import Done, Output, Text
from rhetor.domain.peer import Capability, Peer, PeerKind
from rhetor.drivers.base import PastMessage, Prompt

Script = Sequence[Output | Exception | asyncio.Event | asyncio.Barrier]


class ScriptedDriver:
    """Plays one script per turn, in order; without a script, a turn answers `<peer> heard: <message>`.

    An event in a script blocks the turn until the test sets it, a barrier until all its turns have reached
    it; an error is raised.
    """

    sessions: Literal["many", "one"] = "many"

    def __init__(self, *scripts: Script) -> None:
        self.scripts = list(scripts)
        self.heard: list[tuple[str, str]] = []
        self.histories: list[list[PastMessage]] = []
        self.ended_early = 0
        self.running = 0
        self.most_at_once = 0

    async def open(self, peer: Peer, resume: str | None = None) -> ScriptedConversation:
        return ScriptedConversation(self, peer)

    async def aclose(self) -> None: ...


class ScriptedConversation:
    def __init__(self, driver: ScriptedDriver, peer: Peer) -> None:
        self._driver = driver
        self._peer = peer

    async def send(self, message: Prompt, history: Sequence[PastMessage]) -> AsyncGenerator[Output, None]:
        self._driver.heard.append((self._peer.name, message.content))
        self._driver.histories.append(list(history))
        script: Script = [Text(f"{self._peer.name} heard: {message.content}"), Done()]
        if self._driver.scripts:
            script = self._driver.scripts.pop(0)
        self._driver.running += 1
        self._driver.most_at_once = max(self._driver.most_at_once, self._driver.running)
        try:
            for item in script:
                if isinstance(item, asyncio.Event | asyncio.Barrier):
                    await item.wait()
                elif isinstance(item, Exception):
                    raise item
                else:
                    yield item
        except (GeneratorExit, asyncio.CancelledError):
            self._driver.ended_early += not isinstance(item, Done)
            raise
        finally:
            self._driver.running -= 1

    async def answer(self, id: str, value: Any) -> None: ...

    async def interrupt(self) -> None: ...

    async def aclose(self) -> None: ...


def peer(name: str, *capabilities: Capability) -> Peer:
    return Peer(name, PeerKind.SPECIALIST, "scripted", role=f"the {name}", capabilities=capabilities)


PEERS = [
    peer("apollo", Capability("code-analysis", 0.95, primary=True)),
    peer("athena", Capability("code-analysis", 0.99), Capability("design", 0.4)),
    peer("prometheus"),
]
