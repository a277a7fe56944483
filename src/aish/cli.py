"""The entry point of the shell. It turns a failure into a message on stderr and an exit code.

`aish apollo "hi"` takes the shortest path. Options, commands, lines of the grammar and the conversation are
imported when they are needed.
"""

import sys

from aish import exits
from aish.dispatch import run_words
from aish.exits import Failure
from aish.output import open_standard_descriptors, say
from aish.turns.signals import Terminated

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: "Sequence[str] | None" = None) -> int:
    """Run the shell with these words, by default those of the process, and return the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    open_standard_descriptors()
    try:
        if not words or words[0][:1] == "-":
            from aish.flags import run_flags

            return run_flags(words)
        return run_words(words)
    except Failure as failure:
        from aish.client.failures import say_failure

        say_failure(failure)
        return failure.code
    except BrokenPipeError:
        return exits.DONE
    except KeyboardInterrupt:
        return exits.INTERRUPTED
    except Terminated as signal:
        return signal.end()
    except Exception as error:  # noqa: BLE001  # a bug; the traceback is for its report
        from aish.client.unexpected import unexpected

        say(unexpected(error).shown)
        return exits.FAILED
