"""Notifications: who is told of what, once, and what happens if a recipient cannot be reached."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from time import time

import pytest
from tests.rhetor.hub.house import ME, OTHER, House, house
from tests.scripted import PEERS

from rhetor.domain import event as ev
from rhetor.domain.budget import Budget
from rhetor.domain.command import AnswerPermission, SendMessage, StartPlan
from rhetor.domain.event import PermissionOption
from rhetor.domain.notification import TYPES, NotDelivered, Notification, Recipient
from rhetor.domain.output import Done, Permission, Text, Usage
from rhetor.domain.permission import Rules
from rhetor.domain.plan import Step
from rhetor.domain.quota import reset_time
from rhetor.domain.secrets import Secrets
from rhetor.errors import NotFound, ProviderFailed, RateLimited
from rhetor.hub import notifications
from rhetor.hub.catalog import notifications as catalog
from rhetor.hub.catalog.notifications import KIND, Outgoing
from rhetor.hub.catalog.requests import Request
from rhetor.hub.core.ids import Ids, wall_clock
from rhetor.hub.notifications import standings
from rhetor.hub.turns.answers import open_permissions
from rhetor.store.memory import MemoryStore

pytestmark = pytest.mark.anyio
OPTIONS = (PermissionOption("yes", "Allow", "allow_once"), PermissionOption("no", "Deny", "reject_once"))
SECRET = "sk-live-0123456789"


class Phone:
    """A recipient that fails as often as `failures` says, and keeps what it was sent."""

    def __init__(
        self, *on: str, name: str = "phone", after: float = 0, failures: Sequence[Exception] = ()
    ) -> None:
        self.recipient = Recipient(name, "webhook", frozenset(on or TYPES), after)
        self.failures = list(failures)
        self.attempts: list[str] = []
        self.got: list[Notification] = []
        self.heard = asyncio.Event()
        self.blocked: asyncio.Event | None = None

    def fault(self) -> NotDelivered | None:
        return None

    async def send(self, notification: Notification) -> None:
        self.attempts.append(notification.id)
        self.heard.set()
        if self.blocked is not None:
            await self.blocked.wait()
        if self.failures:
            raise self.failures.pop(0)
        self.got.append(notification)

    @property
    def told(self) -> list[tuple[str, str]]:
        return [(each.type, each.text) for each in self.got]

    async def attempted(self, count: int = 1) -> None:
        while len(self.attempts) < count:
            self.heard.clear()
            await self.heard.wait()


def refused(count: int) -> list[Exception]:
    return [NotDelivered("phone answered with status 500", "look at its log") for _ in range(count)]


async def outcomes(home: House, count: int) -> list[ev.NotificationSent | ev.NotificationFailed]:
    """Wait for so many outcomes in the log, and return all of them."""
    head = await home.store.head("hub")
    assert head is not None
    while True:
        found = [
            payload
            for payload in await home.log("hub")
            if isinstance(payload, ev.NotificationSent | ev.NotificationFailed)
        ]
        if len(found) >= count:
            return found
        await home.store.wait("hub", (await home.store.head("hub") or head).position)


async def waiting(home: House) -> list[Outgoing]:
    return [Outgoing.of(row) for row in await home.store.find(KIND)]


async def asked_again(home: House, before: Request) -> Request:
    while True:
        changed = home.hub.state.requests_changed.next()
        if found := [r for r in await open_permissions(home.hub.state, ME) if r.id != before.id]:
            return found[0]
        await changed.wait()


async def test_each_event_causes_one_short_notification_with_ids_and_the_outcome_is_logged() -> None:
    phone = Phone()
    failure = ProviderFailed(f"the key {SECRET} is wrong\n" + "x" * 500, retryable=False)
    answered = asyncio.Event()
    asks = [Permission("r1", "Bash", {"command": "rm -rf secret-plans"}, OPTIONS), answered, Done()]
    async with house(
        [Text("the whole answer"), Done()], [failure], asks, senders=[phone], secrets=Secrets([SECRET])
    ) as home:
        done = await home.send(target="apollo", content="a private question", context_window=4)
        await home.end_of(done)
        failed = await home.send(target="apollo", content="hi", context_window=4)
        await home.end_of(failed)
        asked = await home.send(target="apollo", content="hi", context_window=4)
        await outcomes(home, 3)
        answered.set()
        await home.end_of(asked)
        logged = await outcomes(home, 4)
        assert [each[0] for each in phone.told] == [
            *("turn.completed", "turn.failed", "permission.asked", "turn.completed")
        ]
        assert phone.got[0].text == "apollo is done after 0 s"
        assert phone.got[1].text.startswith("apollo failed (provider_failed): the key [masked] is wrong xxx")
        assert len(phone.got[1].text) == 200 and phone.got[1].text.endswith("…")
        assert phone.got[2].text == "apollo asks for permission: Bash"
        assert phone.got[2].data["request_id"] == "r1"
        assert (phone.got[1].session_id, phone.got[1].turn_id) == (failed.session_id, failed.turn_id)
        text = str(phone.got)
        for never in ("private question", "whole answer", "secret-plans", SECRET):
            assert never not in text
        assert [(each.type, each.notification_id) for each in logged] == [
            ("notification.sent", each.id) for each in phone.got
        ]
        assert len({each.id for each in phone.got}) == 4
        assert await waiting(home) == []


async def test_a_recipient_is_notified_only_of_its_types_and_of_turns_that_took_long_enough() -> None:
    failures, slow, all_of_them = (
        Phone("turn.failed"),
        Phone("turn.completed", name="slow", after=5),
        Phone(name="all"),
    )
    async with house([Done()], senders=[failures, slow, all_of_them]) as home:
        await home.end_of(await home.send(target="apollo", content="hi"))
        await outcomes(home, 1)
        assert (failures.got, slow.got, len(all_of_them.got)) == ([], [], 1)
        planned = [Step("a", "apollo", "hi")]
        await home.run_plan(StartPlan(tuple(planned)))
        await outcomes(home, 2)
        assert (all_of_them.got[1].plan_id, all_of_them.got[1].session_id) != (None, None)
        assert all_of_them.got[1].session_id is None


async def test_events_of_other_callers_and_requests_that_rules_answer_cause_no_notification() -> None:
    phone, allowed = Phone(), Rules(allow=("Bash",))
    asks = [Permission("r1", "Bash", {}, OPTIONS), Done()]
    peers = [PEERS[0].__class__("apollo", PEERS[0].kind, "scripted", permissions=allowed), *PEERS[1:]]
    async with house([Done()], asks, senders=[phone], peers=peers) as home:
        theirs = await home.hub.execute(OTHER, SendMessage(target="apollo", content="hi"))
        await home.hub.answer(theirs)
        mine = await home.send(target="apollo", content="hi")
        await home.end_of(mine)
        await outcomes(home, 1)
        assert [(each.type, each.session_id) for each in phone.got] == [("turn.completed", mine.session_id)]


async def test_a_pause_causes_one_notification_of_a_type_that_the_recipient_wants() -> None:
    limit = RateLimited("5-hour limit reached", retryable=True, resets_at=reset_time(time() + 3600))
    whole, requests = Phone(), Phone("permission.asked", name="requests")
    async with house([limit], [Done()], senders=[whole, requests]) as home:
        accepted = await home.send(target="apollo", content="hi", context_window=4)
        await home.until(accepted.session_id, accepted.after, ev.PermissionAsked)
        await outcomes(home, 2)
        assert whole.told == [("quota.paused", "apollo has reached its limit: 5-hour limit reached")]
        assert requests.told == [("permission.asked", "apollo asks for permission: quota")]
        [request] = await open_permissions(home.hub.state, ME)
        await home.execute(AnswerPermission(request.stream, request.id, "continue"))  # it asks again
        again = await asked_again(home, request)
        await home.execute(AnswerPermission(again.stream, again.id, "now"))
        await home.end_of(accepted)
        await outcomes(home, 3)
        assert [each.type for each in whole.got] == ["quota.paused", "turn.completed"]
        assert len(requests.got) == 1


async def test_budgets_are_told_at_80_percent_and_at_the_limit() -> None:
    phone = Phone("budget")
    script = [Text("ok"), Usage("m", 95, 5), Done()]
    budget = Budget("peer.apollo", None, None, 100)
    async with house(script, script, script, senders=[phone], budgets=[budget]) as home:
        await home.end_of(await home.send(target="apollo", content="hi", context_window=4))
        await outcomes(home, 1)
        paused = await home.send(target="apollo", content="hi", context_window=4)
        await outcomes(home, 2)
        assert [(each.data["then"], each.data["limit"]) for each in phone.got] == [
            ("note", "tokens_per_day"),
            ("ask", "tokens_per_day"),
        ]
        assert phone.got[0].text == "100% of tokens_per_day is used in the budget peer.apollo"
        assert phone.got[1].turn_id == paused.turn_id


async def test_a_failed_delivery_is_repeated_with_the_same_id_and_each_attempt_is_logged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(notifications, "FIRST_PAUSE", 1)
    phone, other = Phone(failures=[*refused(2), ValueError("a bug")]), Phone(name="other")
    async with house([Done()], senders=[phone, other]) as home:
        await home.end_of(await home.send(target="apollo", content="hi"))
        own = [each for each in await outcomes(home, 5) if each.to == "phone"]
        assert [each.attempt for each in own] == [1, 2, 3, 4]
        assert [each.type for each in own] == ["notification.failed"] * 3 + ["notification.sent"]
        assert isinstance(own[0], ev.NotificationFailed) and own[0].retry_at is not None
        assert (own[0].detail, own[0].hint) == ("phone answered with status 500", "look at its log")
        assert len(phone.attempts) == 4 and len(set(phone.attempts)) == 1
        assert len(other.attempts) == 1


async def test_a_notification_is_given_up_after_twelve_attempts_or_a_day(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(notifications, "FIRST_PAUSE", 0)
    phone = Phone(failures=refused(100))
    async with house([Done()], [Done()], senders=[phone]) as home:
        await home.end_of(await home.send(target="apollo", content="hi"))
        logged = await outcomes(home, 12)
        assert isinstance(logged[-1], ev.NotificationFailed)
        assert (len(logged), logged[-1].attempt, logged[-1].retry_at) == (12, 12, None)
        assert (len(phone.attempts), await waiting(home)) == (12, [])
        monkeypatch.setattr(notifications, "MOST_AGE", -1)
        await home.end_of(await home.send(target="apollo", content="hi"))
        last = (await outcomes(home, 13))[-1]
        assert isinstance(last, ev.NotificationFailed)
        assert (last.retry_at, last.detail) == (None, "it was not delivered within a day")
        assert len(phone.attempts) == 12


async def test_what_was_not_delivered_is_delivered_by_the_next_hub_with_the_same_id() -> None:
    store, phone = MemoryStore(clock=wall_clock), Phone(failures=refused(1))
    async with house([Done()], store=store, senders=[phone]) as home:
        await home.end_of(await home.send(target="apollo", content="hi"))
        await outcomes(home, 1)
        [left] = await waiting(home)
        [standing] = await standings(home.hub.state)
        assert (left.attempts, left.id) == (1, phone.attempts[0])
        assert standing[1:] == (1, 1, "phone answered with status 500", "")
    async with house(store=store, senders=[Phone()]) as home:  # it is not due yet
        assert (await standings(home.hub.state))[0].detail == "phone answered with status 500"
    later = Phone()
    an_hour_later = Ids(lambda: wall_clock() + 3_600_000)
    async with house(store=store, senders=[later], ids=an_hour_later) as home:
        logged = await outcomes(home, 2)
        assert (later.attempts, logged[-1].attempt) == ([left.id], 2)
        assert [each[1:] for each in await standings(home.hub.state)] == [(0, 0, "", "")]


async def test_what_waits_for_a_removed_recipient_is_given_up() -> None:
    store, phone = MemoryStore(clock=wall_clock), Phone(failures=refused(1))
    async with house([Done()], [Done()], store=store, senders=[phone]) as home:
        await home.end_of(await home.send(target="apollo", content="hi"))
        await outcomes(home, 1)
        other = Phone(name="other")
        home.hub.state.notifications.configure([other])
        last = (await outcomes(home, 2))[-1]
        assert isinstance(last, ev.NotificationFailed)
        assert last.detail == "the recipient is no longer in the configuration"
        await home.end_of(await home.send(target="apollo", content="hi"))
        assert (await outcomes(home, 3))[-1].to == "other"


async def test_a_recipient_that_does_not_answer_delays_neither_turns_nor_other_recipients() -> None:
    stuck, other = Phone(), Phone(name="other")
    stuck.blocked = asyncio.Event()
    async with house(*[[Done()]] * 5, senders=[stuck, other]) as home:
        for _ in range(5):
            await home.end_of(await home.send(target="apollo", content="hi"))
        await outcomes(home, 5)
        assert (len(stuck.attempts), len(other.got)) == (1, 5)
        stuck.blocked.set()
        await outcomes(home, 10)
        assert len(stuck.got) == 5


async def test_only_so_many_notifications_wait_and_the_others_are_given_up_in_the_log(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(catalog, "MOST_WAITING", 3)
    phone = Phone(failures=refused(100))
    async with house(*[[Done()]] * 5, senders=[phone]) as home:
        for _ in range(5):
            await home.end_of(await home.send(target="apollo", content="hi"))
        logged = await outcomes(home, 5)
        given_up = [each for each in logged if isinstance(each, ev.NotificationFailed) and not each.retry_at]
        assert (len(await waiting(home)), len(given_up)) == (3, 2)
        assert "wait for this recipient already" in given_up[0].detail


async def test_a_test_is_sent_once_to_each_recipient_and_its_outcome_is_logged() -> None:
    good, bad = Phone(), Phone("turn.failed", name="bad", failures=refused(1))
    async with house(senders=[good, bad]) as home:
        tried = await notifications.test(home.hub.state)
        assert [(each.recipient.name, each.detail) for each in tried] == [
            ("phone", ""),
            ("bad", "phone answered with status 500"),
        ]
        assert [each.about for each in await outcomes(home, 2)] == ["test", "test"]
        assert (await waiting(home), len(bad.attempts)) == ([], 1)
        assert len(await notifications.test(home.hub.state, "bad")) == 1
        with pytest.raises(NotFound):
            await notifications.test(home.hub.state, "nobody")


async def test_a_hub_without_recipients_stores_no_notifications() -> None:
    async with house([Permission("r1", "Bash", {}, OPTIONS), Done()]) as home:
        await home.end_of(await home.send(target="apollo", content="hi"))
        assert (await waiting(home), await notifications.test(home.hub.state)) == ([], [])
        assert not home.hub.state.notifications.is_busy
