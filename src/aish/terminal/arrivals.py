"""What peers say that are forwarded to this terminal: followed in a thread, shown above what is being typed.

A connection that is lost is made anew; what came meanwhile is shown then, and what came while no shell of
this name was open at the next start. Where a line is shown on the screen is not decided here.
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

_PAUSE = 0.5  # seconds until the hub is looked for again


class Arrivals:
    """Shown for as long as it is entered, each with `show`, which is called in another thread.

    Raises:
        Failure: the name is a peer's, a command's or no name, or the hub cannot be reached.
    """

    def __init__(self, name: str, show: "Callable[[str], None]", home: str | None = None) -> None:
        self._path = f"/api/v2/terminals/{quote(name)}"
        self._show = show
        hub = Hub(home)
        self._cursor: str | None = hub.ask("PUT", self._path, {})["seen"]
        self._hub = Hub(hub.home, may_start=False)  # who ends the hub means it
        self._over = Event()
        self._thread = Thread(target=self._follow, name=f"arrivals of {name}", daemon=True)

    def __enter__(self) -> "Self":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()  # the thread may wait for the hub: it ends with the process

    def _follow(self) -> None:
        while not self._over.is_set():
            try:
                self._read()
            except (Failure, OSError, ValueError):
                pass  # the hub ends, or has ended; another one will have the rest
            self._over.wait(_PAUSE)

    def _read(self) -> None:
        after = f"?after={self._cursor}" if self._cursor else ""
        answer = self._hub.open("GET", f"{self._path}/events{after}", accept="text/event-stream")
        try:
            for data in answer.events():
                if self._over.is_set():
                    return
                self._take(decode(data))
        finally:
            answer.close()

    def _take(self, event: "Message") -> None:
        if "cursor" not in event:  # the position was lost: what is still kept is shown from its beginning
            self._cursor = None
            return
        if event.get("type") == "message.forwarded":
            self._show(shown(event["data"]))
        self._cursor = event["cursor"]
        Hub(self._hub.home, may_start=False).ask("PUT", self._path, {"seen": self._cursor})


def shown(message: "Message") -> str:
    """One message as it stands on a terminal: `[From Apollo] text`, or the JSON object that it is to be."""
    text, source = str(message.get("content", "")), str(message.get("from", ""))
    if message.get("as_json"):
        names = ("from", "to", "time", "purpose")
        return encode({**{name: message.get(name) for name in names}, "message": text}).decode()
    from aish.render import heading

    return heading(source) + ("\n" if "\n" in text else " ") + text
