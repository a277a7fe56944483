"""Schedules, which run lines at set times: `/api/v2/schedules`."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from rhetor.dialects import resources
from rhetor.dialects.event_filter import split, types_of
from rhetor.domain.rule_commands import PauseSchedule, RemoveSchedule, ResumeSchedule
from rhetor.domain.schedule import Schedule
from rhetor.hub.schedules import schedules
from rhetor.hub.schedules.lines import models_of
from rhetor.hub.sessions.send import Accepted
from rhetor.transports.server.call import Call

from .bodies import EventsQuery, NewScheduleBody, RunScheduleBody, ScheduleBody
from .bodies.common import NewName
from .peers import place_of, streamed, whole_answer


async def list_schedules(call: Call) -> dict[str, Any]:
    """List the caller's schedules, and those of programs that the caller has started."""
    found = schedules.schedules_of(call.hub.state, call.who)
    return {"schedules": [await _shape(call, schedule) for schedule in found]}


async def new_schedule(call: Call, body: NewScheduleBody) -> dict[str, Any]:
    """Create a schedule. If the name is in use, the response is a conflict."""
    return await _put(call, body.name, body, new=True)


async def one_schedule(call: Call, name: str) -> dict[str, Any]:
    return await _shape(call, schedules.schedule_of(call.hub.state, call.who, name))


async def put_schedule(call: Call, name: NewName, body: ScheduleBody) -> dict[str, Any]:
    """Create or replace a schedule. If the earlier one is paused, the new one is, too."""
    return await _put(call, name, body, new=False)


async def remove_schedule(call: Call, name: str) -> dict[str, Any]:
    """Remove a schedule. Its session stays, and a run that has begun continues."""
    return await _shape(call, await call.execute(RemoveSchedule(name)))


async def pause(call: Call, name: str) -> dict[str, Any]:
    """Start no further runs at its times."""
    return await _shape(call, await call.execute(PauseSchedule(name)))


async def resume(call: Call, name: str) -> dict[str, Any]:
    """Start runs again, from its next time on."""
    return await _shape(call, await call.execute(ResumeSchedule(name)))


async def run(call: Call, name: str, body: RunScheduleBody, query: EventsQuery) -> Response:
    """Run the line now, and return the answer as for a message. With `Accept: text/event-stream`, the answer
    is streamed. If `overlap` is `skip` and an earlier run has not ended, the response is a conflict."""
    call.node.check_environment(call)
    wanted = types_of(split(query.events))
    accepted: Accepted = await call.execute(body.command(name, call.key))
    headers = {**place_of(accepted), **await call.node.notices(call)}
    if call.accepts_events:
        return streamed(call, accepted, headers, wanted)
    return await whole_answer(call, accepted, headers)


async def _put(call: Call, name: str, body: ScheduleBody, *, new: bool) -> dict[str, Any]:
    for model in await models_of(body.line):
        await call.node.providers.require_model(model)
    return await _shape(call, await call.execute(body.command(name, new=new)))


async def _shape(call: Call, schedule: Schedule) -> dict[str, Any]:
    store = call.hub.state.store
    turns = await store.find("turn", parent=schedule.session_id, limit=1, newest=True)
    return resources.schedule(schedule, (turns[0].id, turns[0].state, turns[0].at) if turns else None)
