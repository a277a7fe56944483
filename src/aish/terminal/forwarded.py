"""Shows messages that are forwarded to this terminal. A thread follows them, and passes each to a function.

If the connection is lost, the thread reconnects and continues after the last message. Messages that arrive
while no shell of this name is open are shown at the next start.
"""

from threading import Event, Thread

from aish.client.hub import Hub, quote
from aish.client.json_sse import decode, encode
from aish.exits import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Self

    Message = dict[str, Any]

_RECONNECT_PAUSE = 0.5  # seconds


class ForwardedMessages:
    """Calls `show` in another thread, within the `with`, for each message that is forwarded to `name`.

    Raises:
        Failure: the name is invalid or belongs to a peer or a command, or the hub cannot be reached.
    """

    def __init__(self, name: str, show: "Callable[[str], None]", home: str | None = None) -> None:
        self._path = f"/api/v2/terminals/{quote(name)}"
        self._show = show
        hub = Hub(home)
        self._cursor: str | None = hub.ask("PUT", self._path, {})["seen"]
        self._hub = Hub(hub.home, may_start=False)  # if the user stops the hub, it stays stopped
        self._stopped = Event()
        self._thread = Thread(target=self._follow, name=f"messages for {name}", daemon=True)

    def __enter__(self) -> "Self":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()  # the thread may be waiting for the hub; it ends with the process

    def _follow(self) -> None:
        while not self._stopped.is_set():
            try:
                self._read()
            except (Failure, OSError, ValueError):
                pass  # the hub is stopping or gone; the next one has the other messages
            self._stopped.wait(_RECONNECT_PAUSE)

    def _read(self) -> None:
        after = f"?after={self._cursor}" if self._cursor else ""
        response = self._hub.open("GET", f"{self._path}/events{after}", accept="text/event-stream")
        try:
            for data in response.events():
                if self._stopped.is_set():
                    return
                self._take(decode(data))
        finally:
            response.close()

    def _take(self, event: "Message") -> None:
        if "cursor" not in event:  # the log no longer has this position: start at its beginning
            self._cursor = None
            return
        if event.get("type") == "message.forwarded":
            self._show(format_message(event["data"]))
        self._cursor = event["cursor"]
        Hub(self._hub.home, may_start=False).ask("PUT", self._path, {"seen": self._cursor})


def format_message(message: "Message") -> str:
    """Format a message for a terminal: `[From Apollo] text`, or a JSON object if it has `as_json` set."""
    text, source = str(message.get("content", "")), str(message.get("from", ""))
    if message.get("as_json"):
        names = ("from", "to", "time", "purpose")
        tool = {"tool": message["tool"]} if message.get("tool") else {}
        return encode({**{name: message.get(name) for name in names}, "message": text, **tool}).decode()
    from aish.headings import quoted_on_terminal
    from aish.render import heading

    return heading(source) + ("\n" if "\n" in text else " ") + quoted_on_terminal(text)
