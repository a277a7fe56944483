"""Plans: pipelines, broadcasts and joins."""

from __future__ import annotations

import asyncio
import re

import pytest
from msgspec.structs import replace
from tests.rhetor.hub.house import OTHER, house

from rhetor.domain import event as ev
from rhetor.domain.command import StartPlan, StartSession, StopPlan
from rhetor.domain.output import Done, Text
from rhetor.domain.plan import Step
from rhetor.domain.session import Session
from rhetor.errors import HopLimit, Malformed, NotFound, ProviderCut, UnknownPeer, Unprocessable
from rhetor.hub.plans.plans import Planned

pytestmark = pytest.mark.anyio

PIPELINE = (Step("s1", "athena", "design"), Step("s2", "apollo", "check it", ("s1",)))


async def test_a_pipeline_sends_each_answer_with_its_source_to_the_next_peer() -> None:
    async with house() as home:
        events = await home.run_plan(StartPlan(PIPELINE, stdin="a cache"))
        assert home.driver.heard[0] == ("athena", "design\n\na cache")
        name, message = home.driver.heard[1]
        assert name == "apollo"
        fenced = re.fullmatch(r"\[From Athena\]\n(--- \w{16} ---)\n(.*)\n\1\n\ncheck it", message, re.DOTALL)
        assert fenced is not None
        assert fenced[2] == "athena heard: design\n\na cache"
        accepted = [e.payload.via for e in events if isinstance(e.payload, ev.MessageAccepted)]
        assert accepted == [(), ("athena",)]


async def test_one_cursor_follows_a_whole_pipeline() -> None:
    async with house() as home:
        events = await home.run_plan(StartPlan(PIPELINE))
        assert [(e.payload.type, e.step) for e in events] == [
            ("plan.started", None),
            *[(kind, "s1") for kind in STEP],
            *[(kind, "s2") for kind in STEP],
            ("plan.ended", None),
        ]
        assert [e.seq for e in events] == list(range(1, len(events) + 1))
        assert events[-1].payload == ev.PlanEnded("completed")


STEP = ["step.started", "message.accepted", "turn.started", "output.delta", "turn.completed", "step.done"]


async def test_after_a_failed_step_no_later_peer_is_called() -> None:
    steps = (*PIPELINE, Step("s3", "prometheus", "", ("s2",)))
    cut = ProviderCut("gone", retryable=True, hint="send it again")
    async with house([Text("half"), cut]) as home:
        payloads = [e.payload for e in await home.run_plan(StartPlan(steps))]
        assert ev.StepFailed("s1", "provider_cut", "gone", True, {"hint": "send it again"}) in payloads
        assert [p for p in payloads if isinstance(p, ev.StepSkipped)] == [
            ev.StepSkipped("s2", "s1"),
            ev.StepSkipped("s3", "s1"),
        ]
        assert payloads[-1] == ev.PlanEnded("failed")
        assert [name for name, _ in home.driver.heard] == ["athena"]


@pytest.mark.parametrize("reason", ["stop", "length", "content_filter", "refusal"])
@pytest.mark.parametrize("window", [None, 10])
async def test_an_empty_answer_fails_its_step_and_does_not_reach_the_next(
    reason: str, window: int | None
) -> None:
    steps = (replace(PIPELINE[0], context_window=window), PIPELINE[1])
    async with house([Text(" \n"), Done(reason)]) as home:
        payloads = [e.payload for e in await home.run_plan(StartPlan(steps))]
        (failed,) = [p for p in payloads if isinstance(p, ev.StepFailed)]
        assert (failed.step, failed.code, bool(failed.data["hint"])) == ("s1", "empty_answer", True)
        assert payloads[-1] == ev.PlanEnded("failed")
        assert [name for name, _ in home.driver.heard] == ["athena"]


async def test_a_step_reports_why_its_answer_ended() -> None:
    async with house([Text("half"), Done("length")]) as home:
        payloads = [e.payload for e in await home.run_plan(StartPlan(PIPELINE))]
    assert ev.StepDone("s1", "half", "length") in payloads


