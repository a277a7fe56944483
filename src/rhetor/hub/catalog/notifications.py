"""Notifications that are not delivered yet, as catalog rows, and the recipients that they are for.

A row is committed together with the event that it is about, and dropped in the commit that logs its last
attempt. So a hub that was killed leaves each notification to the next one, with the same id.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from rhetor.domain.event import BudgetReached, NotificationFailed, Payload, PermissionAsked, QuotaPaused
from rhetor.domain.notification import TEST, Notice, Notification, Recipient, notice_of, short
from rhetor.domain.secrets import Secrets
from rhetor.domain.timestamps import timestamp
from rhetor.drivers.base import Sender
from rhetor.hub.core.ids import Ids
from rhetor.hub.core.notifier import Notifier
from rhetor.store.base import Row

KIND, DUE = "notification", "due"
MOST_WAITING = 1000  # for one recipient; further ones are given up
_UNCOMMITTED_SECONDS = 60  # after which a row that was made and not found does not count any more
log = logging.getLogger(__name__)


class Place(msgspec.Struct, frozen=True):
    """Where an event happened, and whose it is. `stream`: the id of a session or a plan."""

    owner: str
    peer: str
    stream: str = ""
    turn_id: str | None = None


class Outgoing(msgspec.Struct, frozen=True):
    """A notification for one recipient. `attempts`: how many have failed. `at`: since when it waits; `due`:
    when the next attempt follows, both as Unix time in milliseconds. `detail`: why the last one failed."""

    notification: Notification
    recipient: str
    at: int
    due: int
    attempts: int = 0
    detail: str = ""

    @property
    def id(self) -> str:
        return self.notification.id

    def row(self) -> Row:
        """Return the catalog row."""
        return Row(KIND, self.id, DUE, msgspec.json.encode(self), parent=self.recipient, at=self.at)

    @classmethod
    def of(cls, row: Row) -> Outgoing:
        """Decode a catalog row."""
        return msgspec.json.decode(row.doc, type=cls)

    def failed(self, detail: str, hint: str = "", retry_at: int | None = None) -> NotificationFailed:
        """Return the event for a failed attempt."""
        told = self.notification
        return NotificationFailed(
            told.id,
            self.recipient,
            told.type,
            self.attempts + 1,
            detail,
            None if retry_at is None else timestamp(retry_at),
            hint or UNSET,
            told.session_id or UNSET,
            told.plan_id or UNSET,
            told.turn_id or UNSET,
        )


class Notifications:
    """The recipients of notifications, and what was made for them. It is false without recipients.

    Only events of `owner`, the owner of the hub, are notified, and those of programs that `person` says it
    answers for. `changed` fires when a row was committed, `reconfigured` when there are other recipients, and
    `settled` when an attempt has ended. `refused`: what was given up because too much waits, until it is in
    the log. `outcomes`: why the last attempt failed, by recipient; "" if it did not.
    """

    def __init__(self, ids: Ids, secrets: Secrets, owner: str = "") -> None:
        self.owner = owner
        self.person: Callable[[str], str] = lambda subject: subject
        self.senders: Sequence[Sender] = ()
        self.changed = Notifier()
        self.reconfigured = Notifier()
        self.settled = Notifier()
        self.refused: list[Outgoing] = []
        self._ids = ids
        self._secrets = secrets
        self._sending = 0
        self.outcomes: dict[str, str] = {}
        self._found: dict[str, int] = {}
        self._made: dict[str, Outgoing] = {}

    def __bool__(self) -> bool:
        return bool(self.senders)

    @property
    def is_busy(self) -> bool:
        """Whether something is being sent, or was made and not found yet."""
        return bool(self._sending or self._made)

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Count an attempt as in progress while the context is open."""
        self._sending += 1
        try:
            yield
        finally:
            self._sending -= 1
            self.settled.notify()

    def configure(self, senders: Iterable[Sender]) -> None:
        """Notify these recipients from now on."""
        self.senders = tuple(senders)
        self.reconfigured.notify()

    def rows(self, payloads: Sequence[Payload], place: Place) -> list[Row]:
        """Return the rows to commit with these events. Call `wake` after the commit."""
        noted = [(payload, notice) for payload in payloads if (notice := notice_of(payload, place.peer))]
        if not noted or self.person(place.owner) != self.owner:
            return []
        rows = []
        for sender in self.senders:
            is_paused = False
            for payload, notice in noted:
                # a pause has a permission request, too, of which the recipient need not be told besides
                if not sender.recipient.wants(notice) or (is_paused and isinstance(payload, PermissionAsked)):
                    continue
                is_paused |= _pauses(payload)
                rows += self._row(sender.recipient, notice, place)
        return rows

    def outgoing(self, recipient: Recipient, notice: Notice, place: Place) -> Outgoing:
        """Return a new notification."""
        now, is_plan = self._ids.now(), place.stream.startswith("p_")
        notification = Notification(
            self._ids.new("n"),
            notice.about,
            timestamp(now),
            short(self._secrets.mask_shown(notice.text)),
            place.peer or None,
            None if is_plan else place.stream or None,
            place.stream if is_plan else None,
            place.turn_id,
            notice.data,
        )
        return Outgoing(notification, recipient.name, now, now)

    def test(self, recipient: Recipient) -> Outgoing:
        """Return the notification that tests a recipient."""
        return self.outgoing(
            recipient, Notice(TEST, "This is a test of the notifications of rhetor", {}), Place("", "")
        )

    def wake(self) -> None:
        """Deliver what was made. Call it after the commit of its rows."""
        if self._made or self.refused:
            self.changed.notify()

    def found(self, recipient: str, ids: Iterable[str]) -> None:
        """Note which notifications wait for a recipient."""
        found = set(ids)
        self._found[recipient] = len(found)
        least = self._ids.now() - _UNCOMMITTED_SECONDS * 1000
        self._made = {
            id: made
            for id, made in self._made.items()
            if made.recipient != recipient or (id not in found and made.at > least)
        }

    def ended(self, recipient: str) -> None:
        """Note that one notification less waits for a recipient."""
        self._found[recipient] = max(0, self._found.get(recipient, 0) - 1)

    def _row(self, recipient: Recipient, notice: Notice, place: Place) -> list[Row]:
        outgoing = self.outgoing(recipient, notice, place)
        made = sum(each.recipient == recipient.name for each in self._made.values())
        if self._found.get(recipient.name, 0) + made < MOST_WAITING:
            self._made[outgoing.id] = outgoing
            return [outgoing.row()]
        if len(self.refused) < MOST_WAITING:
            self.refused.append(outgoing)
        else:
            log.warning("notification given up", extra={"notification": outgoing.id, "to": recipient.name})
        return []


def _pauses(payload: Payload) -> bool:
    return isinstance(payload, QuotaPaused) or (isinstance(payload, BudgetReached) and payload.then == "ask")


def later(outgoing: Outgoing, due: int, detail: str) -> Outgoing:
    """Return the notification after a failed attempt. `due`: when the next one follows."""
    return replace(outgoing, attempts=outgoing.attempts + 1, due=due, detail=detail)
