"""Plans: `/api/v2/plans`, and `/api/v2/bulk`, which sends many messages as one plan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.responses import Response

from rhetor.codec.typed_json import unprocessable
from rhetor.dialects.bulk import Results, SseResults
from rhetor.dialects.event_filter import split, types_of
from rhetor.domain.command import StopPlan
from rhetor.domain.event import PlanEnded
from rhetor.errors import Malformed
from rhetor.hub.hub import Hub
from rhetor.hub.plans import completions, previews
from rhetor.hub.plans.plans import Planned, owned_plan
from rhetor.store.base import follow
from rhetor.transports.server import disconnect, sse
from rhetor.transports.server.call import Call, json_response
from rhetor.transports.server.large import steps_of

from .bodies import AfterQuery, BulkBody, CompleteBody, PlanBody, PreviewBody


async def start(call: Call, body: PlanBody) -> Response:
    """Run the steps, and stream the events of all of them, each with its `step`."""
    call.node.check_environment(call)
    if (body.line is None) == (body.steps is None):
        raise Malformed("send either `line` or `steps`")
    steps = await steps_of(body.line) if body.line is not None else body.own_steps()
    call.node.charge_steps(call.who, len(steps))
    for model in {step.model for step in steps if step.model}:
        await call.node.providers.require_model(model)
    planned: Planned = await call.execute(body.command(steps, call.key))
    return sse.planned(call, planned.plan_id, planned.after, await call.node.notices(call))


async def preview(call: Call, body: PreviewBody) -> dict[str, Any]:
    """Return what a line would do, and what is wrong with it, without running anything."""
    found = await previews.preview(call.hub.state, call.who, body.line, body.input)
    steps = [
        {
            "step": each.placed.id,
            "peer": each.peer,
            "kind": each.kind,
            "label": each.placed.name,
            "members": list(each.members),
            "depends_on": list(each.placed.needs),
            "start": each.placed.start,
            "length": each.placed.length,
        }
        for each in found.steps
    ]
    return {"steps": steps, "problems": msgspec.to_builtins(found.problems)}


async def complete(call: Call, body: CompleteBody) -> dict[str, Any]:
    """Return what can stand at the cursor in a line."""
    if body.at > len(body.line):
        raise unprocessable("body.at", f"the line has only {len(body.line)} characters")
    found: dict[str, Any] = msgspec.to_builtins(
        await completions.completed(call.hub.state, call.who, body.line, body.at)
    )
    return found


async def one_plan(call: Call, id: str) -> dict[str, Any]:
    plan = await owned_plan(call.hub.state, call.who, id)
    head = await call.hub.state.store.head(id)
    return {
        "id": plan.id,
        "status": plan.state,
        "steps": list(plan.steps),
        "head": head.head if head else None,
        "cursor": str(head.position) if head else None,
    }


async def read_events(call: Call, id: str, query: AfterQuery) -> Response:
    """Follow a plan from a cursor to its end."""
    await owned_plan(call.hub.state, call.who, id)
    _, position = await call.hub.position(call.who, id, call.last_event_id or query.after)
    wanted = types_of(split(query.events))
    return sse.plan_stream(call.hub, id, position, {"x-plan-id": id}, wanted)


async def stop(call: Call, id: str) -> dict[str, Any]:
    """Cancel the running steps of the plan, and start no other."""
    await call.execute(StopPlan(id))
    return {"id": id, "status": (await owned_plan(call.hub.state, call.who, id)).state}


async def bulk(call: Call, body: BulkBody) -> Response:
    """Run many operations, each when its dependencies are complete, at most `max_parallel` at once.

    A cycle, an unknown dependency, a duplicate id or an unknown peer is rejected before anything runs. With
    `Accept: text/event-stream`, each result is sent when it is complete.
    """
    call.node.check_environment(call)
    call.node.charge_steps(call.who, len(body.operations))
    for model in {one.model for one in body.operations if one.model}:
        await call.node.providers.require_model(model)
    planned: Planned = await call.execute(body.command(call.node.max_parallel, call.key))
    headers = {"x-plan-id": planned.plan_id, "x-cursor": str(planned.after), **await call.node.notices(call)}
    sent = {one.id: one.ai for one in body.operations if not one.ai.startswith("@")}
    if call.accepts_events:
        return sse.EventStream(call.hub, planned.plan_id, planned.after, SseResults(sent), headers)
    with call.hub.state.presence.reader(planned.plan_id), disconnect.while_connected(call.scope):
        return json_response({"results": await _results(call.hub, planned, sent)}, headers)


async def _results(hub: Hub, planned: Planned, sent: Mapping[str, str]) -> dict[str, Any]:
    results, found = Results(sent), dict[str, Any]()
    async for records in follow(hub.state.store, planned.plan_id, planned.after):
        for record in records:
            found.update(results.add(record.event))
            if isinstance(record.event.payload, PlanEnded):
                return found
    return found
