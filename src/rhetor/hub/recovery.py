"""Recovers the turns, plans and programs that an earlier hub left unfinished.

- No turn is repeated. A running turn is continued if its driver supports that; otherwise it ends as
  `interrupted`, with its partial output.
- The pause of a turn is taken up again. When it is over, the turn's peer is called.
- An accepted turn that had not started is run now, except for terminals, where it ends as `interrupted`.
- Programs that are still running are adopted.
- Restores of files are finished.
- Plans end as `interrupted`.

If several nodes share the store, each recovers what is its own. The lead recovers what a lost node has left.

After the restore of a backup, nothing is run, because it may have been run since: turns end as `interrupted`,
and answers that were to be forwarded are not.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from rhetor.domain.event import OutputPartial, Payload, PlanEnded, StepFailed, StepSkipped, TurnInterrupted
from rhetor.domain.peer import PeerKind
from rhetor.domain.principal import Principal
from rhetor.domain.timestamps import timestamp
from rhetor.domain.turn import STARTED, TurnState
from rhetor.domain.usage import Source
from rhetor.errors import UnknownPeer
from rhetor.store.base import Addition, Draft, Row, Store

from .catalog.outbox import DELIVERY, DUE
from .catalog.pauses import Pause, ended_pause, paused_turns
from .catalog.programs import HUB_STREAM
from .catalog.requests import closing_requests
from .catalog.sessions import session_of
from .catalog.turn_log import received, so_far
from .catalog.turns import PlanRow, TurnRow
from .catalog.usage import Spent, source_of
from .core.commits import until_accepted
from .core.nodes import is_own
from .programs.adoption import adopt, register, take_over_programs
from .programs.instances import instances_of
from .sessions.leases import expect_clients
from .sessions.unfinished_restores import finish_restores
from .turns.given import continuation_rows
from .turns.runner import SessionRunner, closing_if_once, wake

if TYPE_CHECKING:
    from .state import State

REASON = "the hub stopped before the answer was complete"
RESTORED = "restored", "hub"  # the kind and id of the row that notes the restore of a backup
RESTORED_REASON = "the hub was restored from a backup that was made before the turn ended"
MANY = 100_000
Mine = Callable[[str], Awaitable[bool]]  # whether a stream is to be recovered


async def recover(state: State) -> None:
    """Recover everything of this node that an earlier hub left unfinished. Call it once, before any command
    is executed.

    Raises:
        StoreRefused: the store rejected a commit.
    """

    async def mine(stream: str) -> bool:
        return await is_own(state.nodes, stream)

    await register(state)
    await _end_plans(state, mine)
    if restored := await state.store.get(*RESTORED):
        await _end_restored(state, msgspec.json.decode(restored.doc, type=Restore))
    running = await _turns(state, TurnState.RUNNING, mine)
    for turn in running:
        if not _continues(state, turn.peer):
            await _interrupt(state, turn)
    await adopt(state)
    await finish_restores(state)
    await _take_up_pauses(state, mine)
    for turn in running:
        if _continues(state, turn.peer) and not await _resume(state, turn):
            await _interrupt(state, turn)
    await _run_accepted(state, mine)
    await expect_clients(state)


async def take_over(state: State, node: str, streams: Collection[str]) -> None:
    """Recover what a lost node left unfinished in these streams, which belong to this node now: they must be
    among `state.unrecovered`. No turn of a program on its machine is continued, because that is lost, too.

    What the store refuses is tried again. That must not end a turn that this node has begun meanwhile.
    """
    taken = frozenset(streams)

    async def waits(stream: str) -> bool:
        return stream in taken and stream not in state.runners

    await until_accepted(lambda: _end_of_lost(state, node, taken), node)
    await until_accepted(lambda: _take_up_pauses(state, waits), node)
    state.unrecovered -= taken
    await until_accepted(lambda: _run_accepted(state, waits), node)
    await until_accepted(lambda: expect_clients(state, taken), node)
    state.nodes.taken_over()


async def _end_of_lost(state: State, node: str, taken: Collection[str]) -> None:
    """End the turns that run at a lost node, and those that wait for a program that is lost with it."""

    async def mine(stream: str) -> bool:
        return stream in taken and stream not in state.runners  # of an attempt that the store refused

    reason = f"the node {node} was lost before the answer was complete"
    await _end_plans(state, mine)
    running = await _turns(state, TurnState.RUNNING, mine)
    for turn in running:
        if not _continues_elsewhere(state, turn.peer):
            await _interrupt(state, turn, reason)
    lost = await take_over_programs(state, node, taken)
    for turn in running:
        if _continues_elsewhere(state, turn.peer) and not await _resume(state, turn):
            await _interrupt(state, turn, reason)
    for turn in await _turns(state, TurnState.ACCEPTED, mine):
        if turn.peer in lost:
            await _interrupt(state, turn, reason)


async def _turns(state: State, standing: TurnState, mine: Mine) -> list[TurnRow]:
    rows = await state.store.find("turn", state=standing, limit=MANY)
    return [TurnRow.of(row) for row in rows if await mine(row.parent)]


async def _end_plans(state: State, mine: Mine) -> None:
    for row in await state.store.find("plan", state="running", limit=MANY):
        if await mine(row.id):
            await _end_plan(state, PlanRow.of(row))


async def _run_accepted(state: State, mine: Mine) -> None:
    for turn in await _turns(state, TurnState.ACCEPTED, mine):
        if _types(state, turn.peer):
            await _interrupt(state, turn)
        else:
            wake(state, turn.stream)


class Restore(Struct, frozen=True):
    """The restore of a backup: who made it, when, and from when the backup is, for the audit. Times are Unix
    time in milliseconds."""

    by: str = ""
    at: int = 0
    backup_at: int = 0


async def note_restore(store: Store, restore: Restore) -> None:
    """Note in a store that it was restored from a backup, for the hub that opens it next."""
    due = await store.find(DELIVERY, state=DUE, limit=MANY)
    drop = [(row.kind, row.id) for row in due]
    row = Row(*RESTORED, "due", msgspec.json.encode(restore))
    await store.commit(HUB_STREAM, [], rows=[row], drop=drop)


async def was_restored(store: Store) -> bool:
    """Return whether the store was restored from a backup, and no hub has opened it since."""
    return await store.get(*RESTORED) is not None


async def _end_restored(state: State, restore: Restore) -> None:
    detail = f"at {timestamp(restore.at)}, of a backup of {timestamp(restore.backup_at)}"
    await state.audit.note(Principal(restore.by), "state.restore", detail=detail)
    for unfinished in (TurnState.RUNNING, TurnState.WAITING, TurnState.ACCEPTED):
        for row in await state.store.find("turn", state=unfinished, limit=MANY):
            await _interrupt(state, TurnRow.of(row), RESTORED_REASON)
    await state.store.commit(HUB_STREAM, [], drop=[RESTORED])


def _continues(state: State, peer: str) -> bool:
    """Whether the peer's driver can continue a turn that an earlier hub started."""
    try:
        driver = state.program_drivers.get(state.peers.get(peer).driver)
    except UnknownPeer:
        return False
    return driver is not None and driver.continues


