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
    return Shell(is_piped_into=True).run_lines(lines, path)


def run_text(text: str, defaults: "Options | None" = None, *, is_piped_into: bool = False) -> int:
    """Run a text of one or more lines: standard input itself, or what is after `-c`, and that is for them."""
    return Shell(defaults=defaults, is_piped_into=is_piped_into).run_lines(text.split("\n"))
