"""Posts notifications to a topic of ntfy, or of a server with the same API (https://docs.ntfy.sh/publish/)."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from rhetor.domain.notification import About, NotDelivered, Notification, Recipient
from rhetor.drivers.models.urls import Reach, Resolve, resolved

from .posting import post
from .webhook import ID, missing, secret

# the title, the tag, which is shown as an emoji, and the priority from 1 to 5
_SHOWN: Mapping[About, tuple[str, str, int]] = {
    "permission.asked": ("Permission asked", "question", 4),
    "turn.failed": ("Turn failed", "x", 3),
    "peer.stuck": ("Peer stuck", "hourglass", 4),
    "budget": ("Budget", "moneybag", 4),
    "quota.paused": ("Usage limit", "pause_button", 4),
    "turn.completed": ("Turn completed", "white_check_mark", 3),
    "test": ("Test", "bell", 3),
}


class Ntfy(msgspec.Struct, frozen=True):
    """Posts the text of each notification to the URL of a topic. The value of the variable `secret_env` is
    the access token, if the topic needs one."""

    recipient: Recipient
    url: str
    reach: Reach
    environment: Mapping[str, str]
    secret_env: str | None = None
    resolve: Resolve = resolved

    def fault(self) -> NotDelivered | None:
        return missing(self.environment, self.secret_env)

    async def send(self, notification: Notification) -> None:
        title, tag, priority = _SHOWN[notification.type]
        headers = {
            "content-type": "text/plain; charset=utf-8",
            "title": title,
            "tags": tag,
            "priority": str(priority),
            ID: notification.id,
        }
        if self.secret_env is not None:
            headers["authorization"] = f"Bearer {secret(self.environment, self.secret_env)}"
        await post(self.url, self.reach, self.resolve, headers, notification.text.encode())