def _continues_elsewhere(state: State, peer: str) -> bool:
    """Whether the turn of a peer continues on a machine that has joined."""
    return _continues(state, peer) and bool(state.peers.get(peer).machine)


async def _resume(state: State, turn: TurnRow) -> bool:
    """Continue the turn; False if its program is no longer running."""
    row = await state.store.get("session", turn.stream)
    instance = next((i for i in instances_of(state, turn.peer) if i.entry.session_id == turn.stream), None)
    if row is None or instance is None:
        return False
    runner = state.runners[turn.stream] = SessionRunner(state, turn.stream, turn.owner)
    runner.resume(session_of(row), turn, instance, await received(state.store, turn))
    return True


async def _take_up_pauses(state: State, mine: Mine) -> None:
    turns = await _turns(state, TurnState.WAITING, mine)
    pauses = await paused_turns(state.store) if turns else {}
    for turn in turns:
        pause = pauses.get(turn.id)
        if pause is None or not await _take_up(state, turn, pause):
            await _interrupt(state, turn)


async def _take_up(state: State, turn: TurnRow, pause: Pause) -> bool:
    """Continue the pause of a turn; False if its session no longer takes messages."""
    row = await state.store.get("session", turn.stream)
    session = session_of(row) if row is not None else None
    if session is None or not session.takes_messages or not state.peers.has(turn.peer):
        return False
    runner = state.runners[turn.stream] = SessionRunner(state, turn.stream, turn.owner)
    runner.take_up(session, turn, pause, await received(state.store, turn))
    return True


