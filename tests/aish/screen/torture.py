"""Shows a Markdown page on the terminal at stdout: `torture.py FILE SIZE [SECONDS]`.

`SIZE`: characters of a piece. With `SECONDS`, it draws after every piece, and then pauses that long.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from aish.output import STDOUT, Sink
from aish.screen import open_text
from aish.screen.display import Display
from aish.screen.markdown import MarkdownSink


def main(path: str, size: int, pause: float | None = None) -> None:
    if pause is not None:
        open_text._LEAST_SECONDS = open_text._SHARE = 0
    text = Path(path).read_text()
    display = Display.of(Sink(STDOUT), quiet=False)
    assert display is not None
    with display:
        sink = MarkdownSink(display)
        for at in range(0, len(text), size):
            sink.write(text[at : at + size])
            time.sleep(pause or 0)
        sink.end()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *map(float, sys.argv[3:]))
