"""Delivers notifications: each recipient has a task of its own, so that a slow one delays no other.

A notification that was not delivered is tried again with the same id, at most `MOST_ATTEMPTS` times and for
`MOST_AGE`. The outcome of each attempt is an event in the hub's stream.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from msgspec import UNSET

from rhetor.background import stop
from rhetor.domain.event import NotificationFailed, NotificationSent
from rhetor.domain.notification import NotDelivered, Recipient, short
from rhetor.drivers.base import Sender
from rhetor.errors import NotFound, StateConflict, StoreRefused
from rhetor.hub.catalog.notifications import DUE, KIND, MOST_WAITING, Outgoing, later
from rhetor.hub.catalog.programs import HUB_STREAM
from rhetor.hub.core.commits import until_accepted
from rhetor.store.base import Draft, Row

if TYPE_CHECKING:
    from rhetor.hub.state import State

FIRST_PAUSE, FACTOR, LONGEST_PAUSE = 1_000, 4, 3_600_000  # milliseconds between attempts
MOST_ATTEMPTS = 12
MOST_AGE = 86_400_000  # milliseconds, after which a notification is of no use
TICK_SECONDS = 60.0  # timers do not count the time in which a machine is suspended
RETRY_SECONDS = 1.0
LOOK_SECONDS = 2.0  # between looks for what other nodes have to send
DRAIN_SECONDS = 2.0
log = logging.getLogger(__name__)


class Tried(NamedTuple):
    """The result of an attempt: why it failed, or "" if it did not. `seconds`: how long it took."""

    recipient: Recipient
    seconds: float
    detail: str = ""
    hint: str = ""


class Standing(NamedTuple):
    """A recipient. `waiting`: how many notifications wait for it; `failing`: for how many of them an attempt
    has failed; `detail`: why nothing can be delivered, or why the last attempt failed; "" if all is well.
    `hint`: what to do, if that is known."""

    recipient: Recipient
    waiting: int
    failing: int
    detail: str
    hint: str


async def deliver(state: State) -> None:
    """Deliver notifications for as long as the hub runs, also those of earlier hubs. If several nodes share
    the store, the lead delivers those of all."""
    state.nodes.on_change(state.notifications.changed.notify)
    tasks: dict[str, tuple[Sender, asyncio.Task[None]]] = {}
    try:
        while True:
            changed = state.notifications.reconfigured.next()
            senders = {sender.recipient.name: sender for sender in state.notifications.senders}
            ended = [name for name, (sender, _) in tasks.items() if senders.get(name) != sender]
            await stop(*(tasks.pop(name)[1] for name in ended))
            for name in ended:
                state.notifications.outcomes.pop(name, None)
            for name in senders.keys() - tasks.keys():
                work = _deliver_to(state, senders[name])
                tasks[name] = senders[name], state.background.start(work, f"notify {name}")
            if state.nodes.leads:
                await _persist(state, _give_up_removed)
            await changed.wait()
    finally:
        await stop(*(task for _, task in tasks.values()))


async def drain(state: State) -> None:
    """Wait for the attempts that are due now, because the next hub may start much later; at most for
    `DRAIN_SECONDS`."""
    with suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_SECONDS):
            while state.notifications.is_busy:
                await state.notifications.settled.next().wait()


async def test(state: State, name: str | None = None) -> Sequence[Tried]:
    """Send a test to the recipient of this name, or to all, once. The outcomes are in the log.

    Raises:
        NotFound: there is no such recipient.
    """
    senders = [each for each in state.notifications.senders if name in (None, each.recipient.name)]
    if name is not None and not senders:
        raise NotFound("recipient of notifications", name)
    return await asyncio.gather(*(_test(state, sender) for sender in senders))


async def standings(state: State) -> Sequence[Standing]:
    """Return all recipients, with what waits for them."""
    found = []
    for sender in state.notifications.senders:
        rows = await state.store.find(KIND, state=DUE, parent=sender.recipient.name, limit=MOST_WAITING)
        tried = [outgoing for outgoing in map(Outgoing.of, rows) if outgoing.attempts]
        detail = state.notifications.outcomes.get(sender.recipient.name)
        if detail is None and tried:  # no attempt yet under this hub
            detail = max(tried, key=lambda outgoing: outgoing.due).detail
        if fault := sender.fault():
            detail = fault.detail
        hint = fault.hint if fault else ""
        found.append(Standing(sender.recipient, len(rows), len(tried), detail or "", hint))
    return found


async def _test(state: State, sender: Sender) -> Tried:
    outgoing = state.notifications.test(sender.recipient)
    tried = await _try(state, sender, outgoing)
    event = outgoing.failed(tried.detail, tried.hint) if tried.detail else _sent(outgoing)
    await state.store.commit(HUB_STREAM, [Draft(event)])
    return tried


async def _deliver_to(state: State, sender: Sender) -> None:
    name, notifications = sender.recipient.name, state.notifications
    while True:
        changed = notifications.changed.next()
        try:
            rows = await state.store.find(KIND, state=DUE, parent=name, limit=MOST_WAITING)
            notifications.found(name, (row.id for row in rows))
            await _log_refused(state, name)
            left = await _deliver_due(state, sender, rows, changed) if state.nodes.leads else TICK_SECONDS
            if state.nodes.own:
                left = min(left, LOOK_SECONDS)
        except StoreRefused as refusal:
            extra = {"to": name, "reason": refusal.detail}
            log.warning("delivering notifications failed; retrying", extra=extra)
            left = RETRY_SECONDS
        except Exception:  # a bug must not end the deliveries
            log.exception("delivering notifications failed", extra={"to": name})
            left = TICK_SECONDS
        if left > 0:
            await _wait(changed, left)


async def _deliver_due(state: State, sender: Sender, rows: Sequence[Row], changed: asyncio.Event) -> float:
    """Try what is due, and return the seconds until the rows are to be read again. What was not tried before
    comes first, because the recipient may reject what has failed."""
    waiting = sorted(((Outgoing.of(row), row) for row in rows), key=_order)
    is_tried = False
    for outgoing, row in waiting:
        if changed.is_set() or not state.nodes.leads:
            return 0.0
        if outgoing.due <= state.ids.now():
            with state.notifications.busy():
                await _deliver(state, sender, outgoing, row)
            is_tried = True
    if is_tried or not waiting:
        return 0.0 if is_tried else TICK_SECONDS
    left = min(outgoing.due for outgoing, _ in waiting) - state.ids.now()
    return min(left / 1000, TICK_SECONDS)


def _order(each: tuple[Outgoing, Row]) -> tuple[int, int]:
    return each[0].attempts, each[0].at


async def _deliver(state: State, sender: Sender, outgoing: Outgoing, row: Row) -> None:
    """Try to deliver a notification, and commit the outcome."""
    if state.ids.now() - outgoing.at > MOST_AGE:
        await _end(state, row, outgoing.failed("it was not delivered within a day"))
        return
    tried = await _try(state, sender, outgoing)
    if not tried.detail:
        await _end(state, row, _sent(outgoing))
    elif outgoing.attempts + 1 >= MOST_ATTEMPTS:
        await _end(state, row, outgoing.failed(tried.detail, tried.hint))
    else:
        due = state.ids.now() + min(FIRST_PAUSE * FACTOR**outgoing.attempts, LONGEST_PAUSE)
        event = outgoing.failed(tried.detail, tried.hint, due)
        await _commit(state, row, event, [later(outgoing, due, tried.detail).row()])


async def _try(state: State, sender: Sender, outgoing: Outgoing) -> Tried:
    loop, recipient = asyncio.get_running_loop(), sender.recipient
    began = loop.time()
    detail = hint = ""
    try:
        await sender.send(outgoing.notification)
    except NotDelivered as failure:
        detail, hint = failure.detail, failure.hint
    except Exception as error:  # a bug in a sender fails only the attempt
        log.exception("sending a notification failed", extra={"to": recipient.name})
        detail = f"{type(error).__name__}: {error}"
    detail = state.notifications.outcomes[recipient.name] = short(state.secrets.mask_shown(detail))
    if detail:
        extra = {"to": recipient.name, "notification": outgoing.id, "reason": detail}
        log.warning("notification not delivered", extra=extra)
    return Tried(recipient, loop.time() - began, detail, hint)


def _sent(outgoing: Outgoing) -> NotificationSent:
    told = outgoing.notification
    return NotificationSent(
        told.id,
        outgoing.recipient,
        told.type,
        outgoing.attempts + 1,
        told.session_id or UNSET,
        told.plan_id or UNSET,
        told.turn_id or UNSET,
    )


async def _end(state: State, row: Row, event: NotificationSent | NotificationFailed) -> None:
    await _commit(state, row, event, drop=True)


async def _commit(
    state: State,
    row: Row,
    event: NotificationSent | NotificationFailed,
    rows: Sequence[Row] = (),
    *,
    drop: bool = False,
) -> None:
    dropped = [(row.kind, row.id)] if drop else []

    async def attempt() -> None:
        await state.store.commit(HUB_STREAM, [Draft(event)], expects=[row.unchanged], rows=rows, drop=dropped)

    try:
        await until_accepted(attempt, HUB_STREAM)
        if drop:
            state.notifications.ended(row.parent)
    except StateConflict:  # it was committed, although the store could not say so
        log.warning("notification changed in the meantime", extra={"notification": row.id})


async def _give_up_removed(state: State) -> None:
    """Give up what waits for recipients that the configuration no longer has."""
    known = {sender.recipient.name for sender in state.notifications.senders}
    for row in await state.store.find(KIND, state=DUE, limit=100_000):
        if row.parent not in known:
            outgoing = Outgoing.of(row)
            await _end(state, row, outgoing.failed("the recipient is no longer in the configuration"))


async def _log_refused(state: State, name: str) -> None:
    """Log what was given up because too much waits."""
    refused = state.notifications.refused
    own = [outgoing for outgoing in refused if outgoing.recipient == name]
    if own:
        detail = f"{MOST_WAITING:,} notifications wait for this recipient already"
        await state.store.commit(HUB_STREAM, [Draft(outgoing.failed(detail)) for outgoing in own])
        state.notifications.refused = [each for each in state.notifications.refused if each not in own]


async def _persist(state: State, work: Callable[[State], Awaitable[None]]) -> None:
    await until_accepted(lambda: work(state), HUB_STREAM)


async def _wait(changed: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await changed.wait()
