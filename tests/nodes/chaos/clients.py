"""Clients: each follows a session through one API and sends through it, or talks through a vendor's API."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import aclosing
from hashlib import sha256
from random import Random

import aiohttp

from tests.nodes.hubs import Node

from .following import OVER, Carried, Shown, Way
from .places import LOST, Place
from .sending import SENDS, send_mcp
from .vendors import Said, Vendor

PAUSE = 0.1  # before a client tries the next node
SEND_SECONDS = 20.0  # without an acknowledgement, a client repeats its message at another node
REPEATED = 0.3  # of the messages are sent again at another node, although they were acknowledged
CUT_EVERY = 400  # frames, about; then a client leaves its node by itself


class Session:
    """A session that is followed. `epoch`: with which it began; `head`: the last number that a client has."""

    def __init__(self, id: str, socket_id: str, epoch: str) -> None:
        self.id, self.socket_id, self.epoch = id, socket_id, epoch
        self.head = 0


class Crowd:
    """What all clients share.

    `sent`: the texts of the messages of each client, also of those that were not acknowledged. `turns`: the
    turn of each text that was acknowledged. `said`: the answers through vendors' APIs. `happened`: how often
    clients had to do something. `done`: set when no more messages are sent.
    """

    def __init__(self, nodes: Sequence[Node], http: aiohttp.ClientSession, seed: int, pause: float) -> None:
        self.nodes, self.http, self.seed, self.pause = nodes, http, seed, pause
        self.sent: set[str] = set()
        self.turns: dict[str, str] = {}
        self.said: list[tuple[str, Said]] = []
        self.happened: Counter[str] = Counter()
        self.done = asyncio.Event()
        self.took = asyncio.Event()  # a client has a new frame
        self.acknowledged = asyncio.Event()
        self.same: dict[Carried, Carried] = {}  # so that equal frames of many clients take memory once

    async def is_served(self, turns: int) -> None:
        """Wait until so many further messages are acknowledged."""
        wanted = len(self.turns) + turns
        while len(self.turns) < wanted:
            self.acknowledged.clear()
            await self.acknowledged.wait()

    def acknowledge(self, text: str, turn: str) -> None:
        known = self.turns.setdefault(text, turn)
        assert known == turn, f"{text!r} has two turns, {known} and {turn}"
        self.acknowledged.set()

    async def rest(self, chance: Random) -> bool:
        """Wait before the next message; return whether there is to be one."""
        try:
            async with asyncio.timeout(chance.uniform(0.5, 1.5) * self.pause):
                await self.done.wait()
        except TimeoutError:
            pass
        return not self.done.is_set()


class Client:
    """A client that is at one node at a time. `number`: of the client."""

    def __init__(self, crowd: Crowd, number: int) -> None:
        self.crowd, self.number = crowd, number
        self.chance = Random(f"{crowd.seed} {number}")

    def place(self, at: int, session: Session | None = None) -> Place:
        url = self.crowd.nodes[at % len(self.crowd.nodes)].url
        return Place(
            self.crowd.http, url, session.id if session else "", session.socket_id if session else ""
        )


class Follower(Client):
    """A client that follows a session and sends to it. `seen`: every frame that it got, in order."""

    def __init__(self, crowd: Crowd, number: int, way: Way, session: Session) -> None:
        super().__init__(crowd, number)
        self.way = way
        self.session = session
        self.seen: list[Carried] = []
        self._last, self._cursor = 0, f"{session.epoch}:0"

    @property
    def name(self) -> str:
        return f"client {self.number} ({self.way.name}) of {self.session.id}"

    async def follow(self) -> None:
        """Follow the session to its end, from node to node."""
        at = self.number
        while not self.seen or not _is_over(self.seen[-1]):
            try:
                await self._follow_at(at)
            except LOST:
                self.crowd.happened[f"{self.way.name} lost its node"] += 1
            at = at + 1 if self.chance.random() < 0.8 else self.chance.randrange(99)
            await asyncio.sleep(PAUSE)

    async def _follow_at(self, at: int) -> None:
        left = self.chance.randrange(1, 2 * CUT_EVERY)
        async with aclosing(self.way.follow(self.place(at, self.session), self._cursor)) as frames:  # type: ignore[type-var]
            async for shown in frames:
                self._take(shown)
                left -= 1
                if not left or _is_over(shown.what):
                    return

    def _take(self, shown: Shown) -> None:
        number = shown.what[1]
        if number <= self._last:
            assert self.way.repeats, f"{self.name} got {shown} again after {self._last}"
            return
        assert shown.prev in (None, self._last), f"{self.name} missed events: {shown} follows {self._last}"
        self._last, self._cursor = number, shown.cursor
        self.session.head = max(self.session.head, number)
        self.crowd.took.set()
        self.seen.append(self.crowd.same.setdefault(shown.what, shown.what))

    async def talk(self) -> None:
        """Send messages until the crowd is done."""
        count = 0
        while await self.crowd.rest(self.chance):
            count += 1
            await self._send(f"m{self.number}-{count} tell me what comes next", f"k{self.number}-{count}")

    async def _send(self, text: str, key: str) -> None:
        """Send a message, at as many nodes as necessary, until it is acknowledged."""
        send, tried, at = SENDS[self.way.name], 0, self.chance.randrange(99)
        while True:
            tried, at = tried + 1, at + 1
            if send is send_mcp and tried > 1:  # without a key, this is another message
                text = f"{text} {tried}"
            self.crowd.sent.add(text)
            try:
                async with asyncio.timeout(SEND_SECONDS):
                    turn = await send(self.place(at, self.session), text, key)
                break
            except LOST:
                self.crowd.happened[f"{self.way.name} sent again"] += 1
                await asyncio.sleep(PAUSE)
        self.crowd.acknowledge(text, turn)
        if send is not send_mcp and self.chance.random() < REPEATED:
            try:
                async with asyncio.timeout(SEND_SECONDS):
                    again = await send(self.place(at + 1, self.session), text, key)
            except LOST:
                return
            self.crowd.happened["repeated"] += 1
            self.crowd.acknowledge(text, again)


def _is_over(what: Carried) -> bool:
    kind, _, content = what
    if kind == "session.state":
        return any(f'"state":"{state}"' in content for state in OVER)
    return kind in ("status", "closed") and content in OVER


class Talker(Client):
    """A client of a vendor's API, in a conversation that it keeps itself."""

    def __init__(self, crowd: Crowd, number: int, vendor: Vendor) -> None:
        super().__init__(crowd, number)
        self.vendor = vendor

    async def talk(self) -> None:
        count, messages = 0, list[dict[str, str]]()
        while await self.crowd.rest(self.chance):
            count += 1
            text = f"v{self.number}-{count} tell me what comes next"
            messages = [*messages[-10:], {"role": "user", "content": text}]
            said = await self._ask(messages, text, f"k{self.number}-{count}")
            if said.text is None:
                messages = []
            else:
                messages.append({"role": "assistant", "content": said.text})

    async def _ask(self, messages: list[dict[str, str]], text: str, key: str) -> Said:
        at = self.chance.randrange(99)
        self.crowd.sent.add(text)
        while True:
            try:
                said = await self.vendor.ask(self.place(at), messages, key)
            except LOST:
                self.crowd.happened[f"{self.vendor.name} sent again"] += 1
                at += 1
                await asyncio.sleep(PAUSE)
                continue
            self.crowd.said.append((text, said))
            self.crowd.acknowledge(text, said.turn)
            return said


def digest(frames: Sequence[Carried]) -> str:
    return sha256("\n".join(map(repr, frames)).encode()).hexdigest()
