"""A running program: its turns, the output between them, its status and its end.

Subclasses, one for each kind of program, decide what the output means.
"""

from __future__ import annotations

import asyncio
import base64
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any

from rhetor import background
from rhetor.codec.utf8 import Invalid
from rhetor.domain.output import Done, Output, Plain, Record, Spooled, Text
from rhetor.domain.peer import Peer
from rhetor.domain.program import Exit, ProgramState, ProgramStatus
from rhetor.drivers.base import PastMessage, Prompt, Viewer
from rhetor.errors import NoTerminal, ProgramEnded, TurnFailure

from .gathering import gathered
from .host.failures import HostLost, HostSilent, ProgramOver
from .host.feed import Feed, Stderr
from .host.link import HostLink
from .host.values import Exited

STUCK_SECONDS = 60.0  # without output in a turn, after which a program counts as stuck
STDERR = ":stderr"
GRACE_SECONDS = 5.0  # between SIGTERM and SIGKILL
END_SECONDS = 10.0  # how long a program that was lost may take to end
NO_ANSWER = "its host process does not answer"


class HostedProgram(ABC):
    """A program under a host. `changed` is called whenever its status changes."""

    continues_alone = True
    """Whether a turn for which nobody waits any more continues, rather than being interrupted."""

    def __init__(
        self, peer: Peer, link: HostLink, feed: Feed, source: str, changed: Callable[[HostedProgram], None]
    ) -> None:
        self.peer = peer
        self.source = source
        self.ended: Exit | None = None
        self.link = link
        self.feed = feed
        self.released = False
        self.unsent = False  # the message of the current turn has not been submitted yet
        self._changed = changed
        self._tasks: list[asyncio.Task[None]] = []
        self._status = ProgramStatus("idle", "no turn is running", _now())

    @property
    def pid(self) -> int:
        return self.link.identity.program_pid

    @property
    def host_pid(self) -> int:
        return self.link.identity.host_pid

    def conversation(self) -> ProgramConversation:
        return ProgramConversation(self)

    async def resume_turn(self) -> AsyncGenerator[Output, None]:
        """Implement `RunningProgram.resume_turn`, for programs whose turns continue under another hub."""
        async with self.claim(at_once=True), aclosing(_or_interrupt(self, None, self.rest_of_turn())) as said:
            async for output in said:
                yield output

    def rest_of_turn(self) -> AsyncGenerator[Spooled | Plain, None]:
        """Yield the rest of the running turn, up to `Done`. The caller must have claimed the output."""
        raise self.failure()

    async def ready(self) -> None:
        """Return when the program accepts a message."""
        return

    async def answer(self, id: str, value: Any) -> None:
        """Answer a request of the program, as in `Conversation.answer`. Ignored if it makes no requests."""
        return

    async def at_once_or_later(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Do what the program is to receive: now, or, on another machine, in the background, because that
        machine may not be connected."""
        if not self.link.reach.machine:
            await work
            return
        task = background.start(work, f"{name} {self.link.host_id}")
        self._tasks.append(task)
        task.add_done_callback(self._tasks.remove)

    def turn_left(self) -> None:
        """Note that the running turn is closed although the program continues it."""
        return

    @property
    def status(self) -> ProgramStatus:
        return self._status

    @property
    def screen(self) -> tuple[str, ...] | None:
        return None

    @property
    def is_viewed(self) -> bool:
        return False

    @property
    def capabilities(self) -> Mapping[str, float]:
        return {}

    async def wait_until_copied(self) -> None:
        return  # it is not a copy

    @property
    def details(self) -> Mapping[str, Any]:
        return {}

    async def inspect(self) -> ProgramStatus:
        return self._status

    @abstractmethod
    def listen(self) -> AsyncGenerator[Spooled, None]:
        """Yield the output that belongs to no turn, until a turn waits or the program has ended. The caller
        must hold the output (`Feed.listening`)."""

    @abstractmethod
    def run_turn(self, message: Prompt) -> AsyncGenerator[Spooled | Plain, None]:
        """Run one turn and yield its outputs, up to `Done`. The caller must have claimed the output."""

    async def unprompted(self) -> AsyncGenerator[Spooled, None]:
        while self.ended is None:
            async with self.feed.listening(), aclosing(gathered(self.listen())) as said:
                async for spooled in said:
                    yield spooled

    async def view(self, *, sender: str, writes: bool) -> Viewer:
        raise NoTerminal(self.peer.name)

    def ended_badly(self) -> bool:
        """Return whether the program has ended, but not with exit code 0."""
        return self.ended is not None and self.ended.exit_code != 0

    @abstractmethod
    async def interrupt(self) -> None:
        """Ask the program to stop what it is doing."""

    async def acknowledge(self, offset: int) -> None:
        try:
            await self.link.acknowledge(offset)
        except (HostLost, HostSilent):
            pass  # the reader of its output reports a loss; a later offset is enough for the host

    async def answers(self, seconds: float | None) -> bool:
        return await self.link.answers(seconds)

    def wait_for_host(self) -> None:
        """Show the program as stuck until its host, which did not answer when it was found, does so."""
        self.set_status("stuck", NO_ANSWER)
        self._tasks.append(background.start(self._reconnect(), f"reconnect {self.link.host_id}"))

    async def _reconnect(self) -> None:
        try:
            await self.link.connect()
            while not await self.link.answers(None):
                pass
            host = await self.link.status()
        except (HostLost, HostSilent):
            return  # the reader of its output reports the loss
        if host.waiting and self.feed.offset > host.acknowledged:
            await self.acknowledge(min(self.feed.offset, host.head))
        if self.link.mode == "pipes":
            self.feed.follow_stderr(host.stderr_total)
        if (self._status.state, self._status.evidence) == ("stuck", NO_ANSWER):
            self.set_status("idle", "no turn is running")

    async def end(self, *, force: bool = False) -> Exit:
        try:
            return exit_of(await self.link.end(GRACE_SECONDS))
        except HostLost as lost:
            return Exit(lost=lost.detail)
        except HostSilent:
            if not force:
                raise
            return await self._kill()

    async def _kill(self) -> Exit:
        """Kill a host that does not answer; its program ends with it."""
        await self.link.kill()
        lost = HostLost(self.link.host_id, "its host process did not answer, so both were killed")
        await self.feed.give_up(lost)
        return Exit(lost=lost.detail)

    def release(self) -> None:
        self.released = True

    async def aclose(self) -> None:
        await background.stop(*self._tasks)
        await self.feed.aclose()
        if self.ended is not None and self.ended.lost is not None:
            await self._end_lost()
        await self.link.aclose()

    async def _end_lost(self) -> None:
        """End a program whose output can no longer be read. It must not keep running unread under a host that
        is still there."""
        with suppress(TurnFailure, TimeoutError):
            async with asyncio.timeout(END_SECONDS):
                try:
                    end = await self.link.end(GRACE_SECONDS)
                    await self.link.acknowledge(end.head)
                except HostSilent:
                    await self.link.kill()

    @asynccontextmanager
    async def claim(self, *, at_once: bool = False) -> AsyncIterator[None]:
        """Claim the output for one turn, and set the status to busy meanwhile. `at_once`: see `Feed.claim`.

        Raises:
            ProgramEnded: the program has ended.
        """
        self.require_alive()
        try:
            async with self.feed.claim(at_once=at_once):
                self.require_alive()
                self.set_status("busy", "a turn is running")
                try:
                    yield
                finally:
                    if self.ended is None:
                        self.turn_ended()
        except (HostLost, ProgramOver) as over:
            raise ProgramEnded(f"{self.peer.name}: {over.detail}", **over.data) from over

    def turn_ended(self) -> None:
        """Update the status after a turn."""
        self.set_status("idle", "no turn is running")

    def require_alive(self) -> None:
        if self.ended is not None:
            raise self.failure()

    def failure(self) -> ProgramEnded:
        """Return the end of the program as the failure of a turn."""
        ended = self.ended or Exit(lost="the program is gone")
        return ProgramEnded(
            f"{self.peer.name}: {ended.detail}", exit_code=ended.exit_code, signal=ended.signal
        )

    def note_end(self, item: Exited | HostLost) -> Exit:
        """Record and return the end of the program."""
        self.ended = exit_of(item) if isinstance(item, Exited) else Exit(lost=item.detail)
        self.set_status("gone", self.ended.detail)
        return self.ended

    def set_status(self, state: ProgramState, evidence: str) -> None:
        before = self._status
        if (before.state, before.evidence) != (state, evidence):
            since = before.since if before.state == state else _now()
            self._status = ProgramStatus(state, evidence, since)
            self._changed(self)

    def stuck_deadline(self, since: float) -> float:
        """Return when, on the loop's clock, a program that has been silent since `since` counts as stuck."""
        return since + STUCK_SECONDS


class ProgramConversation:
    """A conversation with a program. A second message waits until the first turn has ended."""

    def __init__(self, running: HostedProgram) -> None:
        self._running = running
        self.is_left = False

    async def send(self, message: Prompt, history: Sequence[PastMessage]) -> AsyncGenerator[Output, None]:
        running = self._running
        await running.ready()
        async with running.claim(), aclosing(_or_interrupt(running, self, running.run_turn(message))) as said:
            async for output in said:
                yield output

    async def answer(self, id: str, value: Any) -> None:
        await self._running.at_once_or_later(self._running.answer(id, value), f"answer {id}")

    async def interrupt(self) -> None:
        await self._running.at_once_or_later(self._running.interrupt(), "interrupt")

    def leave(self) -> None:
        self.is_left = self._running.continues_alone

    async def aclose(self) -> None:
        """Do nothing: there is nothing to release, and the program continues to run."""


async def _or_interrupt(
    running: HostedProgram, by: ProgramConversation | None, said: AsyncGenerator[Spooled | Plain, None]
) -> AsyncGenerator[Output, None]:
    """Yield the outputs of a turn. If the turn is given up, interrupt the program, unless only the waiting
    for it has ended.

    After a failure, the program is not interrupted: it may be asking a question, which the interrupt key
    would answer.
    """
    finished = False
    try:
        async with aclosing(said):
            async for output in said:
                finished = isinstance(output, Done)
                yield output
    except (GeneratorExit, asyncio.CancelledError):
        if not (finished or running.ended or running.released or running.unsent):
            if by is not None and by.is_left:
                running.turn_left()
            else:
                await running.at_once_or_later(running.interrupt(), "interrupt")
        raise


def plain(pieces: Sequence[str | Invalid]) -> list[Plain]:
    """Return text as outputs. Bytes that are not valid text become a replacement character and a record."""
    outputs: list[Plain] = []
    for piece in pieces:
        if isinstance(piece, str):
            outputs.append(Text(piece))
        else:
            outputs.append(Text("\N{REPLACEMENT CHARACTER}"))
            outputs.append(Record(raw=base64.b64encode(piece.data).decode()))
    return outputs


def of_stderr(source: str, item: Stderr) -> Spooled:
    lost = f"\n[{item.lost} bytes of stderr were not kept]\n" if item.lost else ""
    text = Text(lost + item.data.decode(errors="replace"), "stderr")
    return Spooled(source + STDERR, item.offset, (text,))


def exit_of(item: Exited) -> Exit:
    return Exit(item.code, item.signal)


def clock() -> float:
    """Return the time of the loop's clock, in seconds."""
    return asyncio.get_running_loop().time()


def _now() -> int:
    return time.time_ns() // 1_000_000
