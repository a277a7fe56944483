"""Runs begin at their times, each once, whatever happens to the clock and to the hub."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.rhetor.hub.schedules.scheduling import Clock, answers, dues, lines, millis, planned

from rhetor.domain import event as ev
from rhetor.domain.command import PauseSession, ResumeSession, StopSession
from rhetor.domain.output import Done, Text
from rhetor.domain.rule_commands import PauseSchedule, RemoveSchedule, ResumeSchedule
from rhetor.domain.schedule import LastDue
from rhetor.errors import StoreRefused
from rhetor.hub.catalog.schedules import DUE, DUE_RUN
from rhetor.hub.recovery import Restore, note_restore
from rhetor.hub.schedules.runs import session_for
from rhetor.store.base import Row
from rhetor.store.memory import MemoryStore
from rhetor.store.sqlite.store import SqliteStore

pytestmark = pytest.mark.anyio


async def test_a_line_runs_at_its_times_and_its_answers_are_in_the_session_with_the_schedules_name() -> None:
    async with planned() as hub:
        schedule = await hub.add("apollo good morning")
        assert schedule.due == millis("2026-11-30T08:00:00")
        await hub.set("2026-11-30T08:00:00")
        await hub.until(schedule.session_id, ev.TurnCompleted)
        assert hub.of().due == millis("2026-12-01T08:00:00")
        await hub.set("2026-12-01T08:00:01")
        payloads = await hub.until(schedule.session_id, ev.TurnCompleted, 2)
        assert dues(payloads) == ["11-30T08:00", "12-01T08:00"]
        assert lines(payloads) == ["apollo good morning"] * 2
        assert answers(payloads) == ["apollo heard: good morning"] * 2
        found = await hub.home.store.find("session", owner="me", name="morning")
        assert [row.id for row in found] == [schedule.session_id]
        accepted = next(each for each in payloads if isinstance(each, ev.MessageAccepted))
        assert accepted.from_ == "schedule morning"
        assert await hub.home.store.find(DUE_RUN) == []


async def test_nothing_runs_before_its_time_and_the_timer_needs_no_clock_check() -> None:
    async with planned(clock=Clock("2026-11-30T07:59:59.900")) as hub:
        schedule = await hub.add("apollo hi")
        assert dues(await hub.payloads(schedule.session_id)) == []
        hub.clock.now += 100  # the timer of 0.1 s fires by itself
        assert answers(await hub.until(schedule.session_id, ev.TurnCompleted)) == ["apollo heard: hi"]


async def test_the_hub_notices_by_itself_that_the_machine_was_suspended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("rhetor.hub.opening.EXPIRY_SECONDS", 0.01)
    async with planned() as hub:
        schedule = await hub.add("apollo hi")
        hub.clock.now = millis("2026-11-30T09:30:00")  # the timer of a minute did not run meanwhile
        assert dues(await hub.until(schedule.session_id, ev.TurnCompleted)) == ["11-30T08:00"]


async def test_all_missed_times_have_one_run_together_when_the_hub_starts() -> None:
    store = MemoryStore(clock=lambda: 1)
    async with planned(store=store) as hub:
        session = (await hub.add("apollo hi")).session_id
    async with planned(store=store, clock=Clock("2026-12-04T10:00:00")) as hub:
        payloads = await hub.until(session, ev.TurnCompleted)
        assert dues(payloads) == ["12-04T08:00"]
        assert hub.of().due == millis("2026-12-05T08:00:00")
    async with planned(store=store, clock=Clock("2026-12-04T10:00:01")) as hub:
        assert dues(await hub.payloads(session)) == ["12-04T08:00"]


async def test_after_the_restore_of_a_backup_no_missed_time_is_run() -> None:
    store = MemoryStore(clock=lambda: 1)
    async with planned(store=store) as hub:
        session = (await hub.add("apollo hi")).session_id
    await note_restore(store, Restore("me", 1, 1))
    for _ in range(2):  # and not by the hub after that
        async with planned(store=store, clock=Clock("2026-12-04T10:00:00")) as hub:
            assert hub.of().due == millis("2026-12-05T08:00:00")
            await asyncio.sleep(0.02)
            assert dues(await hub.payloads(session)) == []


@pytest.mark.parametrize("ahead", ["2026-12-01T08:00:30", "2027-12-01T12:00:00"])
async def test_a_clock_that_is_set_ahead_and_back_runs_no_time_twice_and_stops_nothing(ahead: str) -> None:
    async with planned() as hub:
        schedule = await hub.add("apollo hi")
        await hub.set("2026-11-30T08:00:00")
        await hub.until(schedule.session_id, ev.TurnCompleted)
        await hub.set(ahead)
        await hub.until(schedule.session_id, ev.TurnCompleted, 2)
        await hub.set("2026-11-30T08:00:30")  # the time was wrong
        assert hub.of().due == millis("2026-12-01T08:00:00")
        await hub.set("2026-11-30T07:59:50")
        assert hub.of().due == millis("2026-11-30T08:00:00")
        await hub.set("2026-11-30T08:00:00")
        payloads = await hub.until(schedule.session_id, ev.ScheduleSkipped)
        assert [each.code for each in payloads if isinstance(each, ev.ScheduleSkipped)] == ["repeated"]
        await hub.set("2026-12-02T08:00:00")
        payloads = await hub.until(schedule.session_id, ev.TurnCompleted, 3)
        assert len(answers(payloads)) == len(lines(payloads)) == 3


async def test_a_hub_that_was_stopped_with_its_clock_ahead_finds_the_next_time_again() -> None:
    store = MemoryStore(clock=lambda: 1)
    async with planned(store=store, clock=Clock("2031-01-01T00:00:00")) as hub:
        await hub.add("apollo hi")
    async with planned(store=store) as hub:
        assert hub.of().due == millis("2026-11-30T08:00:00")


async def test_a_run_that_would_overlap_is_skipped_and_the_log_says_so() -> None:
    gate = asyncio.Event()
    async with planned([gate, Text("slow"), Done()]) as hub:
        schedule = await hub.add("apollo hi", "* * * * *")
        await hub.set("2026-11-30T08:00:00")
        await hub.until(schedule.session_id, ev.StepStarted)
        await hub.set("2026-11-30T08:01:00")
        payloads = await hub.until(schedule.session_id, ev.ScheduleSkipped)
        skipped = payloads[-1]
        assert isinstance(skipped, ev.ScheduleSkipped)
        assert (skipped.due_at, skipped.code) == ("2026-11-30T08:01:00.000Z", "overlap")
        assert hub.of().last == LastDue(millis("2026-11-30T08:01:00"), skipped="overlap")
        gate.set()
        await hub.until(schedule.session_id, ev.TurnCompleted)
        await hub.set("2026-11-30T08:02:00")
        payloads = await hub.until(schedule.session_id, ev.TurnCompleted, 2)
        assert dues(payloads) == ["11-30T08:00", "11-30T08:02"]


async def test_runs_that_overlap_wait_in_order_and_ten_of_them_at_most() -> None:
    gate = asyncio.Event()
    async with planned([gate, Text("slow"), Done()]) as hub:
        schedule = await hub.add("apollo hi", "* * * * *", overlap="queue")
        for minute in range(12):
            await hub.set(f"2026-11-30T08:{minute:02d}:00")
            kind = ev.ScheduleDue if minute <= 10 else ev.ScheduleSkipped
            await hub.until(schedule.session_id, kind, minute + 1 if minute <= 10 else 1)
            if minute <= 10:
                await hub.until(schedule.session_id, ev.MessageAccepted, minute + 1)
        gate.set()
        payloads = await hub.until(schedule.session_id, ev.TurnCompleted, 11)
        assert dues(payloads) == [f"11-30T08:{minute:02d}" for minute in range(11)]
        assert [each.code for each in payloads if isinstance(each, ev.ScheduleSkipped)] == ["queue_full"]


async def test_a_paused_schedule_does_not_run_and_continues_with_its_next_time() -> None:
    async with planned() as hub:
        schedule = await hub.add("apollo hi")
        await hub.home.execute(PauseSchedule("morning"))
        assert hub.state.schedules.waiting == 0
        await hub.set("2026-12-02T09:00:00")
        await hub.home.execute(ResumeSchedule("morning"))
        assert hub.of().due == millis("2026-12-03T08:00:00")
        await hub.set("2026-12-03T08:00:00")
        payloads = await hub.until(schedule.session_id, ev.TurnCompleted)
        assert dues(payloads) == ["12-03T08:00"]
        changes = [(each.change, each.next_at) for each in payloads if isinstance(each, ev.ScheduleChanged)]
        assert changes == [
            ("added", "2026-11-30T08:00:00.000Z"),
            ("paused", None),
            ("resumed", "2026-12-03T08:00:00.000Z"),
        ]


async def test_a_run_continues_if_its_schedule_is_removed_and_those_that_wait_do_not_begin() -> None:
    gate = asyncio.Event()
    async with planned([gate, Text("slow"), Done()]) as hub:
        schedule = await hub.add("apollo hi", "* * * * *", overlap="queue")
        for minute in range(2):
            await hub.set(f"2026-11-30T08:0{minute}:00")
            await hub.until(schedule.session_id, ev.MessageAccepted, minute + 1)
        await hub.home.execute(RemoveSchedule("morning"))
        again = await hub.add("apollo another line", "0 9 * * *")
        assert again.session_id == schedule.session_id
        gate.set()
        payloads = await hub.until(schedule.session_id, ev.TurnFailed)
        assert answers(payloads) == ["slow"]
        assert [each.code for each in payloads if isinstance(each, ev.TurnFailed)] == ["not_found"]


async def test_a_session_that_was_ended_is_replaced_by_another_one_with_its_name() -> None:
    async with planned() as hub:
        schedule = await hub.add("apollo hi")
        await hub.home.execute(StopSession(schedule.session_id))
        await hub.set("2026-11-30T08:00:00")
        while (session := hub.of().session_id) == schedule.session_id:
            await hub.state.schedules.changed.next().wait()
        assert answers(await hub.until(session, ev.TurnCompleted)) == ["apollo heard: hi"]
        assert (await hub.home.store.find("session", owner="me", name="morning"))[0].id == session


async def test_runs_wait_while_their_session_is_paused() -> None:
    async with planned() as hub:
        session = (await hub.add("apollo hi", overlap="queue")).session_id
        await hub.home.execute(PauseSession(session))
        await hub.set("2026-11-30T08:00:00")
        assert lines(await hub.until(session, ev.TurnQueued)) == ["apollo hi"]
        await hub.home.execute(ResumeSession(session))
        assert answers(await hub.until(session, ev.TurnCompleted)) == ["apollo heard: hi"]


class Photographed(SqliteStore):
    """A store that copies its files after each commit: what a hub that is killed there leaves behind."""

    folder: Path
    taken = 0

    async def commit(self, stream: str, *args: Any, **fields: Any) -> Any:
        committed = await super().commit(stream, *args, **fields)
        if self.taken >= 0:
            copy = self.folder / f"copy{self.taken}"
            copy.mkdir()
            for file in self.folder.glob("hub.db*"):
                shutil.copy(file, copy / file.name)
            self.taken += 1
        return committed


@pytest.mark.long
async def test_a_hub_that_is_killed_after_any_commit_runs_each_due_time_once(tmp_path: Path) -> None:
    store = await Photographed.open(tmp_path / "hub.db", clock=lambda: 1)
    assert isinstance(store, Photographed)
    store.folder, store.taken = tmp_path, -1
    async with planned(store=store) as hub:
        session = (await hub.add("apollo hi", overlap="queue")).session_id
        store.taken = 0
        await hub.set("2026-11-30T08:00:00")
        await hub.until(session, ev.TurnCompleted)
        taken, store.taken = store.taken, -1
    await store.aclose()
    assert taken >= 4
    for number in range(taken):
        again = await SqliteStore.open(tmp_path / f"copy{number}" / "hub.db", clock=lambda: 1)
        async with planned(store=again, clock=Clock("2026-11-30T08:00:30")) as hub:
            await hub.until(session, ev.TurnCompleted | ev.TurnInterrupted)
            await hub.set("2026-11-30T08:00:40")
            payloads = await hub.payloads(session)
            assert (dues(payloads), len(lines(payloads))) == (["11-30T08:00"], 1), number
            ends = [each for each in payloads if isinstance(each, ev.TurnCompleted | ev.TurnInterrupted)]
            assert len(ends) == 1, number
        await again.aclose()


class Refusing(MemoryStore):
    """A store that rejects so many commits."""

    left = 0
    of = ""  # this stream only

    async def commit(self, stream: str, *args: Any, **fields: Any) -> Any:
        if self.left and self.of in stream:
            self.left -= 1
            raise StoreRefused("the disk is full")
        return await super().commit(stream, *args, **fields)


async def test_a_run_waits_until_the_store_accepts_it() -> None:
    store = Refusing(clock=lambda: 1)
    async with planned(store=store) as hub:
        session = (await hub.add("apollo hi")).session_id
        store.left = 3
        await hub.set("2026-11-30T08:00:00")
        payloads = await hub.until(session, ev.TurnCompleted)
        assert (dues(payloads), answers(payloads)) == (["11-30T08:00"], ["apollo heard: hi"])


async def test_a_run_of_an_earlier_hub_that_cannot_be_dropped_does_not_stop_the_others() -> None:
    store = Refusing(clock=lambda: 1)
    async with planned(store=store) as hub:
        await hub.add("apollo hi")
        left = Row(DUE_RUN, "c_removed/1", DUE, b"{}", "me", "c_removed")
        await store.commit("hub", [], rows=[left])
    store.left, store.of = 1, "c_removed"
    async with planned(store=store) as hub:
        await hub.set("2026-11-30T08:00:00")
        session = hub.of().session_id
        assert answers(await hub.until(session, ev.TurnCompleted)) == ["apollo heard: hi"]
        assert store.left == 0


async def test_a_schedule_that_cannot_begin_does_not_delay_the_others(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = session_for

    async def broken(state: Any, owner: str, name: str, session_id: str = "") -> Any:
        if name == "bad":
            raise RuntimeError("a bug")
        return await real(state, owner, name, session_id)

    async with planned() as hub:
        await hub.add("apollo hi", name="bad")
        good = await hub.add("athena hi", name="good")
        monkeypatch.setattr("rhetor.hub.schedules.scheduler.session_for", broken)
        await hub.set("2026-11-30T08:00:00")
        assert answers(await hub.until(good.session_id, ev.TurnCompleted)) == ["athena heard: hi"]
        assert hub.of("bad").due == millis("2026-11-30T08:00:00")
        assert "beginning a scheduled run failed" in caplog.text
