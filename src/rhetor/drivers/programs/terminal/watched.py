"""What can be seen of a program in a terminal: its screen, its status, the question that it asks.

The raw bytes stay in the host's spool. The log has the statuses.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from rhetor.domain.program import Dialog, ProgramStatus
from rhetor.drivers.base import Viewer
from rhetor.drivers.programs.host.failures import HostLost, HostSilent, ProgramOver
from rhetor.drivers.programs.host.values import Exited, HostStatus, Reader
from rhetor.drivers.programs.program import NO_ANSWER, HostedProgram, clock
from rhetor.drivers.programs.readiness import QUIET_SECONDS, Moment
from rhetor.drivers.programs.status import Signs, observations, status

from . import dialogs
from .between_turns import BetweenTurns
from .dialogs import dialog_on
from .display import Display
from .marks import Marks
from .pending import Pending
from .prompts import prompt_on
from .screen import Screen

ATTACH_SECONDS = 2.0  # for the host to answer a terminal that attaches
SILENT_SECONDS = 1.0  # between two attempts to draw the screen if the host does not answer


class WatchedProgram(HostedProgram):
    """A program in a terminal. The viewers that are attached to it determine the terminal's size.

    `turn_since`: when the running turn began, on the loop's clock, or None.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.feed.tap = self._seen
        self.marks = Marks()
        self.between = BetweenTurns(self.feed)
        self.pending = Pending()
        self.turn_since: float | None = None
        self._display = Display(self.peer.name, self.link, self.feed, self.marks, self.between.resize)
        self._last_output: float | None = None
        self._dialog: Dialog | None = None
        self._lines: tuple[str, ...] = ()

    @property
    def screen(self) -> tuple[str, ...] | None:
        return self._lines

    @property
    def is_viewed(self) -> bool:
        return self._display.is_viewed

    async def await_output(self, due: float) -> None:
        """Implement `Terminal.await_output`."""
        item = await self.feed.next(due)
        if isinstance(item, Exited | HostLost):
            self.note_end(item)
            raise self.failure()
        await self.drawn()

    async def inspect(self) -> ProgramStatus:
        screen = await self.drawn()
        self._judge(screen)
        host = await self.link.status() if self.ended is None else None
        reasons = (self._status.evidence, *observations(host, self.marks.seen))
        self._lines = tuple(screen.text())
        return replace(self._status, reasons=reasons, screen=self._lines, dialog=self._dialog)

    async def view(self, *, sender: str, writes: bool) -> Viewer:
        if not await self.answers(ATTACH_SECONDS):
            raise HostSilent(self.link.host_id)
        return await self._display.view(lambda: self.ended, sender=sender, writes=writes)

    async def interrupt(self) -> None:
        try:
            await self.link.write(b"\x03", "keys")
        except (HostLost, HostSilent, ProgramOver):
            pass  # there is nothing left to interrupt

    def turn_ended(self) -> None:
        if self._display.screen is not None:
            self._judge(self._display.screen)

    async def drawn(self) -> Screen:
        """Draw the output that was read, and return the screen."""
        return await self._display.drawn()

    async def update_status(self) -> float | None:
        """Update the status; return when to do so again, or None if only output can change it."""
        try:
            self._judge(await self.drawn())
        except HostSilent:
            self.set_status("stuck", NO_ANSWER)
            return clock() + SILENT_SECONDS
        if self._last_output is None:
            return None
        again = self._last_output + QUIET_SECONDS + 0.01
        return again if again > clock() else None

    def moment(self, host: HostStatus, screen: Screen, began: float) -> Moment:
        now = clock()
        return Moment(
            reader=host.reader,
            at_prompt=self.prompt(screen) is not None,
            marks=self.marks.seen,
            in_command=self.marks.in_command,
            silent_for=None if self._last_output is None else now - self._last_output,
            waited=now - began,
        )

    def _judge(self, screen: Screen) -> None:
        found = dialog_on(screen.text(), screen.cursor)
        self._dialog = question(found)
        now = clock()
        signs = Signs(
            dialog=found,
            prompt=self.prompt(screen),
            marks=self.marks.of_commands,
            in_command=self.marks.in_command,
            quiet_for=None if self._last_output is None else now - self._last_output,
            turn_for=None if self.turn_since is None else now - self.turn_since,
        )
        state, evidence = status(signs)
        self.set_status(state, evidence)

    def prompt(self, screen: Screen, reader: Reader | None = None) -> str | None:
        own = self.peer.program.prompt if self.peer.program else None
        return prompt_on(screen, own, self.pending.text, reader)

    def _seen(self, data: bytes) -> None:
        """Take a piece of output when it is first read."""
        self._last_output = clock()
        self._display.keep(data)
        self.marks.take(data)
        self.between.take(data)


def question(found: dialogs.Dialog | None) -> Dialog | None:
    """Return a question on the screen as clients see it."""
    return Dialog(found.evidence, found.options) if found else None