async def test_independent_steps_run_in_parallel_and_a_join_receives_all_answers() -> None:
    gate = asyncio.Event()
    both = [[Text("one"), gate, Done()], [Text("two"), gate, Done()]]
    steps = (
        Step("a", "apollo", "q"),
        Step("b", "athena", "q"),
        Step("c", "prometheus", "join", ("a", "b")),
    )
    async with house(*both) as home:
        planned = await home.execute(StartPlan(steps))
        assert isinstance(planned, Planned)
        events = await home.until(planned.plan_id, planned.after, ev.OutputDelta)
        while len({e.step for e in events if isinstance(e.payload, ev.OutputDelta)}) < 2:
            events += await home.until(planned.plan_id, events[-1].position, ev.OutputDelta)
        gate.set()
        await home.until(planned.plan_id, planned.after, ev.PlanEnded)
        message = home.driver.heard[2][1]
        assert "[From Apollo]" in message
        assert "[From Athena]" in message
        assert message.endswith("join")


async def test_a_step_that_needs_a_team_needs_all_of_its_members() -> None:
    steps = (Step("t", "team:reviewers", "q"), Step("c", "prometheus", "", ("t",)))
    async with house() as home:
        await home.run_plan(StartPlan(steps))
        assert sorted(name for name, _ in home.driver.heard[:2]) == ["apollo", "athena"]
        assert home.driver.heard[2][0] == "prometheus"


async def test_a_template_places_answers_but_data_is_not_expanded() -> None:
    steps = (
        Step("s1", "athena", "say {{s1}}"),
        Step("s2", "apollo", "before {{s1}} between {{s1}} after", ("s1",)),
    )
    async with house() as home:
        await home.run_plan(StartPlan(steps))
        message = home.driver.heard[1][1]
        assert message.startswith("before [From Athena]\n")
        assert message.endswith(" between {{s1}} after")
        assert "athena heard: say {{s1}}" in message


async def test_a_step_in_a_session_is_linked_to_it() -> None:
    async with house() as home:
        session = await home.execute(StartSession("athena", name="mine"))
        assert isinstance(session, Session)
        steps = (Step("s1", "athena", "design", session_id=session.id), Step("s2", "apollo", "", ("s1",)))
        events = await home.run_plan(StartPlan(steps))
        first = [e.payload for e in events if e.step == "s1"]
        assert [p.type for p in first] == ["step.started", "step.done"]
        assert isinstance(first[0], ev.StepStarted)
        assert first[0].session_id == session.id
        assert first[1] == ev.StepDone("s1", "athena heard: design")


@pytest.mark.parametrize(
    ("steps", "error"),
    [
        ((), Unprocessable),
        ((Step("a", "apollo", "x"), Step("a", "apollo", "x")), Unprocessable),
        ((Step("a", "apollo", "x", ("b",)),), Unprocessable),
        ((Step("a", "apollo", "x", ("b",)), Step("b", "apollo", "x", ("a",))), Unprocessable),
        ((Step("a", "apollo", "x", ("a",)),), Unprocessable),
        ((Step("a", "zeus", "x"),), UnknownPeer),
        ((Step("a", "apollo", ""),), Malformed),
        ((Step("a", "apollo", "x"), Step("b", "apollo", "x", session_id="s_none")), NotFound),
        (
            tuple(Step(f"s{n}", "apollo", "x", (f"s{n - 1}",) if n else ()) for n in range(9)),
            HopLimit,
        ),
    ],
)
async def test_an_invalid_plan_is_rejected_before_any_step_runs(
    steps: tuple[Step, ...], error: type[Exception]
) -> None:
    async with house() as home:
        with pytest.raises(error):
            await home.execute(StartPlan(steps))
        assert home.driver.heard == []


async def test_stopping_a_plan_cancels_running_steps_and_starts_no_more() -> None:
    async with house([Text("half"), asyncio.Event()]) as home:
        planned = await home.execute(StartPlan(PIPELINE))
        assert isinstance(planned, Planned)
        await home.until(planned.plan_id, planned.after, ev.OutputDelta)
        with pytest.raises(NotFound):
            await home.hub.execute(OTHER, StopPlan(planned.plan_id))
        await home.execute(StopPlan(planned.plan_id))
        events = await home.until(planned.plan_id, planned.after, ev.PlanEnded)
        assert events[-1].payload == ev.PlanEnded("cancelled")
        assert ev.StepFailed("s1", "cancelled", "cancelled by me") in [e.payload for e in events]
        assert [name for name, _ in home.driver.heard] == ["athena"]


async def test_the_same_plan_with_the_same_key_runs_once() -> None:
    async with house() as home:
        command = StartPlan(PIPELINE, command_id="k")
        first, again = await home.execute(command), await home.execute(command)
        assert isinstance(first, Planned)
        assert isinstance(again, Planned)
        assert (again.plan_id, again.after, again.replayed) == (first.plan_id, first.after, True)
        await home.until(first.plan_id, first.after, ev.PlanEnded)
        assert len(home.driver.heard) == 2
