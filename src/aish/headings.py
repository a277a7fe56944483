"""Quotes the answers that are shown under headings (`[From Apollo]`), so that no answer can pass for the
heading of another one: `[From Athena]` in an answer becomes `[ From Athena]`.

Piped output is changed only at the beginning of a line. On a terminal, a heading can also seem to begin where
a long line wraps, so it is quoted wherever it stands.
"""

import re

from aish.render import Filter, cleaned

_COLOUR = r"(?:\x1b\[[0-9;:]*m)*"
_LETTER = rf"{_COLOUR}([^\W\d_])"
_IMITATION = re.compile(rf"([\[\uff3b]){_COLOUR}\s{{0,64}}{_LETTER * 4}{_COLOUR}(?=\s)")
# the end of a piece that may go on as an imitation
_UNDECIDED = re.compile(rf"[\[\uff3b]{_COLOUR}\s{{0,64}}(?:{_LETTER}){{0,4}}{_COLOUR}\Z")
_INDENT = re.compile(r"\s*")
_WORD = "from"
# Latin, Greek and Cyrillic letters that look like f, r, o and m
_LOOKALIKES = str.maketrans("\u0192\u03dd\u0493\u0433\u1d26\u043e\u03bf\u05850\u043c\u1d0d", "fffrroooomm")


class Quoting:
    """Quotes the text of one peer's part, which arrives in pieces, for a terminal."""

    def __init__(self) -> None:
        self._filter = Filter()
        self._held = ""

    def feed(self, text: str) -> str:
        """Return the text that can be shown now."""
        shown = self._held + self._filter.feed(text)
        undecided = _UNDECIDED.search(shown)
        at = undecided.start() if undecided else len(shown)
        self._held = shown[at:]
        return _IMITATION.sub(_quoted, shown[:at])

    def end(self) -> str:
        """Return the rest of the text. Colours may still be set."""
        held, self._held = self._held, ""
        return held


def quoted_on_terminal(text: str) -> str:
    """Return a complete part, quoted for a terminal."""
    quoting = Quoting()
    return quoting.feed(text) + quoting.end()


def quoted_lines(text: str) -> str:
    """Return a complete part, with those lines quoted that begin like a heading."""
    if "[" not in text and "\uff3b" not in text:
        return text
    return "".join(map(_quoted_line, text.splitlines(keepends=True)))


def _quoted_line(line: str) -> str:
    content = line.rstrip("\r\n\v\f\x1c\x1d\x1e\x85\u2028\u2029")
    visible = cleaned(content)  # what a terminal would show, without what cannot be seen
    indent = _INDENT.match(visible)
    found = _IMITATION.match(visible, indent.end() if indent else 0)
    if found is None or _quoted(found) == found[0]:
        return line
    at = content.find(found[1])
    # if something invisible stands in between, only what can be seen is kept
    kept = content if content[:at].isspace() or at == 0 else visible
    at = kept.find(found[1]) + 1
    return f"{kept[:at]} {kept[at:]}{line[len(content) :]}"


def _quoted(found: "re.Match[str]") -> str:
    from unicodedata import normalize

    word = normalize("NFKC", "".join(found.groups()[1:])).casefold().translate(_LOOKALIKES)
    return f"{found[1]} {found[0][1:]}" if word == _WORD else found[0]
