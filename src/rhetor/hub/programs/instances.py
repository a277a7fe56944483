"""The programs that run as peers: where each sits, and what it says while nobody asked it.

A seat lasts from the start of a program to its end. What it says between turns goes into its owner's standing
session, with the place in its spool, so that a hub that is killed loses nothing and says nothing twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING

from rhetor.domain.event import (
    AgentRecord,
    OutputDelta,
    OutputPartial,
    PeerStatusChanged,
    UsageReported,
)
from rhetor.domain.output import Output, Record, Remembered, Spooled, Text, Usage
from rhetor.domain.program import Exit
from rhetor.drivers.base import RunningProgram
from rhetor.errors import RhetorError
from rhetor.hub.active import ProgramInstance
from rhetor.hub.catalog.programs import HUB_STREAM, ProgramRow, end_event, memory_row
from rhetor.hub.core.commits import commit_until_accepted
from rhetor.store.base import Draft, SourceOffset

if TYPE_CHECKING:
    from rhetor.hub.state import State

log = logging.getLogger(__name__)


def take(state: State, entry: ProgramRow, running: RunningProgram) -> ProgramInstance:
    """Give a program that runs its seat, and begin to hear it."""
    instance = state.instances[entry.key] = ProgramInstance(entry, running)
    name = entry.peer.name
    instance.tasks = [
        state.background.start(_hear(state, instance), f"hear {name}"),
        state.background.start(_report(state, instance), f"report {name}"),
    ]
    state.notifier.notify()
    return instance


def noticed(state: State, running: RunningProgram) -> None:
    """A program's condition is another one."""
    for instance in state.instances.values():
        if instance.running is running:
            instance.changed.set()
    state.notifier.notify()


def instances_of(state: State, peer: str) -> list[ProgramInstance]:
    """The seats of a peer: one, or one for each of its conversations."""
    return [instance for instance in state.instances.values() if instance.peer.name == peer]


def reports(state: State) -> dict[str, dict[str, float]]:
    """What the programs that run say they are good at, by peer; of several of a peer the last one counts."""
    found: dict[str, dict[str, float]] = {}
    for instance in state.instances.values():
        if said := instance.running.capabilities:
            found.setdefault(instance.peer.name, {}).update(said)
    return found


def acknowledge(state: State, sources: Sequence[SourceOffset]) -> None:
    """Tell hosts what of their spools is in the log, so that they need not keep it."""
    for instance in state.instances.values():
        offset = instance.stored(sources)
        if offset is not None:
            state.background.start(instance.running.acknowledge(offset), f"stored {instance.peer.name}")


def release(state: State) -> None:
    """The hub is about to end: programs whose turns do not go on under the next one finish them alone."""
    for instance in state.instances.values():
        if not state.program_drivers[instance.peer.driver].continues:
            instance.running.release()


async def let_go(state: State) -> None:
    """Stop hearing the programs; they go on, and the next hub finds them."""
    for instance in list(state.instances.values()):
        for task in instance.tasks:
            task.cancel()
        await asyncio.gather(*instance.tasks, return_exceptions=True)
        await instance.running.aclose()
    state.instances.clear()


async def _hear(state: State, instance: ProgramInstance) -> None:
    line = ""
    try:
        async with aclosing(instance.running.unprompted()) as said:
            async for spooled in said:
                line = _last_line(line, spooled)
                await _keep(state, instance, spooled)
    except asyncio.CancelledError:
        raise
    except Exception:  # whatever a driver makes of a program: it must not end the hub
        log.exception("a program cannot be heard", extra={"peer": instance.peer.name})
        await instance.running.end()  # nobody would know of it any more
    await _leave(state, instance, line)


async def _keep(state: State, instance: ProgramInstance, spooled: Spooled) -> None:
    drafts = [draft for output in spooled.outputs if (draft := _draft(instance, output))]
    kept = [o.memory for o in spooled.outputs if isinstance(o, Remembered)]
    rows = [memory_row(instance.entry.key, memory, state.ids.now()) for memory in kept[-1:]]
    if drafts or rows:
        sources = [SourceOffset(spooled.source, spooled.offset)]
        await commit_until_accepted(state.store, instance.entry.session_id, drafts, rows, sources)
    if spooled.source == instance.running.source:
        await instance.running.acknowledge(spooled.offset)


async def _leave(state: State, instance: ProgramInstance, line: str) -> None:
    """The program has ended, or was lost: told in its session and to all, then its host's things go."""
    ended = instance.running.ended or Exit(lost="it could not be heard any more")
    name = instance.peer.name
    end = end_event(name, ended)
    partial = [Draft(OutputPartial(line))] if line else []
    rows = [instance.entry.ended(ended)]
    await commit_until_accepted(state.store, instance.entry.session_id, [*partial, Draft(end)], rows)
    await commit_until_accepted(state.store, HUB_STREAM, [Draft(end), Draft(_gone(name, ended))])
    if state.instances.get(instance.entry.key) is instance:
        del state.instances[instance.entry.key]
        state.gone[name] = (ended, state.ids.now())
    await instance.running.aclose()
    forget(state, instance.entry)
    instance.left.set()
    instance.changed.set()
    state.notifier.notify()


def forget(state: State, entry: ProgramRow) -> None:
    """Remove what the host of a program that has ended left behind."""
    try:
        state.program_drivers[entry.peer.driver].forget(entry.host_id)
    except RhetorError as error:  # its folder stays; that is no reason to end with it
        log.warning("a host is not forgotten", extra={"peer": entry.peer.name, "why": error.detail})


async def _report(state: State, instance: ProgramInstance) -> None:
    """Each change of status is an event for all; the first one is that it runs."""
    told = None
    while not instance.left.is_set():
        instance.changed.clear()
        status = instance.status
        if status.state not in (told, "gone"):  # that it is gone is told with its end
            told = status.state
            change = PeerStatusChanged(instance.peer.name, status.state, status.evidence)
            await commit_until_accepted(state.store, HUB_STREAM, [Draft(change)])
            state.notifier.notify()
        await instance.changed.wait()


def _gone(peer: str, ended: Exit) -> PeerStatusChanged:
    return PeerStatusChanged(peer, "gone", ended.detail)


def _draft(instance: ProgramInstance, output: Output) -> Draft | None:
    match output:
        case Text(text, channel) if text:
            return Draft(OutputDelta(text, channel))
        case Record(record, raw):
            return Draft(AgentRecord(record, raw, "base64" if raw is not None else None))
        case Usage(model, taken, given, cached, cost):
            turn_id, instance.given_up = instance.given_up, None
            return Draft(UsageReported(model, taken, given, cached, cost), turn_id)
    return None


def _last_line(line: str, spooled: Spooled) -> str:
    """What the program has said of a line that is not whole yet."""
    for output in spooled.outputs:
        if isinstance(output, Text) and output.channel == "answer":
            line = (line + output.text).rpartition("\n")[2][-4096:]
    return line
