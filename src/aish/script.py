"""Lines from elsewhere than a prompt: a file, standard input, or one word of the command line."""

from aish import exits
from aish.exits import Failure
from aish.shell import Shell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rhetor.domain.grammar import Options


def run_script_file(path: str) -> int:
    """Run the lines of a file; its first may be `#!/usr/bin/env aish`.

    Raises:
        Failure: the file cannot be read.
    """
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = file.read().split("\n")
    except OSError as error:
        raise Failure(f"aish: {path}: {error.strerror}", exits.UNKNOWN) from None
    return Shell().run_lines(lines, path)


def run_text(text: str, defaults: "Options | None" = None, name: str = "") -> int:
    """Run a text of one or more lines, as after `-c` or from standard input."""
    return Shell(defaults=defaults).run_lines(text.split("\n"), name)
