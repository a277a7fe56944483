"""Cancel work when the client that waits for it disconnects."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from starlette.types import Scope

from .flow import EXTENSION

if TYPE_CHECKING:
    from .http_protocol import BoundedProtocol


class CallerGone(Exception):
    """The client closed its connection before it received its answer."""


@contextmanager
def while_connected(scope: Scope) -> Iterator[None]:
    """Cancel the body of the `with` when the client disconnects. The request must have been read.

    Raises:
        CallerGone: the client disconnected.
    """
    server: BoundedProtocol = scope["extensions"][EXTENSION]
    task = asyncio.current_task()
    assert task is not None
    gone = False

    def lost() -> None:
        nonlocal gone
        gone = True
        task.cancel()

    if not server.is_connected:
        raise CallerGone
    server.on_lost = lost
    try:
        yield
    except asyncio.CancelledError:
        if not gone:
            raise
        task.uncancel()  # the cancellation was ours
        raise CallerGone from None
    finally:
        server.on_lost = None
