"""Many messages at once: `/api/v2/bulk`, a plan like any other."""

from __future__ import annotations

from typing import Any

from fastapi import Request, Response

from rhetor.auth.policy import Policy
from rhetor.dialects.bulk import Results, SseResults
from rhetor.domain.event import PlanEnded
from rhetor.hub.hub import Hub
from rhetor.hub.plans.plans import Planned
from rhetor.store.base import follow
from rhetor.transports.server import disconnect, sse
from rhetor.transports.server.router import Doors, Streams

from .bodies import BulkBody
from .dependencies import Here, Key, Who

doors = Doors(tags=["plans"])


@doors.on("POST", "/api/v2/bulk", Policy.USER, streams=Streams.ASKED)
async def bulk(body: BulkBody, request: Request, who: Who, here: Here, key: Key = None) -> Response:
    """All operations, each as soon as what it needs is answered, at most `max_parallel` at once.

    A cycle, an unknown dependency, a double id or an unknown peer is refused before anything runs. With
    `Accept: text/event-stream` each result comes when it is there.
    """
    here.check_environment(request)
    here.charge_steps(who, len(body.operations))
    planned: Planned = await here.hub.execute(who, body.command(here.max_parallel, key))
    headers = {"x-plan-id": planned.plan_id, "x-cursor": str(planned.after), **await here.notices()}
    if "text/event-stream" in request.headers.get("accept", ""):
        return sse.EventStream(here.hub, planned.plan_id, planned.after, SseResults(), headers)
    with here.hub.state.presence.reader(planned.plan_id):
        async with disconnect.while_connected(request.receive):
            return sse.json_response({"results": await _results(here.hub, planned)}, headers)


async def _results(hub: Hub, planned: Planned) -> dict[str, Any]:
    results, found = Results(), dict[str, Any]()
    async for records in follow(hub.state.store, planned.plan_id, planned.after):
        for record in records:
            found.update(results.take(record.event))
            if isinstance(record.event.payload, PlanEnded):
                return found
    return found
