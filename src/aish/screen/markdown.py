"""Shows the Markdown of answers on a display: finished blocks scroll away, and the open one is redrawn."""

from aish.output import STDOUT, Sink
from aish.render import heading
from aish.screen.colour import in_colour_of
from aish.screen.open_text import OpenText

TYPE_CHECKING = False
if TYPE_CHECKING:
    from aish.screen.display import Display


class MarkdownSink(Sink):
    """Receives the Markdown of answers and shows it on a display, while it arrives.

    `with_headings`: each answer has the name of its peer above it, and quotes what looks like a heading.
    """

    quotes = True

    def __init__(self, display: "Display", *, with_heading: bool = False, quotes: bool = False) -> None:
        super().__init__(STDOUT)
        self._display = display
        self._with_heading = with_heading
        self._is_quoted = quotes or with_heading
        self._text: OpenText | None = None

    def without_heading(self) -> Sink:
        return MarkdownSink(self._display, quotes=True)

    def write(self, text: str) -> None:
        if not text:
            return
        if self._text is None:
            if self._with_heading:
                self._display.write_lines([heading_of(self.peer)])
            self._text = OpenText(quotes=self._is_quoted)
        self._display.show(self._text, text)

    def break_line(self) -> None:
        """Do nothing: messages appear above the open block."""

    def end(self) -> None:
        if self._text is not None:
            self._display.finish()
            self._text = None


def heading_of(peer: str) -> str:
    return in_colour_of(peer, heading(peer))
