"""The small models that the hub itself runs: `/api/v2/models/local`."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from rhetor.domain.secrets import masked_url
from rhetor.hub.core import progress
from rhetor.transports.server.call import Call
from rhetor.transports.server.counters import REST
from rhetor.transports.server.long_work import Result, with_progress

from .bodies import PullBody
from .bodies.configuration import LocalName

UNIT = "MB"
PULL = "model.pull"


async def list_models(call: Call) -> dict[str, Any]:
    """List the small models on this machine, and those that can be pulled by their names."""
    return call.node.local_models.listed()


async def pull(call: Call, body: PullBody) -> Result | Response:
    """Fetch a model by its name, with the uv or pip of this machine, or from a URL. An interrupted download
    from a URL continues where it stopped. A file with another digest is rejected. A model that is already
    there is not fetched again."""
    source, digest = body.source()
    return await with_progress(call, _pull(call, body, source, digest))


async def _pull(call: Call, body: PullBody, source: str, digest: str) -> Result:
    note, models = progress.counter(UNIT), call.node.local_models
    target = body.model or masked_url(source)
    # the work may continue when the request has ended, so its entries are not those of the request
    async with call.hub.state.audit.action(call.who, PULL, target, digest, api=REST):
        if body.model is not None:
            return await models.pull_known(body.model, note)
        is_person_here = call.who.local and not call.who.is_agent
        return await models.pull_url(source, digest, body.name, note, loopback=is_person_here)


async def use(call: Call, name: LocalName) -> dict[str, Any]:
    """Use this model for `auto` if no provider, model server or coding agent answers. This writes
    `models.local.use` to the configuration file."""
    return await call.node.local_models.use(name)


async def remove(call: Call, name: LocalName) -> dict[str, Any]:
    """Remove a model from the disk, and end its process."""
    await call.node.local_models.remove(name)
    return {"name": name, "status": "removed"}
