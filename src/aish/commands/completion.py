"""`aish completion bash|zsh|fish`: the script with which Tab completes `aish` in that shell.

The script calls `aish completion reply`, which is not shown: it prints what can stand at the cursor. It must
answer at once, so this module imports only what it needs for that.
"""

from aish.catalogue.completion import complete
from aish.commands import usage_error
from aish.output import STDOUT, print_text, write
from rhetor.domain.grammar.cursor import open_quote, split

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from aish.catalogue.completion import Completion

SHELLS = ("bash", "zsh", "fish")
_REPLY = "reply"
_PREFIXES = "@$"  # the special prefixes of readline in bash
_LIVE = '\\"$`!'  # in double quotes
_PLAIN = "-_./:@,=+%^"  # besides letters and digits, needs no backslash in bash


def completion(words: "list[str]") -> int:
    """Print the script for a shell, or what can stand at the cursor.

    Raises:
        Failure: the words are invalid.
    """
    if words[:1] == [_REPLY] and len(words) > 2 and words[1] in _REPLIES:
        return _reply(_REPLIES[words[1]](words[2:]))
    if len(words) != 1 or words[0] not in SHELLS:
        raise usage_error("completion")
    from aish.commands.completion_scripts import SCRIPTS

    return print_text(SCRIPTS[words[0]])


def _reply(lines: "list[str]") -> int:
    write(STDOUT, "".join(f"{line}\n" for line in lines).encode("utf-8", "replace"))
    return 0


def _found(words: "list[str]", cursor: str) -> "Completion":
    from aish.client.names import HubNames

    return complete(words, cursor, HubNames())


def _bash(given: "list[str]") -> "list[str]":
    """Return what else can stand there, and a line per candidate, from the line up to the cursor and the
    characters at which bash splits words. bash replaces only what follows the last of these; `@` and `$` are
    a part of what follows."""
    line, breaks = given[0], "".join(given[1:2])
    words, cursor = split(line)
    found = _found(words[1:], cursor)
    quote = open_quote(line)
    kept = split(line[: line.rindex(quote)])[1] if quote else ""
    ends = (cursor.rfind(char) + (char not in _PREFIXES) for char in breaks if char in cursor)
    done = len(kept) if quote else max(ends, default=0)
    return [found.also, *(_escaped(candidate.text[done:], quote) for candidate in found.candidates)]


def _escaped(text: str, quote: str) -> str:
    """Return the text as bash takes it within these quotes, or without quotes."""
    if quote == "'":
        return text.replace("'", "'\\''")
    if quote:
        return "".join(f"\\{char}" if char in _LIVE else char for char in text)
    return "".join(char if char.isalnum() or char in _PLAIN else f"\\{char}" for char in text)


def _zsh(given: "list[str]") -> "list[str]":
    """Return what else can stand there, the length of what precedes it in its word, and a line per candidate,
    from the words up to the cursor."""
    *words, cursor = given
    cursor = split(cursor)[1]
    found = _found(words, cursor)
    rows = [
        f"{candidate.text.replace(':', chr(92) + ':')}:{candidate.description}"
        for candidate in found.candidates
    ]
    skipped = len(cursor) - len(found.stem) if found.also else 0
    return [found.also or "none", str(skipped), *rows]


def _fish(given: "list[str]") -> "list[str]":
    """Return what else can stand there, what precedes it in its word, its beginning, and a line per
    candidate, from the words up to the cursor."""
    *words, cursor = given
    cursor = split(cursor)[1]
    found = _found(words, cursor)
    head = cursor[: len(cursor) - len(found.stem)] if found.also else ""
    rows = [f"{candidate.text}\t{candidate.description}" for candidate in found.candidates]
    return [found.also, head, found.stem, *rows]


_REPLIES: "dict[str, Callable[[list[str]], list[str]]]" = {"bash": _bash, "zsh": _zsh, "fish": _fish}
COMMANDS = {"completion": completion}
