"""Shows notifications on the desktop, with the program that the system has for it."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import msgspec

from rhetor.domain.notification import NotDelivered, Notification, Recipient

from .command import INHERITED, not_found, run

_TITLE = "aish"
# the texts are arguments of the script, so that nothing in them is run
_SCRIPT = (
    "on run argv",
    "display notification (item 2 of argv) with title (item 1 of argv)",
    "end run",
)
_HOW_TO = "install libnotify (notify-send), and start the hub in the desktop session"


class Desktop(msgspec.Struct, frozen=True):
    """Shows each notification with `notify-send`, or with `osascript` on macOS."""

    recipient: Recipient
    environment: Mapping[str, str]
    folder: str
    platform: str = sys.platform

    def fault(self) -> NotDelivered | None:
        fault = not_found(self._argv("")[0], self.environment)
        return self._explained(fault) if fault else None

    async def send(self, notification: Notification) -> None:
        inherited = {name: self.environment[name] for name in INHERITED if name in self.environment}
        try:
            await run(self._argv(notification.text), inherited, self.folder)
        except NotDelivered as error:
            raise self._explained(error) from error

    def _explained(self, error: NotDelivered) -> NotDelivered:
        return NotDelivered(error.detail, "" if self.platform == "darwin" else _HOW_TO)

    def _argv(self, text: str) -> list[str]:
        import html

        if self.platform == "darwin":
            lines = [word for line in _SCRIPT for word in ("-e", line)]
            return ["osascript", *lines, _TITLE, text]
        # the body is markup, which may link to other places
        return ["notify-send", f"--app-name={_TITLE}", "--", _TITLE, html.escape(text, quote=False)]