def _types(state: State, peer: str) -> bool:
    """Whether messages to the peer are typed into a terminal, whose state may have changed since."""
    try:
        return state.peers.get(peer).kind is PeerKind.TERMINAL
    except UnknownPeer:
        return False


async def _interrupt(state: State, turn: TurnRow, reason: str = REASON) -> None:
    row = await state.store.get("session", turn.stream)
    session = session_of(row) if row else None
    also = await closing_if_once(state, turn.stream, session)
    source = replace(source_of(session), once=also.once) if session else Source(turn.peer, turn.owner)
    ending = await _ending(state, turn, source, reason)
    given = await continuation_rows(state, session, turn.id) if session and session.given else []
    await state.store.commit(
        turn.stream,
        [*ending.drafts, *also.drafts],
        rows=[*ending.rows, *also.rows, *given],
        adds=ending.adds,
        expects=also.expects,
    )
    ending.stored(state)


class Ending(Struct):
    """What to commit to end turns. `spent`: what each of them used."""

    drafts: list[Draft] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    spent: dict[str, Spent] = field(default_factory=dict)

    @property
    def adds(self) -> list[Addition]:
        return [add for spent in self.spent.values() for add in spent.adds]

    def stored(self, state: State) -> None:
        """Note that it was committed."""
        for turn_id, spent in self.spent.items():
            state.usage.stored(turn_id, spent)


async def _ending(state: State, turn: TurnRow, source: Source, reason: str = REASON) -> Ending:
    """Return what ends a turn as interrupted and closes its requests."""
    drafts, rows = await closing_requests(state.store, turn.stream, turn.id)
    logged, now = await so_far(state.store, turn), state.ids.now()
    end: list[Payload] = [OutputPartial(logged.text)] if logged.text else []
    end.append(TurnInterrupted(reason))
    drafts += [Draft(payload, turn.id, turn.step, now) for payload in end]
    rows.append(turn.become(TurnState.INTERRUPTED).row())
    if turn.state is TurnState.WAITING:
        rows += await ended_pause(state.store, turn.id)
    if turn.state not in STARTED:
        return Ending(drafts, rows)
    state.usage.resume(turn.id, logged.usage)
    source = source.caused_by(logged.cause)
    spent = state.usage.count(source, turn.id, end, now, running=True)
    return Ending(drafts, [*rows, *spent.rows], {turn.id: spent})


async def _end_plan(state: State, plan: PlanRow) -> None:
    """End a plan, its turns and its unfinished steps in one commit."""
    all_ = Ending(rows=[plan.become("interrupted").row()])
    turns = [TurnRow.of(row) for row in await state.store.find("turn", parent=plan.id)]
    for turn in turns:
        if turn.state in STARTED:
            ending = await _ending(state, turn, Source(turn.peer, plan.owner))
            failed = StepFailed(turn.step or "", "interrupted", REASON, True)
            all_.drafts += [*ending.drafts, Draft(failed, turn.id, turn.step)]
            all_.rows += ending.rows
            all_.spent |= ending.spent
    all_.drafts += [Draft(StepSkipped(id, "hub"), step=id) for id in _not_started(plan, turns)]
    all_.drafts.append(Draft(PlanEnded("interrupted")))
    await state.store.commit(plan.id, all_.drafts, rows=all_.rows, adds=all_.adds)
    all_.stored(state)


def _not_started(plan: PlanRow, turns: list[TurnRow]) -> list[str]:
    """Return the ids of the steps in the plan's own stream that have not started."""
    started = {turn.step for turn in turns}
    return [step["id"] for step in plan.steps if step["id"] not in started and not step["session_id"]]
