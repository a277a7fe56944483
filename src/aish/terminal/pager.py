"""Shows a long text through the user's pager: `$PAGER`, or `less -R`."""

import os
import signal

from aish.exits import DONE
from aish.output import STDOUT, print_text
from aish.render import coloured
from aish.screen.cells import width
from aish.screen.tables import stdout_columns, wrapped
from aish.terminal.tty import window_size
from aish.turns.input import STDIN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

_DEFAULT = "less -R"
_NOT_FOUND = (126, 127)  # exit codes of `sh`


def page(text: str) -> int:
    """Print a text, through the pager if stdin and stdout are a terminal on which it does not fit. (Without a
    keyboard, nobody could leave the pager.) An empty `$PAGER` means that there is none."""
    text = f"{wrapped(text.rstrip(), stdout_columns())}\n"
    if _needs_pager(text) and _paged(os.environ.get("PAGER", _DEFAULT).strip(), coloured(text)):
        return DONE
    return print_text(text)


def _needs_pager(text: str) -> bool:
    if not (os.isatty(STDIN) and os.isatty(STDOUT)) or os.environ.get("TERM", "dumb") in ("", "dumb"):
        return False
    rows, columns = window_size(STDOUT)
    return sum(max(1, -(-width(line) // columns)) for line in text.rstrip().split("\n")) >= rows


def _paged(command: str, text: str) -> bool:
    """Run the pager until the user leaves it. Return False if there is none."""
    import subprocess

    if not command:
        return False
    earlier = signal.signal(signal.SIGINT, _nothing)  # Ctrl-C is for the pager
    try:
        pager = subprocess.Popen(command, shell=True, stdin=subprocess.PIPE)
        pager.communicate(text.encode("utf-8", "replace"))
    finally:
        signal.signal(signal.SIGINT, earlier)
    return pager.returncode not in _NOT_FOUND


def _nothing(number: int, frame: "FrameType | None") -> None:
    """Handle a signal by doing nothing. Unlike an ignored one, the pager can still handle it."""
