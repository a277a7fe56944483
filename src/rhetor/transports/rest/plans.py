"""Plans: `/api/v2/plans`."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Header, Request, Response

from rhetor.auth.policy import Policy
from rhetor.dialects.lines import steps_of_line
from rhetor.domain.command import StopPlan
from rhetor.errors import Malformed
from rhetor.hub.plans.plans import Planned, owned_plan
from rhetor.transports.server import sse
from rhetor.transports.server.router import Doors, Streams

from .bodies import PlanBody
from .dependencies import Here, Key, Who

doors = Doors(tags=["plans"])


@doors.on("POST", "/api/v2/plans", Policy.USER, streams=Streams.ALWAYS)
async def start(body: PlanBody, request: Request, who: Who, here: Here, key: Key = None) -> Response:
    """Run the steps, and read the events of all of them as they come, each with its `step`."""
    here.check_environment(request)
    if (body.line is None) == (body.steps is None):
        raise Malformed("a plan is a `line` or `steps`, one of them")
    steps = steps_of_line(body.line) if body.line is not None else tuple(s.step() for s in body.steps or ())
    here.charge_steps(who, len(steps))
    planned: Planned = await here.hub.execute(who, body.command(steps, key))
    return sse.planned(request, here.hub, planned.plan_id, planned.after, await here.notices())


@doors.on("GET", "/api/v2/plans/{id}", Policy.USER)
async def one_plan(id: str, who: Who, here: Here) -> dict[str, Any]:
    plan = await owned_plan(here.hub.state, who, id)
    head = await here.hub.state.store.head(id)
    return {
        "id": plan.id,
        "status": plan.state,
        "steps": list(plan.steps),
        "head": f"{head.epoch}:{head.head}" if head else None,
    }


@doors.on("GET", "/api/v2/plans/{id}/events", Policy.USER, streams=Streams.ALWAYS)
async def read_events(
    id: str,
    who: Who,
    here: Here,
    after: str | None = None,
    last_event_id: Annotated[str | None, Header()] = None,
) -> Response:
    """Follow a plan again, from a cursor, up to its end."""
    _, position = await here.hub.position(who, id, last_event_id or after)
    return sse.plan_stream(here.hub, id, position, {"x-plan-id": id})


@doors.on("DELETE", "/api/v2/plans/{id}", Policy.USER)
async def stop(id: str, who: Who, here: Here) -> dict[str, Any]:
    """Cancel what runs of the plan, and start nothing more of it."""
    await here.hub.execute(who, StopPlan(id))
    return {"id": id, "status": (await owned_plan(here.hub.state, who, id)).state}
