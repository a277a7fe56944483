"""Posts notifications as signed JSON."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

import msgspec

from rhetor.domain.notification import NotDelivered, Notification, Recipient
from rhetor.drivers.models.urls import Reach, Resolve, resolved

from .posting import post

ID, SIGNATURE = "X-Rhetor-Id", "X-Rhetor-Signature"


class Webhook(msgspec.Struct, frozen=True):
    """Posts each notification as JSON to a URL. `X-Rhetor-Id` is its id. `X-Rhetor-Signature` is `sha256=`
    and the HMAC of the body in hex; its key is the value of the variable `secret_env`."""

    recipient: Recipient
    url: str
    reach: Reach
    environment: Mapping[str, str]
    secret_env: str
    resolve: Resolve = resolved

    def fault(self) -> NotDelivered | None:
        return missing(self.environment, self.secret_env)

    async def send(self, notification: Notification) -> None:
        body = msgspec.json.encode(notification)
        headers = {
            "content-type": "application/json",
            ID: notification.id,
            SIGNATURE: signature(body, secret(self.environment, self.secret_env)),
        }
        await post(self.url, self.reach, self.resolve, headers, body)


def signature(body: bytes, key: str) -> str:
    """Return the value of `X-Rhetor-Signature`."""
    return f"sha256={hmac.new(key.encode(), body, hashlib.sha256).hexdigest()}"


def secret(environment: Mapping[str, str], name: str) -> str:
    """Return the value of a variable.

    Raises:
        NotDelivered: the hub does not have it, or it is empty.
    """
    if (fault := missing(environment, name)) is not None:
        raise fault
    return environment[name]


def missing(environment: Mapping[str, str], name: str | None) -> NotDelivered | None:
    """Return the failure if the hub does not have a variable that is needed."""
    if name is None or environment.get(name):
        return None
    return NotDelivered(f"the hub has no variable {name}", f"set {name} where the hub is started")
