"""The programs that run as peers, and the logging of their output between turns.

A program instance exists from the start of a program to its end. Output between turns is committed to the
owner's default session together with the offset in the program's spool. So after a crash of the hub, no
output is lost or logged twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING

from rhetor.background import stop
from rhetor.domain.event import (
    AgentRecord,
    OutputDelta,
    OutputPartial,
    PeerStatusChanged,
    Position,
    UsageReported,
)
from rhetor.domain.notification import STUCK
from rhetor.domain.output import Late, Output, Record, Remembered, Spooled, Text, Usage
from rhetor.domain.program import Exit
from rhetor.drivers.base import RunningProgram
from rhetor.errors import RhetorError
from rhetor.hub.active import ProgramInstance
from rhetor.hub.catalog.notifications import Place
from rhetor.hub.catalog.programs import HUB_STREAM, ProgramRow, end_event, memory_row
from rhetor.hub.core.commits import commit_until_accepted
from rhetor.hub.core.masking import MaskedOutputs
from rhetor.store.base import Draft, Row, SourceOffset

from .late import add_late, last_answered, write_late
from .late_usage import counting
from .masking import masked, masked_status

if TYPE_CHECKING:
    from rhetor.hub.state import State

NOTIFY_SECONDS = 600
END_SECONDS = 10.0
log = logging.getLogger(__name__)


def add_instance(state: State, entry: ProgramRow, running: RunningProgram) -> ProgramInstance:
    """Register a running program, and start the tasks that log its output and its status."""
    instance = ProgramInstance(entry, running, MaskedOutputs(state.secrets))
    state.instances[entry.key] = instance
    name = entry.peer.name
    instance.tasks = [
        state.background.start(_read(state, instance), f"read {name}"),
        state.background.start(_log_status(state, instance), f"status {name}"),
    ]
    state.notifier.notify()
    state.live.peer_changed(name)
    return instance


def status_changed(state: State, running: RunningProgram) -> None:
    """Wake all tasks that wait for a change of this program's status."""
    for instance in state.instances.values():
        if instance.running is running:
            instance.changed.set()
            state.live.peer_changed(instance.peer.name)
            if running.ended is not None:
                state.program_keys.end(instance.entry.key_digest)
    state.notifier.notify()


def instances_of(state: State, peer: str) -> list[ProgramInstance]:
    """Return the program instances of a peer: at most one, or one for each of its conversations."""
    return [instance for instance in state.instances.values() if instance.peer.name == peer]


def reports(state: State) -> dict[str, dict[str, float]]:
    """Return the capability scores that running programs report, by peer.

    If several programs of a peer report a score for the same capability, the last one at this node counts.
    """
    found: dict[str, dict[str, float]] = {}
    for peer, programs in state.elsewhere.programs.items():
        for program in programs:
            if program.scores:
                found.setdefault(peer, {}).update(program.scores)
    for instance in state.instances.values():
        if scores := instance.running.capabilities:
            found.setdefault(instance.peer.name, {}).update(scores)
    return found


def acknowledge(state: State, sources: Sequence[SourceOffset]) -> None:
    """Tell the hosts which parts of their spools are in the log and may be deleted."""
    for instance in state.instances.values():
        offset = instance.stored(sources)
        if offset is not None:
            state.background.start(instance.running.acknowledge(offset), f"acknowledge {instance.peer.name}")


def release(state: State) -> None:
    """Let programs finish the turns that the next hub cannot resume, after this hub has stopped."""
    for instance in state.instances.values():
        if not state.program_drivers[instance.peer.driver].continues:
            instance.running.release()


async def end_all(state: State) -> None:
    """End the programs on this machine, because another node has taken over, and calls them lost."""
    found = [each for each in state.instances.values() if not each.peer.machine]

    async def end(instance: ProgramInstance) -> None:
        with suppress(RhetorError, TimeoutError):
            async with asyncio.timeout(END_SECONDS):
                await instance.running.end(force=True)
                await instance.end_logged.wait()

    await asyncio.gather(*(end(each) for each in found))


async def detach(state: State) -> None:
    """Stop reading all programs. They continue to run, and the next hub adopts them."""
    for instance in list(state.instances.values()):
        await stop(*instance.tasks)
        await write_late(state, instance)
        await instance.running.aclose()
    state.instances.clear()


async def _read(state: State, instance: ProgramInstance) -> None:
    line = ""
    try:
        # late text may be of a turn under an earlier hub, or with an earlier process of the conversation
        before = await last_answered(state, instance.entry.session_id)
        instance.last_turn = instance.last_turn or before
        unprompted = instance.running.unprompted()
        async with aclosing(unprompted), aclosing(masked(unprompted, instance.masks)) as output:
            async for spooled in output:
                line = _last_line(line, spooled)
                await _store(state, instance, spooled)
    except Exception:  # an error in a driver must not end the hub
        log.exception("reading a program's output failed", extra={"peer": instance.peer.name})
        await instance.running.end(force=True)  # otherwise it would run without supervision
    await _record_end(state, instance, line)


