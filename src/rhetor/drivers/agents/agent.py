"""A running coding agent: reads its lines, passes on their outputs, and writes the answers to its requests.

An `AgentProtocol` decodes the lines. If a turn is abandoned, the agent is interrupted, and the next message
waits until the agent has confirmed that the turn has ended.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Mapping
from contextlib import aclosing, suppress
from typing import Any

from rhetor.codec.lines import Cut, Lines
from rhetor.domain.output import Done, Late, Permission, Plain, Record, Remembered, Spooled, Text, Withdrawn
from rhetor.domain.peer import Peer
from rhetor.domain.permission import decided
from rhetor.domain.program import ProgramState
from rhetor.drivers.base import Prompt
from rhetor.drivers.programs.host.failures import HostLost, ProgramOver
from rhetor.drivers.programs.host.feed import Feed, Stderr
from rhetor.drivers.programs.host.link import HostLink
from rhetor.drivers.programs.host.values import Chunk, Exited, Lost
from rhetor.drivers.programs.program import HostedProgram, clock, of_stderr
from rhetor.errors import DeliveryUnknown, ProgramEnded, TurnFailure

from .protocol import COPY_OF, AgentProtocol, Decoded

BEGIN_SECONDS = 60.0  # for making a copy of a conversation
STOP_SECONDS = 10.0  # for ending a turn that was interrupted
SHOWN_STDERR = 300  # characters of the last line
KEPT_STDERR = 2000
LAST_WORDS_SECONDS = 1.0  # for reading stderr after the end of the program


def last_words(text: str, *, is_whole: bool) -> str:
    """Return the last line of a text, of a long line only its beginning. `is_whole`: nothing before the text
    was cut off. Only whole words are returned, because a secret that was cut could not be recognized."""
    _, newline, line = text.strip().rpartition("\n")
    if not (is_whole or newline):
        line = line.partition(" ")[2]
    return line if len(line) <= SHOWN_STDERR else line[:SHOWN_STDERR].rpartition(" ")[0] + " …"


class AgentProgram(HostedProgram):
    """A coding agent that runs under a host.

    `fresh`: it has just been started. `in_turn`: a turn that an earlier hub began is running, to be continued
    with `resume_turn`. `asked`: the ids of the turn's open permission requests. `stderr`: the offset from
    which stderr is read.
    """

    continues_alone = False

    def __init__(
        self,
        peer: Peer,
        link: HostLink,
        feed: Feed,
        source: str,
        changed: Callable[[HostedProgram], None],
        protocol: AgentProtocol,
        *,
        fresh: bool,
        in_turn: bool = False,
        asked: Collection[str] = (),
        stderr: int = 0,
    ) -> None:
        super().__init__(peer, link, feed, source, changed)
        self._protocol = protocol
        self._lines = Lines()
        self._fresh = fresh
        self._memory = protocol.saved
        self._asked = set(asked)
        self._stderr = ""
        self._stderr_at = stderr
        self._error = ""  # that it reported while no turn ran
        self._at_rest = asyncio.Event()
        self._resumed = asyncio.Event()
        self._heard = asyncio.Event()
        if not in_turn:
            self._at_rest.set()
            self._resumed.set()
        self._show_condition()

    async def unprompted(self) -> AsyncGenerator[Spooled, None]:
        await self._resumed.wait()  # until then, the output belongs to the resumed turn
        async with aclosing(super().unprompted()) as said:
            async for spooled in said:
                yield spooled

    async def listen(self) -> AsyncGenerator[Spooled, None]:
        await self._introduce()
        while self.ended is None:
            item = await self.feed.next_unclaimed(None)
            if item is None:
                return
            if isinstance(item, Stderr):
                self._note_stderr(item)
                yield of_stderr(self.source, item)
                continue
            outputs, ends = await self._taken(item)
            if ends is not None:
                self._at_rest.set()
                self._error = ends.failure.detail if ends.failure else ""
            yield self._spooled(await self._outside_turns(outputs))
            if not isinstance(item, Chunk):  # the agent has ended
                for words in await self._last_words():
                    yield words

    async def run_turn(self, message: Prompt) -> AsyncGenerator[Spooled | Plain, None]:
        await self._introduce()
        prompt = self._protocol.prompt(message.content, message.attachments)
        self._at_rest.clear()
        self._protocol.turn = message.turn
        with suppress(HostLost, ProgramOver):  # its end is read next, with the reason that it wrote
            await self._write(prompt)
        async with aclosing(self.rest_of_turn()) as said:
            async for output in said:
                yield output

    async def rest_of_turn(self) -> AsyncGenerator[Spooled | Plain, None]:
        self._resumed.set()
        self._show_condition()
        known = self._goes_on
        heard = clock()
        ends: Decoded | None = None
        while ends is None:
            settle_after = self._protocol.settle_after
            item = await self.feed.next(
                self.stuck_deadline(heard) if settle_after is None else heard + settle_after
            )
            if isinstance(item, Stderr):
                self._note_stderr(item)
                yield of_stderr(self.source, item)
                continue
            if item is None and settle_after is not None:
                ends = self._protocol.settle()
                await self._write_if_there(ends.writes)
                yield self._spooled(list(ends.outputs))
                continue
            if item is None:
                if not self._asked:
                    self.set_status("stuck", f"no output for {clock() - heard:.0f} s in a running turn")
                heard = clock()
                continue
            heard = clock()
            outputs, ends = await self._taken(item)
            self._show_condition()
            yield self._spooled(outputs)
            if self.ended is not None and ends is None:
                for words in await self._last_words():
                    yield words
                raise self.failure()
        self._at_rest.set()
        if ends.failure is not None:
            if known and not self._goes_on:
                await self._end_now()
            raise ends.failure
        yield Done(ends.finish_reason)

    async def ready(self) -> None:
        """Wait until the agent has ended the interrupted turn.

        Raises:
            TurnFailure: the agent has not ended it within `STOP_SECONDS`.
        """
        if self.ended is not None or self._at_rest.is_set():
            return
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self._at_rest.wait()
        except TimeoutError:
            raise TurnFailure(
                f"{self.peer.name} is still busy with the turn that was interrupted; send the message again",
                retryable=True,
            ) from None

    async def wait_until_copied(self) -> None:
        try:
            async with asyncio.timeout(BEGIN_SECONDS):
                while not self._protocol.has_copy:
                    if self._protocol.refused is not None:
                        raise self._protocol.refused
                    if self.ended is not None:
                        raise self.failure()
                    self._heard.clear()
                    await self._heard.wait()
        except TimeoutError:
            raise TurnFailure(f"{self.peer.name} did not make its copy of the conversation in time") from None

    async def answer(self, id: str, value: Any) -> None:
        self._asked.discard(id)
        self._show_condition()
        option_id = value if isinstance(value, str) else None
        answers = value if isinstance(value, dict) else None
        lines = self._protocol.answer(id, option_id, answers)
        try:
            await self._write(lines)
        except DeliveryUnknown:  # an agent ignores the second answer to a request
            await self._write_if_there(lines)
        except TurnFailure:
            pass  # the reader of the agent's output reports its end

    async def interrupt(self) -> None:
        self._asked.clear()
        if self._protocol.settle_after is not None:  # the turn has ended already
            self._protocol.settle()
            self._at_rest.set()
        await self._write_if_there(self._protocol.interrupt())

    def failure(self) -> ProgramEnded:
        failure = super().failure()
        if last := last_words(self._stderr, is_whole=len(self._stderr) < KEPT_STDERR):
            failure.detail += f"; it wrote: {last}"
        if self._error:
            failure.detail += f"; before that: {self._error}"
        return failure

    @property
    def _goes_on(self) -> bool:
        """Whether there is a conversation to continue, the agent's own or one to copy."""
        return "session_id" in self._memory or bool(self._memory.get(COPY_OF))

    @property
    def details(self) -> Mapping[str, Any]:
        return self._protocol.reported

    async def _introduce(self) -> None:
        if self._fresh:
            self._fresh = False
            await self._write_if_there(self._protocol.opening_lines())

    async def _taken(self, item: Chunk | Exited | HostLost) -> tuple[list[Plain], Decoded | None]:
        """Decode an item. Return its outputs, and the decoded line that ended the turn, if one did."""
        if isinstance(item, Chunk):
            lines = self._lines.feed(item.data)
        else:
            self.note_end(item)
            lines = self._lines.finish()
        outputs: list[Plain] = []
        ends: Decoded | None = None
        for line in lines:
            if isinstance(line, Cut):
                outputs.append(_too_long(line))
                continue
            if not line.strip():
                continue
            heard = self._protocol.decode(line)
            outputs += heard.outputs
            self._asked |= self._left_to_a_person(heard.outputs)
            self._asked -= {o.request_id for o in heard.outputs if isinstance(o, Withdrawn)}
            if heard.writes:
                await self._write_if_there(heard.writes)
            if heard.ended:
                ends = heard
                self._asked.clear()
        self._heard.set()
        if (kept := self._protocol.saved) != self._memory:
            self._memory = kept
            outputs.append(Remembered(self._memory))
        return outputs, ends

    async def _outside_turns(self, outputs: list[Plain]) -> list[Plain]:
        """Return outputs that came while no turn reads them. Their text belongs to the last turn; nobody can
        answer their permission requests, so those are denied."""
        kept: list[Plain] = []
        for output in outputs:
            if isinstance(output, Permission):
                await self._write_if_there(self._protocol.answer(output.request_id, None))
            elif isinstance(output, Text) and output.channel == "answer":
                kept.append(Late(output.text, turn=self._protocol.turn))
            else:
                kept.append(output)
        return kept

    def _left_to_a_person(self, outputs: Iterable[Plain]) -> set[str]:
        """Return the ids of the permission requests that no rule answers."""
        asked = [output for output in outputs if isinstance(output, Permission)]
        return {each.request_id for each in asked if decided(self.peer.permissions, each) is None}

    def _spooled(self, outputs: list[Plain]) -> Spooled:
        return Spooled(self.source, self.feed.offset - self._lines.held, tuple(outputs))

    def _show_condition(self) -> None:
        if self.ended is not None or self._at_rest.is_set():
            return
        self.set_status("busy", "a turn is running")

    def set_status(self, state: ProgramState, evidence: str) -> None:
        """Set the status. A busy agent with an open permission request is reported as blocked."""
        if state == "busy" and self._asked:
            state, evidence = "blocked", f"asks for permission ({len(self._asked)} open)"
        super().set_status(state, evidence)

    async def _end_now(self) -> None:
        """End the agent: its conversation is lost, so the next message starts another process."""
        await self.end(force=True)
        while self.ended is None:
            item = await self.feed.next(None)
            if isinstance(item, Exited | HostLost):
                self.note_end(item)

    async def _last_words(self) -> list[Spooled]:
        """Return the rest of stderr, which usually has the reason why the agent ended."""
        words: list[Spooled] = []
        with suppress(HostLost, TimeoutError):
            async with (
                asyncio.timeout(LAST_WORDS_SECONDS),
                aclosing(self.link.read_stderr(self._stderr_at)) as left,
            ):
                async for item in left:
                    lost = item.count if isinstance(item, Lost) else 0
                    data = b"" if isinstance(item, Lost) else item.data
                    piece = Stderr(data, lost, item.offset_after)
                    self._note_stderr(piece)
                    words.append(of_stderr(self.source, piece))
        return words

    def _note_stderr(self, item: Stderr) -> None:
        self._stderr_at = item.offset
        self._stderr = (self._stderr + item.data.decode(errors="replace"))[-KEPT_STDERR:]

    async def _write(self, lines: tuple[bytes, ...]) -> None:
        if lines:
            await self.link.write(b"".join(line + b"\n" for line in lines), "text")

    async def _write_if_there(self, lines: tuple[bytes, ...]) -> None:
        try:
            await self._write(lines)
        except (HostLost, ProgramOver, TurnFailure):
            pass  # the reader of the agent's output reports its end


def _too_long(line: Cut) -> Record:
    """Return the record of a line that is too long: its beginning and its length."""
    return Record({"cut": line.bytes}, base64.b64encode(line.start).decode())
