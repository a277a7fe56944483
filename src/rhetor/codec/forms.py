"""What a text with a pattern must be, in words. A regular expression would not help readers of an error."""

from __future__ import annotations

from typing import Any, Final

from msgspec import Meta

# Names must not contain control characters, because they are displayed and logged. The lookahead is needed in
# Python, where `$` also matches before a final line feed; in the generated JSON Schema it changes nothing.
PLAIN: Final = r"^[^\x00-\x1f\x7f-\x9f]*$(?!\n)"
_REGEX: Final = "Expected `str` matching regex "
_PLACE: Final = " - at `"
_words: dict[str, str] = {PLAIN: "control characters are not allowed"}


def form(pattern: str, words: str, **more: Any) -> Meta:
    """Return the constraint that a text matches the pattern. `words`: what it must be, for errors. `more`:
    further constraints, as of `Meta`."""
    _words[pattern] = words
    return Meta(pattern=pattern, **more)


def in_words(error: str) -> str:
    """Return the text of a msgspec.ValidationError with words instead of a pattern."""
    if not error.startswith(_REGEX):
        return error
    for pattern, words in _words.items():
        shown = _REGEX + repr(pattern)
        if error == shown or error.startswith(shown + _PLACE):
            return words + error.removeprefix(shown)
    return error
