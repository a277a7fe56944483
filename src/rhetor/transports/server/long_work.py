"""Answers a request whose work may take long: with `Accept: text/event-stream`, as a stream of its progress.

Each frame is an object with one member: `progress`, and at last `result` or `problem`. The work continues if
the client goes away.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import asdict
from typing import Any

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from rhetor.errors import RhetorError
from rhetor.hub.core import progress

from . import problems
from .call import Call
from .disconnect import while_connected
from .sse import HEADERS

SECONDS = 0.5  # between two frames
Result = dict[str, Any]
log = logging.getLogger(__name__)


async def with_progress(call: Call, work: Coroutine[Any, Any, Result]) -> Result | Response:
    """Return the result of the work, or a stream of its progress if the client asks for one."""
    return _ProgressStream(call, work) if call.accepts_events else await work


class _ProgressStream(Response):
    media_type = "text/event-stream"

    def __init__(self, call: Call, work: Coroutine[Any, Any, Result]) -> None:
        super().__init__(headers=HEADERS)
        del self.headers["content-length"]
        self._call = call
        self._work = work

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        known = progress.begin()
        task = self._call.hub.state.background.start(_outcome(self._work), f"work of {scope['path']}")
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        with while_connected(scope):
            while not (await asyncio.wait([task], timeout=SECONDS))[0]:
                await _write(send, "progress", asdict(known))
        name, value = task.result()
        await _write(send, name, value)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _outcome(work: Coroutine[Any, Any, Result]) -> tuple[str, Result]:
    try:
        return "result", await work
    except RhetorError as error:
        return "problem", problems.body(error)
    except Exception as error:  # a bug: the client must get an end, and the log the reason
        log.exception("request failed", exc_info=error)
        return "problem", problems.body(RhetorError("internal error; the hub's log has the details"))


async def _write(send: Send, name: str, value: Result) -> None:
    frame = b"event: %b\ndata: %b\n\n" % (name.encode(), msgspec.json.encode({name: value}))
    await send({"type": "http.response.body", "body": frame, "more_body": True})
