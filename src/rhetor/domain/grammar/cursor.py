"""Splits what is typed up to the cursor into the words before it and the beginning of the word at it."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_SEPARATORS = "|;&{\n"
_BLANKS = " \t\n"


def split(text: str) -> "tuple[list[str], str]":
    """Return the words before the cursor, which is at the end of the text, and the beginning of its word.
    Quotes and backslashes are resolved as in `sh`."""
    *words, cursor = _words(text)
    return words, cursor


def last_stage(text: str) -> str:
    """Return the text after the last unquoted `|`, `;`, `&`, `{` or newline: the stage that is typed."""
    begin = 0
    for at, char, is_quoted in _chars(text):
        if char in _SEPARATORS and not is_quoted:
            begin = at + 1
    return text[begin:].lstrip(_BLANKS)


def open_quote(text: str) -> str:
    """Return the quote that is open at the end of the text, or an empty string."""
    return next(reversed([quote for *_, quote in _scanned(text)]), "")


def typed_word(text: str) -> str:
    """Return the word at the end of the text as it is typed, with its quotes."""
    begin = at = 0
    inside = ""
    while at < len(text):
        char = text[at]
        if char == "\\" and inside != "'":
            at += 1
        elif inside:
            inside = "" if char == inside else inside
        elif char in "\"'":
            inside = char
        elif char in " \t\n|;&{":
            begin = at + 1
        at += 1
    return text[begin:]


def _words(text: str) -> "Iterator[str]":
    """Yield the words; the last one, at the cursor, may be empty."""
    word, has_begun = "", False
    end = 0
    for at, char, is_quoted in _chars(text):
        is_marked = at > end  # a quote or a backslash precedes the character
        end = at + 1
        if char in _BLANKS and not is_quoted:
            if has_begun or is_marked:
                yield word
            word, has_begun = "", False
        else:
            word, has_begun = word + char, True
    yield word


def _chars(text: str) -> "Iterator[tuple[int, str, bool]]":
    """Yield the characters without quotes and backslashes: their places, and whether they are quoted."""
    for at, char, is_text, is_quoted, _ in _scanned(text):
        if is_text:
            yield at, char, is_quoted


def _scanned(text: str) -> "Iterator[tuple[int, str, bool, bool, str]]":
    """Yield each character: its place, whether it is more than a quote or a backslash, whether it is quoted,
    and the quote that is open after it."""
    quote = ""
    skips = False
    for at, char in enumerate(text):
        is_text, is_quoted = skips, True
        if skips:
            skips = False
        elif char == "\\" and quote != "'":
            skips = True
        elif char == quote:
            quote = ""
        elif char in "\"'" and not quote:
            quote = char
        else:
            is_text, is_quoted = True, bool(quote)
        yield at, char, is_text, is_quoted, quote
