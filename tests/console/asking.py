"""A peer that asks for permission, as a test scripts it, and says what was answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from tests.scripted import ScriptedConversation, ScriptedDriver

from rhetor.domain.event import PermissionOption
from rhetor.domain.output import Done, Output, Permission, Text, Withdrawn
from rhetor.domain.peer import Peer, PeerKind
from rhetor.domain.questions import Question
from rhetor.drivers.base import PastMessage, Prompt

OPTIONS = (
    PermissionOption("once", "Allow once", "allow_once"),
    PermissionOption("always", "Allow always", "allow_always"),
    PermissionOption("deny", "Deny", "reject_once"),
)


def asked(
    detail: Any, *, tool: str = "Bash", expires_at: str | None = None, questions: Sequence[Question] = ()
) -> Permission:
    """Return a request; its id is given when it is asked."""
    return Permission("", tool, detail, OPTIONS, expires_at, tuple(questions))


class AskingDriver(ScriptedDriver):
    """Asks one request per turn, in order, and answers with what was chosen: `answered: once`."""

    def __init__(self, *requests: Permission) -> None:
        super().__init__()
        self.requests = list(requests)
        self.withdraw = asyncio.Event()
        self.count = 0

    async def open(self, peer: Peer, resume: str | None = None) -> AskingConversation:
        return AskingConversation(self, peer)


class AskingConversation(ScriptedConversation):
    def __init__(self, driver: AskingDriver, peer: Peer) -> None:
        super().__init__(driver, peer)
        self._asking = driver
        self._answer: asyncio.Future[Any] | None = None

    async def send(self, message: Prompt, history: Sequence[PastMessage]) -> AsyncGenerator[Output, None]:
        request = self._asking.requests.pop(0)
        self._asking.count += 1
        id = f"r{self._asking.count}"
        self._answer = asyncio.get_running_loop().create_future()
        yield Permission(
            id, request.tool, request.detail, request.options, request.expires_at, request.questions
        )
        withdrawn = asyncio.ensure_future(self._asking.withdraw.wait())
        await asyncio.wait((self._answer, withdrawn), return_when=asyncio.FIRST_COMPLETED)
        withdrawn.cancel()
        if self._answer.done():
            yield Text(f"answered: {self._answer.result()}")
        else:
            yield Withdrawn(id)
            yield Text("withdrawn")
        yield Done()

    async def answer(self, id: str, value: Any) -> None:
        assert self._answer is not None
        self._answer.set_result(value)


AGENT = Peer("agent", PeerKind.SPECIALIST, "asking", role="asks")
