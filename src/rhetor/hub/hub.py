"""The hub: executes the commands of all APIs, says who may read what, and shuts down in order."""

from __future__ import annotations

import asyncio
from typing import Any

from rhetor.domain import command as c
from rhetor.domain.event import Position
from rhetor.domain.principal import READ, Principal
from rhetor.errors import Forbidden, NotFound
from rhetor.store.base import Head, parse_cursor, require_position

from .audited import AUDITED, name_of
from .catalog.turn_log import turn_end
from .core.commits import until_accepted
from .forwarding import terminals
from .plans import plans
from .programs.instances import detach, release
from .sessions import (
    states,
)
from .sessions.send import Accepted
from .state import (
    State,
)
from .turns.pauses import leave_paused
from .use_cases import USE_CASES

DRAIN_SECONDS = 5.0


class Hub:
    """A running hub, created by `open_hub`.

    APIs call `execute` to change something, and read the log and the catalog through `state.store`.
    """

    def __init__(self, state: State) -> None:
        self.state = state

    async def execute(self, principal: Principal, command: c.Command, api: str = "") -> Any:
        """Execute the command, and return its use case's result, for example `Accepted` or `Session`.

        `api`: how the caller reached the hub, for the audit. Its entry of the command is durable before the
        command is executed.

        Raises:
            Forbidden: the caller lacks the scope that the command needs.
            NodeLost: the node to which the command belongs was lost before it answered.
            RhetorError: the command was rejected, and nothing was changed. The docstring of the function in
                `USE_CASES` names the subclasses.
        """
        if not self.state.nodes.own:
            return await self.execute_here(principal, command, api)
        return await self.state.nodes.route(
            principal, command, api, lambda: self.execute_here(principal, command, api)
        )

    async def execute_here(self, principal: Principal, command: c.Command, api: str = "") -> Any:
        """Do the same as `execute`, at this node, to which the command belongs.

        Raises:
            StreamElsewhere: it belongs to another node; nothing was changed.
            Forbidden, RhetorError: as `execute`.
        """
        use_case, audited = USE_CASES[type(command)], AUDITED.get(type(command))
        try:
            principal.require(use_case.scope)
            if audited is None or (audited.is_message and not self.state.limits.audit_messages):
                return await use_case.run(self.state, principal, command)
            described = audited.action, audited.target(command), audited.detail(command)
            async with self.state.audit.action(principal, *described, api=api):
                return await use_case.run(self.state, principal, command)
        except Forbidden as error:
            if not error.is_noted:
                self.state.audit.refused(principal, name_of(command), error, api=api)
            raise

    async def answer(self, accepted: Accepted) -> tuple[Any, str]:
        """Wait for the end of an accepted message's turn; return it with the answer's text.

        Raises:
            ShuttingDown: the hub was shut down first.
            PositionLost: the session was restored to a checkpoint first.
            NotFound: the session is no longer shared with the sender.
        """
        with self.state.presence.reader(accepted.session_id, accepted.sender) as reader:
            try:
                place = accepted.session_id, accepted.turn_id, accepted.after
                return await until_accepted(
                    lambda: turn_end(self.state.store, *place),
                    accepted.session_id,
                    lambda: self.state.closing,
                )
            except asyncio.CancelledError:
                if reader.ended is None:
                    raise
                reader.task.uncancel()
                raise reader.ended from None

    async def may_read(self, principal: Principal, stream: str) -> str:
        """Return the id of a stream that the caller may read. A session may be given by its name.

        Raises:
            Forbidden: the caller lacks the scope `read`.
            NotFound: there is no such stream, or it belongs to another owner.
        """
        try:
            principal.require(READ)
        except Forbidden as error:
            self.state.audit.refused(principal, "stream.read", error, stream)
            raise
        if stream.startswith("p_"):
            return (await plans.owned_plan(self.state, principal, stream)).id
        if terminals.is_terminals_stream(self.state, principal, stream):
            return stream
        if stream != "hub":
            return (await states.readable_session(self.state, principal, stream)).id
        if not principal.local or principal.is_agent:
            raise NotFound("stream", stream)
        return stream

    async def position(self, principal: Principal, stream: str, cursor: str | None) -> tuple[Head, Position]:
        """Return a stream's head, and the position after which a reader with this cursor starts.

        Without a cursor, the reader starts at the earliest event.

        Raises:
            NotFound: there is no such stream, or it belongs to another owner.
            MalformedCursor: the cursor is not one that the hub returned.
            PositionLost: the cursor's position is no longer part of the stream.
        """
        stream = await self.may_read(principal, stream)
        head = await self.state.store.head(stream) or Head("", 0, 1)
        after = parse_cursor(cursor) if cursor else Position(head.epoch, head.earliest - 1)
        require_position(head, after)
        return head, after

    async def aclose(self) -> None:
        """Reject new commands, interrupt all turns and plans, and wait until their ends are in the log.

        The wait is limited to `DRAIN_SECONDS` seconds. Further calls have no effect.
        """
        state = self.state
        if state.closing:
            return
        state.closing = True
        state.notifier.notify()  # tasks that wait for a change end when the hub is closing
        state.leases.close()
        release(state)
        awaited = {session for plan in state.plans.values() for session in plan.sessions}
        for session, runner in list(state.runners.items()):
            if runner.current and runner.current.turn.turn_id in state.pauses and session not in awaited:
                leave_paused(runner)
            elif runner.current:
                runner.current.stop(lambda turn: turn.interrupt("the hub was shut down"))
        for plan in list(state.plans.values()):
            plan.shut_down()
        tasks = [
            *(runner.task for runner in state.runners.values()),
            *(plan.task for plan in state.plans.values()),
        ]
        running = [task for task in tasks if task is not None]
        if running:
            await asyncio.wait(running, timeout=DRAIN_SECONDS)
        await state.boards.flush()  # the turns have ended, and the programs still run
        await detach(state)
        await state.audit.sum_up(is_last=True)
        await asyncio.sleep(0.01)  # let readers send the last events, which have just woken them
        state.presence.close()
