"""`aish search WORDS [--json]`: messages that have all the words, best first."""

from aish import exits
from aish.client.hub import Hub
from aish.commands import usage
from aish.output import STDOUT, write

HOW = "aish search WORDS [--json]"
_BOLD, _PLAIN = "\x1b[1m", "\x1b[0m"


def run(words: "list[str]") -> int:
    """Exit code 1 where nothing has the words, as `grep` does.

    Raises:
        Failure: there are no words, or the hub cannot be reached.
    """
    as_json = "--json" in words
    wanted = " ".join(word for word in words if word != "--json")
    if not wanted.strip():
        raise usage(HOW)
    hits = Hub().ask("GET", f"/api/v2/search?q={_quoted(wanted)}")["hits"]
    if as_json:
        from aish.commands.history import as_lines

        write(STDOUT, as_lines(hits).encode("utf-8", "replace"))
    else:
        write(STDOUT, "".join(map(_shown, hits)).encode("utf-8", "replace"))
    return exits.DONE if hits else exits.FAILED


def _quoted(text: str) -> str:
    from urllib.parse import quote

    return quote(text, safe="", errors="replace")


def _shown(hit: "dict[str, object]") -> str:
    who = f"{hit['ai']}" if hit["role"] == "assistant" else f"you to {hit['ai']}"
    return f"{str(hit['at'])[:19].replace('T', ' ')}  {who}\n  {_marked(hit)}\n"


def _marked(hit: "dict[str, object]") -> str:
    """The excerpt on one line, the words that were found in bold on a terminal."""
    import os

    from aish.render import cleaned

    excerpt, places = str(hit["excerpt"]), hit["highlights"]
    bold = os.isatty(STDOUT) and not os.environ.get("NO_COLOR")
    text, at = "", 0
    for start, length in places if bold else ():  # type: ignore[attr-defined]
        text += cleaned(excerpt[at:start]) + _BOLD + cleaned(excerpt[start : start + length]) + _PLAIN
        at = start + length
    return " ".join((text + cleaned(excerpt[at:])).split())
