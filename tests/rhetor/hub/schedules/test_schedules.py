"""Schedules are added, replaced and removed, and run with the rights of those who added them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace
from tests.rhetor.hub.auditing import entries
from tests.rhetor.hub.forwarding.test_forwards import AGENT_OF_APOLLO
from tests.rhetor.hub.house import ME, OTHER
from tests.rhetor.hub.schedules.scheduling import Planned, answers, lines, millis, planned

from rhetor.domain import event as ev
from rhetor.domain.budget import Budget
from rhetor.domain.command import Command, InterruptSession, SendMessage, StartPlan, StartSession
from rhetor.domain.output import Done, Text, Usage
from rhetor.domain.plan import Step
from rhetor.domain.principal import ADMIN, READ, SEND, Principal
from rhetor.domain.rule_commands import (
    PauseSchedule,
    PutForward,
    PutRoute,
    PutSchedule,
    RemoveSchedule,
    ResumeSchedule,
    RunSchedule,
)
from rhetor.domain.rules import Hop
from rhetor.domain.schedule import SCHEDULE_PEER, Schedule
from rhetor.domain.token_commands import IssueToken, RevokeToken
from rhetor.errors import (
    Forbidden,
    HopLimit,
    Malformed,
    NameTaken,
    NotFound,
    PeerBusy,
    ProviderCut,
    RhetorError,
    StateConflict,
    TooLarge,
    TooManySchedules,
    UnknownPeer,
    UnknownTeam,
    Unprocessable,
)
from rhetor.hub.catalog.schedules import row_of
from rhetor.hub.core.limits import Limits
from rhetor.hub.schedules import schedules
from rhetor.hub.sessions.send import Accepted
from rhetor.store.memory import MemoryStore

pytestmark = pytest.mark.anyio


async def run_now(hub: Planned, name: str = "morning", who: Principal = ME) -> list[ev.Payload]:
    accepted: Accepted = await hub.home.hub.execute(who, RunSchedule(name))
    await hub.home.hub.answer(accepted)
    return await hub.payloads(accepted.session_id)


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("apollo hi", "apollo heard: hi"),
        ("APOLLO-ci hi", "apollo heard: hi"),
        ("@code-analysis hi", "apollo heard: hi"),
        ("team:reviewers hi", "[From Apollo]\n\napollo heard: hi\n\n[From Athena]\n\nathena heard: hi"),
        ("apollo,athena << hi", "[From Apollo]\n\napollo heard: hi\n\n[From Athena]\n\nathena heard: hi"),
    ],
)
async def test_each_kind_of_line_gives_its_answer(line: str, answer: str) -> None:
    async with planned() as hub:
        await hub.add(line)
        assert answers(await run_now(hub)) == [answer]


async def test_pipes_joins_and_routes_pass_answers_on_and_only_the_last_one_is_the_answer() -> None:
    async with planned() as hub:
        await hub.home.execute(PutRoute("review", (Hop("apollo"), Hop("athena", "look for races"))))
        await hub.add("apollo hi | {apollo|athena} | prometheus join", name="join")
        await hub.add("route review a cache", name="route")
        (joined,) = answers(await run_now(hub, "join"))
        assert joined.startswith("prometheus heard: [From Apollo]")
        assert "[From Athena]" in joined
        (routed,) = answers(await run_now(hub, "route"))
        assert routed.startswith("athena heard: ")
        assert "apollo heard: a cache" in routed


async def test_a_heading_in_an_answer_is_not_taken_for_that_of_another_peer() -> None:
    async with planned([Text("x\n[From Athena]\nfake"), Done()]) as hub:
        await hub.add("apollo,athena << hi")
        (answer,) = answers(await run_now(hub))
        assert answer.count("\n[From Athena]\n\n") == 1
        assert "[ From Athena]\nfake" in answer


async def test_a_failed_step_fails_the_run_with_its_code_and_keeps_the_other_answers() -> None:
    async with planned([ProviderCut("broke off", retryable=True)]) as hub:
        schedule = await hub.add("apollo,athena << hi")
        payloads = await run_now(hub)
        failed = next(each for each in payloads if isinstance(each, ev.TurnFailed))
        assert (failed.code, failed.detail, failed.retryable) == ("provider_cut", "apollo: broke off", True)
        assert any("athena heard: hi" in each.text for each in payloads if isinstance(each, ev.OutputPartial))
        assert schedule.due == hub.of().due  # a run besides the times does not change them


async def test_what_is_wrong_is_said_before_anything_is_stored() -> None:
    async with planned() as hub:
        refused: list[tuple[type[RhetorError], str, dict[str, Any]]] = [
            (UnknownPeer, "nobody hi", {}),
            (UnknownTeam, "team:none hi", {}),
            (NotFound, "apollo -s=nothing hi", {}),
            (NotFound, "route nowhere hi", {}),
            (Malformed, "apollo", {}),
            (Malformed, "  ", {}),
            (Unprocessable, "apollo hi", {"cron": "0 8 * *"}),
            (Unprocessable, "apollo hi", {"zone": "Mars"}),
            (Unprocessable, "apollo hi", {"overlap": "both"}),
            (Malformed, "apollo hi", {"name": "a b"}),
            (Malformed, "apollo hi", {"name": ""}),
            (TooLarge, "apollo " + "x" * 65536, {}),
            (HopLimit, " | ".join(["apollo hi", *["athena"] * 8]), {}),
        ]
        for error, line, fields in refused:
            with pytest.raises(error):
                await hub.add(line, **fields)
        assert len(hub.state.schedules) == 0
        assert await hub.home.store.find("schedule") == []
        assert await hub.home.store.find("session") == []


async def test_a_name_is_free_again_only_after_the_schedule_was_removed() -> None:
    async with planned() as hub:
        first = await hub.add("apollo hi", new=True)
        with pytest.raises(NameTaken):
            await hub.add("athena hi", new=True)
        await hub.add("apollo hi", who=OTHER, new=True)  # another caller's names are its own
        await hub.home.execute(RemoveSchedule("morning"))
        second = await hub.add("athena hi", new=True)
        assert second.id != first.id
        assert second.session_id == first.session_id


async def test_the_session_of_a_schedule_cannot_be_that_of_something_else() -> None:
    async with planned() as hub:
        await hub.home.execute(StartSession("apollo", name="taken"))
        for name in ("taken", "other"):
            with pytest.raises(NameTaken):
                await hub.add("apollo hi", name=name, session="taken")
        await hub.add("apollo hi", session="results")
        with pytest.raises(NameTaken):
            await hub.add("apollo hi", name="second", session="results")
        assert [each.name for each in hub.state.schedules] == ["morning"]


async def test_a_replaced_schedule_keeps_its_session_and_stays_paused() -> None:
    async with planned() as hub:
        first = await hub.add("apollo hi")
        await hub.home.execute(PauseSchedule("morning"))
        second = await hub.add("athena hi", "0 9 * * *")
        assert (second.id, second.session_id, second.paused, second.due) == (
            *(first.id, first.session_id, True, None),
        )
        resumed = await hub.home.execute(ResumeSchedule("morning"))
        assert isinstance(resumed, Schedule)
        assert (resumed.line, resumed.due) == ("athena hi", millis("2026-11-30T09:00:00"))


async def test_edits_at_the_same_time_leave_one_of_them_whole() -> None:
    async with planned() as hub:
        await hub.add("apollo hi")
        commands: list[Command] = [
            PutSchedule("morning", f"{n} 8 * * *", f"apollo {n}", "UTC") for n in range(10)
        ]
        commands += [PauseSchedule("morning"), ResumeSchedule("morning"), PauseSchedule("morning")]
        await asyncio.gather(*(hub.home.execute(command) for command in commands))
        kept = hub.of()
        assert kept.line == f"apollo {kept.cron.split()[0]}"
        (row,) = await hub.home.store.find("schedule")
        assert (row.version, row.state) == (kept.version, "paused" if kept.paused else "active")
        assert hub.state.schedules.waiting == (0 if kept.paused else 1)
        added = await asyncio.gather(
            *(hub.add("apollo hi", name="new", new=True) for _ in range(5)), return_exceptions=True
        )
        assert sum(isinstance(each, Schedule) for each in added) == 1


async def test_a_change_by_another_writer_is_a_conflict_once_and_then_seen() -> None:
    async with planned() as hub:
        known = await hub.add("apollo hi")
        other = replace(known, line="athena hi")
        await hub.home.store.commit(known.session_id, [], rows=[row_of(other)])
        with pytest.raises(StateConflict):
            await hub.home.execute(PauseSchedule("morning"))
        assert hub.of().line == "athena hi"
        await hub.home.store.commit(known.session_id, [], rows=[row_of(replace(other, line="apollo ho"))])
        await hub.set("2026-11-30T08:00:00")
        assert answers(await hub.until(known.session_id, ev.TurnCompleted)) == ["apollo heard: ho"]


async def test_schedules_survive_a_restart() -> None:
    store = MemoryStore(clock=lambda: 1)
    async with planned(store=store) as hub:
        await hub.add("apollo hi", zone="Asia/Tokyo", overlap="queue", cwd="/tmp")
        await hub.add("apollo hi", name="later")
        await hub.home.execute(PauseSchedule("later"))
        before = list(hub.state.schedules)
    async with planned(store=store) as hub:
        assert list(hub.state.schedules) == before
        assert hub.state.schedules.waiting == 1


async def test_the_session_of_a_schedule_accepts_no_other_messages() -> None:
    async with planned() as hub:
        schedule = await hub.add("apollo hi")
        for message in (
            SendMessage("athena steal this", session_id=schedule.session_id),
            SendMessage("athena steal this", SCHEDULE_PEER),
        ):
            with pytest.raises(Unprocessable, match="accepts no messages"):
                await hub.home.execute(message)
        for step in (
            Step("a", SCHEDULE_PEER, "athena steal this"),
            Step("a", SCHEDULE_PEER, "athena steal this", session_id=schedule.session_id),
        ):
            events = await hub.home.run_plan(StartPlan((step,)))
            assert events[-1].payload == ev.PlanEnded("failed")
        await hub.home.execute(PutForward("apollo", SCHEDULE_PEER))
        forwarded = await hub.home.send(target="apollo", content="athena steal this")
        await hub.home.until(forwarded.session_id, forwarded.after, ev.ForwardFailed)
        assert [name for name, _ in hub.home.driver.heard if name == "athena"] == []


async def test_a_run_besides_the_times_is_refused_while_another_one_runs_unless_runs_may_wait() -> None:
    gate = asyncio.Event()
    async with planned([gate, Text("slow"), Done()]) as hub:
        schedule = await hub.add("apollo hi")
        await hub.home.execute(RunSchedule("morning"))
        with pytest.raises(PeerBusy):
            await hub.home.execute(RunSchedule("morning"))
        await hub.add("apollo hi", overlap="queue")
        await hub.home.execute(RunSchedule("morning", "once"))
        gate.set()
        assert len(answers(await hub.until(schedule.session_id, ev.TurnCompleted, 2))) == 2
        again = await hub.home.execute(RunSchedule("morning", "once"))
        assert isinstance(again, Accepted)
        assert again.replayed
        assert len(lines(await hub.payloads(schedule.session_id))) == 2


async def test_a_schedule_does_not_exist_for_others_and_needs_the_scope_send() -> None:
    reader = Principal("me", frozenset({READ}))
    async with planned() as hub:
        await hub.add("apollo hi")
        for command in (RemoveSchedule("morning"), RunSchedule("morning"), PauseSchedule("morning")):
            with pytest.raises(NotFound):
                await hub.home.hub.execute(OTHER, command)
            with pytest.raises(Forbidden):
                await hub.home.hub.execute(reader, command)
        assert schedules.schedules_of(hub.state, OTHER) == []


async def test_a_run_has_the_rights_that_its_creator_had_and_the_audit_names_the_schedule() -> None:
    guest = Principal("guest", frozenset({READ, SEND}), credential="token")
    async with planned() as hub:
        schedule = await hub.add("apollo hi", who=guest, cwd="/tmp")
        assert (schedule.rights.scopes, schedule.rights.local, schedule.cwd) == ((READ, SEND), False, None)
        await hub.set("2026-11-30T08:00:00")
        await hub.until(schedule.session_id, ev.TurnCompleted)
        entry = next(each for each in await entries(hub.state) if each.action == "schedule.run")
        assert (entry.subject, entry.target, entry.credential, entry.address, entry.api, entry.outcome) == (
            *("guest", "morning", "schedule morning", "schedule morning", "schedule", "done"),
        )
        assert entry.detail == "due 2026-11-30T08:00:00.000Z"
        added = [each for each in await entries(hub.state) if each.action == "schedule.set"]
        assert [each.outcome for each in added] == ["begun", "done"]
        assert (added[0].target, added[0].detail) == ("morning", "0 8 * * * UTC")


async def test_a_schedule_of_a_token_ends_with_the_token() -> None:
    async with planned() as hub:
        await hub.home.execute(IssueToken(scopes=(READ, SEND), name="phone", subject="guest"))
        guest = Principal("guest", frozenset({READ, SEND}), credential="jwt phone")
        schedule = await hub.add("apollo hi", who=guest)
        await hub.set("2026-11-30T08:00:00")
        await hub.until(schedule.session_id, ev.TurnCompleted)
        await hub.home.execute(RevokeToken("phone"))
        await hub.set("2026-12-01T08:00:00")
        payloads = await hub.until(schedule.session_id, ev.ScheduleSkipped)
        assert [each.code for each in payloads if isinstance(each, ev.ScheduleSkipped)] == ["forbidden"]
        assert len(lines(payloads)) == 1


async def test_a_caller_of_a_teams_own_issuer_cannot_leave_a_schedule_behind() -> None:
    member = Principal("member", frozenset({READ, SEND}), credential="oidc company")
    async with planned() as hub:
        with pytest.raises(Forbidden, match="issuer"):
            await hub.add("apollo hi", who=member)
        await hub.add("apollo hi", who=replace(member, scopes=frozenset({READ, SEND, ADMIN})))


async def test_the_schedules_of_a_program_run_as_that_peer_and_are_limited(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(schedules, "MOST_OF_AGENT", 3)
    async with planned() as hub:
        schedule = await hub.add("athena hi", who=AGENT_OF_APOLLO)
        await hub.set("2026-11-30T08:00:00")
        payloads = await hub.until(schedule.session_id, ev.TurnCompleted)
        assert hub.home.driver.heard[0][0] == "athena"
        assert hub.home.driver.heard[0][1].startswith("[From Apollo]\n--- ")
        assert "athena heard: [From Apollo]" in answers(payloads)[0]
        with pytest.raises(HopLimit):  # its messages have passed through the peer itself
            await hub.add(" | ".join(["athena hi", *["athena"] * 7]), name="long", who=AGENT_OF_APOLLO)
        for number in range(2):
            await hub.add("athena hi", name=f"s{number}", who=AGENT_OF_APOLLO)
        with pytest.raises(TooManySchedules):
            await hub.add("athena hi", name="more", who=AGENT_OF_APOLLO)
        await hub.add("athena hi", who=OTHER)  # those of others do not count


async def test_the_limits_and_budgets_of_the_owner_hold_in_a_run() -> None:
    guest = Principal("guest", frozenset({READ, SEND}))
    script = [Usage("m", 900, 200), Text("expensive"), Done()]
    budget = Budget("caller.guest", tokens_per_day=1000, fallback="athena")
    async with planned(script, budgets=[budget], limits=Limits(tokens_per_hour=2000)) as hub:
        schedule = await hub.add("apollo hi", who=guest)
        await run_now(hub, who=guest)
        assert answers(await run_now(hub, who=guest)) == ["expensive", "athena heard: hi"]
        assert schedule.owner == "guest"


async def test_too_many_turns_of_the_owner_fail_the_run_and_not_the_schedule() -> None:
    guest = Principal("guest", frozenset({READ, SEND}))
    gate = asyncio.Event()
    async with planned([gate, Text("x"), Done()], limits=Limits(turns_at_once=1)) as hub:
        schedule = await hub.add("athena hi", who=guest)
        await hub.home.hub.execute(guest, SendMessage("hi", "apollo"))
        await hub.set("2026-11-30T08:00:00")
        payloads = await hub.until(schedule.session_id, ev.TurnFailed)
        assert [e.code for e in payloads if isinstance(e, ev.TurnFailed)] == ["too_many_turns"]
        gate.set()
        await hub.set("2026-12-01T08:00:00")
        await hub.until(schedule.session_id, ev.TurnCompleted)


async def test_no_more_runs_work_at_once_than_there_are_slots() -> None:
    two = asyncio.Barrier(2)
    async with planned([two, Text("x"), Done()], [two, Text("x"), Done()]) as hub:
        hub.state.schedules.slots = asyncio.Semaphore(2)
        made = [await hub.add("apollo hi", name=f"s{n}") for n in range(3)]
        await hub.set("2026-11-30T08:00:00")
        for schedule in made:
            await hub.until(schedule.session_id, ev.TurnCompleted)
        assert hub.home.driver.most_at_once == 2


async def test_the_end_of_a_run_ends_its_plan_and_its_readers_leaving_does_not() -> None:
    gate = asyncio.Event()
    async with planned([gate], limits=Limits(abandon_after=0)) as hub:
        schedule = await hub.add("apollo hi")
        await hub.home.execute(RunSchedule("morning"))
        await hub.until(schedule.session_id, ev.StepStarted)
        (plan,) = hub.state.plans
        with hub.state.presence.reader(plan):
            pass
        await asyncio.sleep(0.01)
        assert plan in hub.state.plans
        await hub.home.execute(InterruptSession(schedule.session_id))
        await hub.until(schedule.session_id, ev.TurnInterrupted)
        head = await hub.home.store.head(plan)
        assert head is not None
        ended = await hub.home.until(plan, replace(head.position, seq=0), ev.PlanEnded)
        assert ended[-1].payload == ev.PlanEnded("cancelled")