async def _store(state: State, instance: ProgramInstance, spooled: Spooled) -> None:
    drafts = [draft for output in spooled.outputs if (draft := _draft(instance, output))]
    memories = [o.memory for o in spooled.outputs if isinstance(o, Remembered)]
    rows = [memory_row(instance.entry.key, memory, state.ids.now()) for memory in memories[-1:]]
    if drafts or rows:
        sources = [SourceOffset(spooled.source, spooled.offset)]
        session_id = instance.entry.session_id
        async with counting(state, instance, drafts) as (timed, adds):
            done = await commit_until_accepted(state.store, session_id, timed, rows, sources, adds=adds)
        if instance.asked and instance.unshown is None and not instance.running.is_viewed:
            said = any(isinstance(o, Text) and o.channel == "unsolicited" for o in spooled.outputs)
            instance.unshown = Position(done.epoch, done.first - 1) if said else None
    for output in spooled.outputs:
        if isinstance(output, Late):
            add_late(state, instance, output, logged=True)
    if spooled.source == instance.running.source:
        await instance.running.acknowledge(spooled.offset)


def take_unshown(state: State, session_id: str, before: Position) -> Position | None:
    """Return the position before the output that a program printed unasked in this session since its last
    message, and that nobody has seen; None if there is none. Afterwards, it counts as seen."""
    for instance in state.instances.values():
        if instance.entry.session_id == session_id:
            found, instance.unshown = instance.unshown, None
            return found if found and found.epoch == before.epoch and found.seq < before.seq else None
    return None


async def _record_end(state: State, instance: ProgramInstance, line: str) -> None:
    """Log the program's end in its session and in the hub's stream; then remove the instance and its host's
    files. The instance is removed even if its end cannot be logged, because others wait for that."""
    ended = instance.running.ended or Exit(lost="its output could no longer be read")
    name = instance.peer.name
    try:
        await write_late(state, instance)
        end = end_event(name, ended)
        partial = [Draft(OutputPartial(line))] if line else []
        rows = [instance.entry.ended(ended)]
        await commit_until_accepted(state.store, instance.entry.session_id, [*partial, Draft(end)], rows)
        await commit_until_accepted(state.store, HUB_STREAM, [Draft(end), Draft(_status_gone(name, ended))])
    except Exception:  # the instance is removed all the same; see above
        log.exception("logging a program's end failed", extra={"peer": name})
    state.program_keys.end(instance.entry.key_digest)
    if state.instances.get(instance.entry.key) is instance:
        del state.instances[instance.entry.key]
        state.gone[name] = (ended, state.ids.now())
    try:
        await instance.running.aclose()
        forget(state, instance.entry)
    finally:
        instance.end_logged.set()
        instance.changed.set()
        state.notifier.notify()
        state.live.peer_changed(name)
        if state.peers.is_announced(name):
            state.live.sessions.note_all()  # those with the peer are shown as stopped from now on


def forget(state: State, entry: ProgramRow) -> None:
    """Remove the files of the host of a program that has ended."""
    try:
        state.program_drivers[entry.peer.driver].forget(entry.peer, entry.host_id)
    except RhetorError as error:  # the files remain, which does no harm
        log.warning("removing a host's files failed", extra={"peer": entry.peer.name, "reason": error.detail})


async def _log_status(state: State, instance: ProgramInstance) -> None:
    """Log each change of the program's status in the hub's stream, beginning with the initial status."""
    logged = None
    while not instance.end_logged.is_set():
        instance.changed.clear()
        status = state.machines.offline_status(instance.peer) or instance.status
        status = masked_status(status, state.secrets)
        if status.state not in (logged, "gone"):  # "gone" is logged with the program's end
            logged = status.state
            change = PeerStatusChanged(instance.peer.name, status.state, status.evidence)
            rows = _notification(state, instance, change) if state.notifications else []
            await commit_until_accepted(state.store, HUB_STREAM, [Draft(change)], rows)
            state.notifications.wake()
            state.notifier.notify()
            state.live.peer_changed(instance.peer.name)
        await instance.changed.wait()


def _notification(state: State, instance: ProgramInstance, change: PeerStatusChanged) -> list[Row]:
    """Return what to commit to notify of a stuck program; at most once in `NOTIFY_SECONDS`, because an agent
    may pause again and again while it works."""
    now, entry = state.ids.now(), instance.entry
    if change.status != STUCK or now - instance.notified_at < NOTIFY_SECONDS * 1000:
        return []
    running = next((each for each in state.pending.values() if each.instance == entry.key), None)
    stream, turn_id = (running.stream, running.turn_id) if running else (entry.session_id, None)
    rows = state.notifications.rows([change], Place(entry.owner, change.peer, stream, turn_id))
    if rows:
        instance.notified_at = now
    return rows


def _status_gone(peer: str, ended: Exit) -> PeerStatusChanged:
    return PeerStatusChanged(peer, "gone", ended.detail)


def _draft(instance: ProgramInstance, output: Output) -> Draft | None:
    match output:
        case Text(text, channel) if text:
            return Draft(OutputDelta(text, channel))
        case Late(text) if text:
            return Draft(OutputDelta(text, "unsolicited"))
        case Record(record, raw):
            return Draft(AgentRecord(record, raw, "base64" if raw is not None else None))
        case Usage(model, input_tokens, output_tokens, cached, cost):
            turn_id, instance.abandoned_turn = instance.abandoned_turn, None
            return Draft(UsageReported(model, input_tokens, output_tokens, cached, cost), turn_id)
    return None


_OUTPUT = ("answer", "unsolicited")


def _last_line(line: str, spooled: Spooled) -> str:
    """Return the last line of the program's output if it is incomplete, else an empty string; at most 4096
    characters."""
    for output in spooled.outputs:
        if isinstance(output, Late) or (isinstance(output, Text) and output.channel in _OUTPUT):
            line = (line + output.text).rpartition("\n")[2][-4096:]
    return line
