"""Decides whether the answer of a peer is Markdown: that of a model or a coding agent is, and what a wrapped
program prints is not."""

from aish.client.hub import Hub, quote
from aish.exits import Failure
from aish.output import Sink

TYPE_CHECKING = False
if TYPE_CHECKING:
    from aish.screen.display import Display

_WRITERS = ("specialist", "project")  # kinds of peers that are models
_WRAPPED = ("terminal", "stdio")  # drivers of wrapped programs


def is_markdown(home: str, peer: str) -> bool:
    """Whether the peer answers in Markdown. If the hub does not say, it does not."""
    hub = Hub(home, may_start=False)
    try:
        if hub.ask("GET", f"/api/v2/ai/{quote(peer)}").get("kind") in _WRITERS:
            return True
        return hub.ask("GET", f"/api/v2/ai/{quote(peer)}/status").get("driver") not in _WRAPPED
    except Failure:
        return False


def sink_for(display: "Display | None", home: str, peer: str, out: Sink, *, quotes: bool = False) -> Sink:
    """Return the sink for the answer of the peer, which would otherwise go to `out`. `quotes`: there are
    headings of other answers above it."""
    if display is None or not is_markdown(home, peer):
        return out
    from aish.screen.markdown import MarkdownSink

    sink = MarkdownSink(display, with_heading=out.quotes, quotes=quotes)
    sink.peer = peer
    return sink
