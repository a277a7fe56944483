"""The recipients of notifications: `/api/v2/notify`."""

from __future__ import annotations

from typing import Any

from rhetor.hub import notifications
from rhetor.hub.notifications import Standing, Tried
from rhetor.transports.server.call import Call

from .bodies import NotifyTestBody


async def list_recipients(call: Call) -> dict[str, Any]:
    """List the entries of `notify:`, with what is not delivered yet."""
    return {"notify": [_shape(each) for each in await notifications.standings(call.hub.state)]}


async def test(call: Call, body: NotifyTestBody) -> dict[str, Any]:
    """Send a test to one recipient, or to all, once. The response follows after at most half a minute."""
    return {"notify": [_result(each) for each in await notifications.test(call.hub.state, body.name)]}


def _shape(standing: Standing) -> dict[str, Any]:
    recipient = standing.recipient
    return {
        "name": recipient.name,
        "kind": recipient.kind,
        "on": sorted(recipient.on),
        "after": recipient.after,
        "ok": not standing.detail,
        "waiting": standing.waiting,
        "failing": standing.failing,
        "detail": standing.detail or None,
        "hint": standing.hint or None,
    }


def _result(tried: Tried) -> dict[str, Any]:
    return {
        "name": tried.recipient.name,
        "kind": tried.recipient.kind,
        "ok": not tried.detail,
        "seconds": round(tried.seconds, 3),
        "error": tried.detail or None,
        "hint": tried.hint or None,
    }
