"""The entry of the shell: whose turn it is, and the exit code.

`aish apollo "hi"` goes to `talk` by the shortest way; commands, lines of the grammar and the conversation
are loaded when they are asked for.
"""

import sys

from aish import exits
from aish.commands import COMMANDS, run_command
from aish.exits import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rhetor.domain.grammar import Options


def main(argv: "Sequence[str] | None" = None) -> int:
    """Run the shell with these words (by default those of the process) and return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        if not words or words[0][:1] == "-":
            from aish.flags import run_flags

            return run_flags(words)
        return run_words(words)
    except Failure as failure:
        from aish.output import say

        say(failure.shown)
        return failure.code
    except BrokenPipeError:
        return exits.DONE
    except KeyboardInterrupt:
        return exits.INTERRUPTED


def run_words(words: "list[str]", defaults: "Options | None" = None) -> int:
    """A run whose first word is a command, a script or whom to talk to.

    Raises:
        Failure: what they ask for fails.
    """
    first = words[0]
    if first in COMMANDS:
        return run_command(words)
    if "/" in first or first.endswith(".aish"):
        from aish.script import run_script_file

        return run_script_file(first)
    from aish.client import Hub

    if first == "team-chat" or "," in first or first[:1] == "@" or first[:5] == "team:":
        from aish.broadcast import run_broadcast

        return run_broadcast(Hub(), first, words[1:], defaults)
    from aish.talk import talk

    if defaults is None and not any(word[:1] == "-" for word in words):
        return talk(Hub(), first, " ".join(words[1:]))
    from aish.flags import parsed

    options, text = parsed(words[1:])
    return talk(Hub(), first, text, options.over(defaults) if defaults else options)
