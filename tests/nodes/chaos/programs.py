"""A program at each node, and clients that send messages to all of them from all nodes."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import aiohttp

from tests.nodes.hubs import BEARER, Node

from .clients import Client, Crowd
from .places import LOST, decode, require

LOOK_SECONDS = 1.0  # between attempts to start a program again
GONE = (404, 409)  # statuses while a program does not run
NOTES = 'while IFS= read -r line; do printf "%s\\n" "$line" >> "$0"; echo "heard $line"; done'


class Programs:
    """The programs, one for each node. Each notes every line that it gets in a file."""

    def __init__(self, folder: Path, nodes: Sequence[Node]) -> None:
        self._nodes = nodes
        self.notes = {f"clerk{number}": folder / f"clerk{number}" for number in range(len(nodes))}

    async def keep(self) -> None:
        """Start each program at its node, and again whenever it was lost."""
        while True:
            for node, (name, notes) in zip(self._nodes, self.notes.items(), strict=True):
                with suppress(*LOST):
                    await self._start(node, name, notes)
            await asyncio.sleep(LOOK_SECONDS)

    async def _start(self, node: Node, name: str, notes: Path) -> None:
        body = {
            "name": name,
            "kind": "stdio",
            "argv": ["/bin/sh", "-c", NOTES, str(notes)],
            "cwd": "/",
            "env": {"PATH": os.environ["PATH"]},
            "on_exit": "reap",
        }
        timeout = aiohttp.ClientTimeout(total=5.0)
        connector = aiohttp.UnixConnector(node.socket)
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout) as owner,
            owner.post("http://localhost/api/v2/programs", json=body) as answer,
        ):
            if answer.status != 409:  # it runs
                await require(answer, 200)

    def heard(self) -> Counter[str]:
        """Return how often each message has reached a program."""
        return Counter(
            line for notes in self.notes.values() if notes.exists() for line in notes.read_text().splitlines()
        )


class Caller(Client):
    """A client that sends messages to the programs."""

    def __init__(self, crowd: Crowd, number: int, names: list[str]) -> None:
        super().__init__(crowd, number)
        self._names = names

    async def talk(self) -> None:
        count = 0
        while await self.crowd.rest(self.chance):
            count += 1
            text, key = f"p{self.number}-{count} write this down", f"k{self.number}-{count}"
            self.crowd.sent.add(text)
            await self._send(self.chance.choice(self._names), text, key)

    async def _send(self, name: str, text: str, key: str) -> None:
        at = self.chance.randrange(99)
        while True:
            at += 1
            try:
                turn = await self._send_at(at, name, text, key)
            except LOST:
                self.crowd.happened["program: sent again"] += 1
                await asyncio.sleep(LOOK_SECONDS)
                continue
            if turn is None:
                self.crowd.happened["program: gone"] += 1
            else:
                self.crowd.acknowledge(text, turn)
            return

    async def _send_at(self, at: int, name: str, text: str, key: str) -> str | None:
        """Return the turn; None if the program does not run."""
        place = self.place(at)
        headers = {**BEARER, "prefer": "respond-async", "idempotency-key": key}
        async with place.http.post(
            f"{place.url}/api/v2/ai/{name}/message",
            json={"content": text, "execute": True},
            headers=headers,
            timeout=place.quiet(),
        ) as answer:
            if answer.status in GONE:
                code = decode(await answer.read())["code"]
                assert code in ("unknown_peer", "not_running", "session_over"), code
                return None
            await require(answer, 200, 202)
            return str(decode(await answer.read())["turn_id"])
