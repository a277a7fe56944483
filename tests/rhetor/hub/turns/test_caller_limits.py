"""How many turns a caller may have running, and what that never rejects."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.rhetor.hub.house import ME, House, house
from tests.scripted import ScriptedDriver

from rhetor.domain.command import PauseSession, SendMessage, StartPlan, StartSession
from rhetor.domain.event import PlanEnded, TurnCompleted
from rhetor.domain.output import Done, Text
from rhetor.domain.plan import Step
from rhetor.domain.principal import Principal
from rhetor.errors import TooManyTurns
from rhetor.hub.core.limits import Limits
from rhetor.hub.plans.plans import Planned
from rhetor.hub.sessions.send import Accepted

pytestmark = pytest.mark.anyio
REMOTE = Principal.person("me")  # over TCP
AGENT = Principal.agent("claude", local=True)


def held(count: int) -> tuple[asyncio.Event, list[Any]]:
    """Return scripts that wait for an event."""
    go = asyncio.Event()
    return go, [[go, Text("done"), Done()] for _ in range(count)]


async def sent(home: House, who: Principal = REMOTE, **fields: Any) -> Accepted:
    command = SendMessage(**{"content": "hi", "target": "apollo", **fields})
    accepted: Accepted = await home.hub.execute(who, command)
    return accepted


async def refused(home: House, who: Principal = REMOTE, **fields: Any) -> dict[str, Any]:
    with pytest.raises(TooManyTurns) as found:
        await sent(home, who, **fields)
    return found.value.data


async def test_a_turn_beyond_the_limit_is_rejected_until_another_ends() -> None:
    go, scripts = held(2)
    async with house(*scripts, limits=Limits(turns_at_once=2)) as home:
        running = [await sent(home) for _ in range(2)]
        assert await refused(home) == {"limit": 2, "retry_after": 1.0, "hint": TooManyTurns.hint}
        assert len(await home.store.find("turn")) == 2  # nothing of the rejected message is stored
        go.set()
        for accepted in running:
            assert isinstance(await home.end_of(accepted), TurnCompleted)
        await sent(home)


async def test_messages_that_start_at_the_same_time_do_not_pass_the_limit_together() -> None:
    go, scripts = held(3)
    async with house(*scripts, limits=Limits(turns_at_once=3)) as home:
        found = await asyncio.gather(*(sent(home) for _ in range(9)), return_exceptions=True)
        assert [type(each) for each in found].count(Accepted) == 3
        assert [type(each) for each in found].count(TooManyTurns) == 6
        go.set()


async def test_a_message_that_waits_in_its_session_is_accepted_and_runs_later() -> None:
    go, scripts = held(1)
    async with house(*scripts, limits=Limits(turns_at_once=1)) as home:
        session = await home.hub.execute(REMOTE, StartSession("apollo"))
        first = await sent(home, session_id=session.id, target=None)
        waiting = [await sent(home, session_id=session.id, target=None) for _ in range(3)]
        await refused(home)
        go.set()
        for accepted in (first, *waiting):
            assert isinstance(await home.end_of(accepted), TurnCompleted)


async def test_a_paused_session_takes_messages_at_the_limit() -> None:
    go, scripts = held(1)
    async with house(*scripts, limits=Limits(turns_at_once=1)) as home:
        session = await home.hub.execute(REMOTE, StartSession("apollo"))
        await home.hub.execute(REMOTE, PauseSession(session.id))
        await sent(home)
        await sent(home, session_id=session.id, target=None)
        go.set()


async def test_callers_do_not_share_the_limit_and_the_owners_unix_socket_has_none() -> None:
    go, scripts = held(5)
    async with house(*scripts, limits=Limits(turns_at_once=1)) as home:
        await sent(home)
        await refused(home)
        await sent(home, Principal.person("somebody else"))
        await sent(home, ME)
        await sent(home, AGENT)  # also on the Unix socket
        await refused(home, AGENT)
        await refused(home)
        go.set()


async def plan(home: House, who: Principal, steps: int, **more: Any) -> Planned:
    command = StartPlan(tuple(Step(f"s{n}", "apollo", "hi", **more) for n in range(steps)))
    planned: Planned = await home.hub.execute(who, command)
    return planned


async def statuses(home: House, planned: Planned) -> list[str]:
    events = await home.until(planned.plan_id, planned.after, PlanEnded)
    ends = [event.payload for event in events if isinstance(event.payload, PlanEnded)]
    return [end.status for end in ends]


@pytest.mark.parametrize("more", [{}, {"context_window": 10}], ids=["own stream", "sessions"])
async def test_a_plan_has_no_more_steps_at_once_than_turns_are_free(more: dict[str, Any]) -> None:
    three = asyncio.Barrier(3)
    scripts: list[Any] = [[three, Text("done"), Done()] for _ in range(12)]
    driver = ScriptedDriver(*scripts)
    async with house(driver=driver, limits=Limits(turns_at_once=3)) as home:
        planned = await plan(home, REMOTE, 12, **more)
        assert await statuses(home, planned) == ["completed"]
        assert (len(driver.heard), driver.most_at_once) == (12, 3)


async def test_an_accepted_plan_comes_to_its_end_while_others_use_all_turns() -> None:
    go, scripts = held(3)
    async with house(*scripts, limits=Limits(turns_at_once=3)) as home:
        running = [await sent(home) for _ in range(2)]
        planned = await plan(home, REMOTE, 5)
        with pytest.raises(TooManyTurns):
            await plan(home, REMOTE, 1)
        await refused(home)
        go.set()
        assert await statuses(home, planned) == ["completed"]
        for accepted in running:
            await home.end_of(accepted)


async def test_the_members_of_a_team_answer_beyond_the_limit() -> None:
    driver = ScriptedDriver()
    async with house(driver=driver, limits=Limits(turns_at_once=1)) as home:
        accepted = await sent(home, target="team:reviewers")
        assert isinstance(await home.end_of(accepted), TurnCompleted)
        assert {name for name, _ in driver.heard} == {"apollo", "athena"}
