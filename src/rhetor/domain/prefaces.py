"""What coding agents put before the words of a person: notes in tags, such as `<system-reminder>`."""

import re

# tags of HTML, with which a person may begin, have neither - nor _
_NOTE = re.compile(r"\s*<([a-z]+(?:[-_][a-z]+)+)>.*?</\1>\s*", re.DOTALL)


def without_prefaces(text: str) -> str:
    """Return the text without the notes before it; unchanged if it has nothing else, or a note is cut off."""
    place = 0
    while note := _NOTE.match(text, place):
        place = note.end()
    return text[place:] or text
