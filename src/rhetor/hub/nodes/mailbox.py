"""Sends commands to other nodes through the log, and executes those that they send to this one.

Every node has a stream, in which the others put commands for it and answers to its own. It executes each
command once: it reads on from where it was, and leaves those that are for an earlier start of the node.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

import msgspec
from msgspec import UNSET, Struct

from rhetor.background import start, stop
from rhetor.domain.event import Payload, Position
from rhetor.domain.mailbox import CommandAnswered, CommandRequested, MailboxClosed, mailbox_of
from rhetor.domain.principal import Principal
from rhetor.errors import (
    INTERNAL_HINT,
    FenceLost,
    Malformed,
    NodeLost,
    PositionLost,
    RhetorError,
    ShuttingDown,
)
from rhetor.hub.core.background import Background
from rhetor.hub.core.commits import until_accepted
from rhetor.hub.core.nodes import LiveNode, NodeStops
from rhetor.hub.core.notifier import Notifier
from rhetor.store.base import Committed, Draft, Store, follow

from .codec import CommandCodec, answer, as_unicode, error_of, escaped, rejected

CLEAR_SECONDS = 10.0  # after which what was read is removed: it has the content of messages
REMEMBERED = 10_000  # ids of executed commands; the database may be restored to an earlier state
RETRY_SECONDS = 0.5  # after the mailbox could not be read
Execute = Callable[[Principal, Any, str], Awaitable[Any]]
log = logging.getLogger(__name__)


class _Sent(Struct, eq=False):
    """A command that another node has, and has not answered yet. `number`: of its event; None until it is
    stored."""

    node: str
    fence: int
    answer: asyncio.Future[CommandAnswered]
    number: int | None = None

    def is_lost(self, live: Mapping[str, LiveNode]) -> bool:
        node = live.get(self.node)
        return node is None or node.fence != self.fence


class Mailbox:
    """The mailbox of this node. `execute` executes what other nodes ask for."""

    def __init__(
        self,
        store: Store,
        own: str,
        fence: int,
        codec: CommandCodec,
        background: Background,
        execute: Execute,
    ) -> None:
        self._store = store
        self._own = own
        self._fence = fence
        self._codec = codec
        self._background = background
        self._execute = execute
        self._sent: dict[str, _Sent] = {}
        self._live: Mapping[str, LiveNode] = {}
        self._executed: dict[str, None] = {}
        self._read = Position("", 0)
        self._progress = Notifier()
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Read from now on.

        Raises:
            StoreRefused: the mailbox cannot be read.
        """
        stream = mailbox_of(self._own)
        if await self._store.head(stream) is None:
            await self._store.commit(stream, [])
        self._tasks = [
            start(self._keep_reading(stream), "mailbox"),
            start(self._keep_clearing(stream), "clearing the mailbox"),
        ]

    async def aclose(self) -> None:
        """Execute nothing more, and tell the other nodes so. Commands that are not answered yet raise
        `ShuttingDown`."""
        if not self._tasks:
            return
        await stop(*self._tasks)
        closed = MailboxClosed(self._fence, self._read.seq)
        with suppress(RhetorError):  # then they do not know
            await self._store.commit(mailbox_of(self._own), [Draft(closed)])
        for sent in self._sent.values():
            if not sent.answer.done():
                sent.answer.set_exception(ShuttingDown())

    async def send(self, node: LiveNode, principal: Principal, command: Any, api: str) -> Any:
        """Execute a command at another node, and return its result.

        Raises:
            NodeLost: `lose` was called with the node.
            NodeStops: the other node shut down before it executed the command.
            StoreRefused: the command was not sent.
            RhetorError: the other node rejected it.
        """
        id = f"c_{secrets.token_hex(12)}"
        sent = _Sent(node.name, node.fence, asyncio.get_running_loop().create_future())
        self._sent[id] = sent
        try:
            request = self._codec.request(id, self._own, node.fence, principal, command, api)
            sent.number = (await self._put(node.name, request)).last
            if sent.is_lost(self._live):
                self._background.start(self._give_up(sent), f"lost {node.name}")
            found = await sent.answer
        finally:
            del self._sent[id]
        if found.error is not UNSET:
            error = error_of(found.error)
            raise NodeStops(node.fence) if isinstance(error, ShuttingDown) else error
        return self._codec.result(command, found.result)

    def lose(self, live: Mapping[str, LiveNode]) -> None:
        """Give up what other nodes have not answered that are no longer live, or were started again. What
        they have answered before counts."""
        self._live = live
        for sent in list(self._sent.values()):
            if sent.is_lost(live) and sent.number is not None:
                self._background.start(self._give_up(sent), f"lost {sent.node}")

    async def _give_up(self, sent: _Sent) -> None:
        head = await until_accepted(lambda: self._store.head(mailbox_of(self._own)), self._own)
        while head is not None:
            progress = self._progress.next()
            if sent.answer.done() or not self._is_behind(head.position):
                break
            await progress.wait()
        was_unread = await self._was_unread(sent)
        if not sent.answer.done():
            sent.answer.set_exception(NodeStops(sent.fence) if was_unread else NodeLost(sent.node))

    async def _was_unread(self, sent: _Sent) -> bool:
        """Return whether the other node has shut down before it read the command."""
        stream = mailbox_of(sent.node)
        head = await until_accepted(lambda: self._store.head(stream), stream)
        if head is None or sent.number is None:
            return False
        before = Position(head.epoch, head.head + 1)
        for record in await until_accepted(lambda: self._store.page_before(stream, before), stream):
            payload = record.event.payload if record.type == MailboxClosed.type else None
            if isinstance(payload, MailboxClosed) and payload.fence == sent.fence:
                return payload.read < sent.number
        return False

    async def _put(self, node: str, request: CommandRequested) -> Committed:
        try:
            return await self._store.commit(mailbox_of(node), [Draft(request)])
        except Malformed:  # the other node must reject it, as it does for its own clients
            return await self._store.commit(mailbox_of(node), [Draft(escaped(request))])

    def _is_behind(self, position: Position) -> bool:
        return self._read.epoch == position.epoch and self._read.seq < position.seq

    async def _keep_reading(self, stream: str) -> None:
        while True:
            try:
                await self._follow(stream)
            except PositionLost:  # the database was restored from a backup
                log.warning("mailbox continues at its beginning", extra={"node": self._own})
                self._read = Position("", 0)
            except RhetorError as error:
                log.warning("reading the mailbox failed", extra={"reason": error.detail})
                await asyncio.sleep(RETRY_SECONDS)
            except Exception:  # without its mailbox, the node would answer nothing
                log.exception("reading the mailbox failed")
                await asyncio.sleep(RETRY_SECONDS)

    async def _follow(self, stream: str) -> None:
        head = await self._store.head(stream)
        if head is None:
            await self._store.commit(stream, [])
            return
        if head.epoch != self._read.epoch:
            self._read = Position(head.epoch, head.earliest - 1)
        async for records in follow(self._store, stream, self._read):
            for record in records:
                try:
                    self._received(record.event.payload)
                except (msgspec.ValidationError, KeyError):  # a later version has sent it
                    log.warning("event in the mailbox ignored", extra={"type": record.type})
                self._read = record.position
            self._progress.notify()

    async def _keep_clearing(self, stream: str) -> None:
        cleared = self._read
        while True:
            await asyncio.sleep(CLEAR_SECONDS)
            read = self._read
            if read == cleared:
                continue
            try:
                await self._store.truncate(stream, read.seq + 1)
                cleared = read
            except RhetorError as error:  # it is tried again
                log.info("clearing the mailbox failed", extra={"reason": error.detail})

    def _received(self, payload: Payload) -> None:
        if isinstance(payload, CommandAnswered):
            sent = self._sent.get(payload.id)
            if sent is not None and not sent.answer.done():
                sent.answer.set_result(payload)
        elif isinstance(payload, CommandRequested) and self._is_new(payload):
            self._background.start(self._answer(payload), f"command of {payload.from_}")

    def _is_new(self, request: CommandRequested) -> bool:
        if request.fence != self._fence or request.id in self._executed:
            return False
        self._executed[request.id] = None
        if len(self._executed) > REMEMBERED:
            del self._executed[next(iter(self._executed))]
        return True

    async def _answer(self, request: CommandRequested) -> None:
        payload = await self._answered(request)
        stream = mailbox_of(request.from_)
        try:
            try:
                await until_accepted(lambda: self._store.commit(stream, [Draft(payload)]), stream)
            except Malformed:
                valid = as_unicode(payload)
                await until_accepted(lambda: self._store.commit(stream, [Draft(valid)]), stream)
        except FenceLost:  # the other node gives the command up
            log.info("command not answered", extra={"node": request.from_})

    async def _answered(self, request: CommandRequested) -> CommandAnswered:
        try:
            principal, command = self._codec.command(request)
        except (msgspec.ValidationError, KeyError):
            hint = "run the same version of rhetor at all nodes"
            return rejected(
                request.id, RhetorError(f"{self._own} does not know {request.command}", hint=hint)
            )
        try:
            return answer(request.id, await self._execute(principal, command, request.api))
        except RhetorError as error:
            return rejected(request.id, error)
        except Exception as error:  # the caller gets an answer, whatever it is
            log.exception("command of another node failed", extra={"node": request.from_})
            return rejected(request.id, RhetorError(type(error).__name__, hint=INTERNAL_HINT))
