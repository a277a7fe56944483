"""The manual page aish(1), in the man macros of roff: `python -m aish.catalogue.man_page FOLDER`."""

import sys
from pathlib import Path

from aish.catalogue import chapters
from aish.catalogue.messages import MESSAGE, SHELL
from aish.catalogue.notation import Form
from aish.catalogue.topics import EXIT_CODES, TOPICS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from aish.catalogue.page import Page

_ENVIRONMENT = {
    "RHETOR_HOME": "the state folder of the hub, by default ~/.local/state/rhetor",
    "AISH_NAME": "the name of this terminal, set by aish --name NAME",
    "NO_COLOR": "if set, nothing is coloured",
    "VISUAL, EDITOR": "the editor of aish config edit and of the prompt",
}


def man_page() -> str:
    """Return the source of the page."""
    return "\n".join([*_lines(), ""])


def _lines() -> "Iterator[str]":
    yield '.TH AISH 1 "" aish "User Commands"'
    yield from (".SH NAME", _text("aish - a shell in which every AI is a named peer"), ".SH SYNOPSIS")
    yield from _synopsis('TARGET ["message"] [OPTION]…', *SHELL.forms, "COMMAND [ARG…]")
    yield from (".SH DESCRIPTION", _text(MESSAGE.purpose), _text(MESSAGE.details), _text(SHELL.details))
    yield from (".SH OPTIONS", *_options(SHELL), ".SS Options of a message", *_options(MESSAGE))
    yield ".SH COMMANDS"
    for chapter in chapters().values():
        yield f".SS {_text(chapter.TITLE)}"
        for page in chapter.PAGES:
            yield from _page(page)
    yield from (".SH GRAMMAR", *_as_is(TOPICS["grammar"][1]), ".SH PROMPT", *_as_is(TOPICS["prompt"][1]))
    yield from (".SH ENVIRONMENT", *_rows(_ENVIRONMENT), ".SH EXIT STATUS", *_rows(EXIT_CODES))
    yield from (".SH EXAMPLES", *_examples(MESSAGE), *_examples(SHELL))
    yield from (".SH SEE ALSO", _text("aish help, aish COMMAND --help, and the documentation in docs/."))


def _synopsis(*forms: str) -> "Iterator[str]":
    for number, form in enumerate(forms):
        yield from ([".br"] if number else [])
        yield f"\\fBaish\\fR {_text(form)}"


def _page(page: "Page") -> "Iterator[str]":
    """Yield a command with its usage lines, options and examples."""
    forms = page.forms or (page.name,)
    for number, form in enumerate(forms):
        yield from [
            ".TP" if number == 0 else ".TQ",
            f"\\fBaish {_text(page.name)}\\fR{_text(form[len(page.name) :])}",
        ]
    yield _text(page.purpose)
    if page.details:
        yield _text(page.details)
    if page.forms:
        yield from (".RS", *_options(page), *_examples(page), ".RE")


def _options(page: "Page") -> "Iterator[str]":
    found = {str(option): option for form in map(Form, page.forms) for option in form.options.values()}
    yield from _rows({name: page.purpose_of(option) for name, option in found.items()})


def _rows(rows: "dict[str, str]") -> "Iterator[str]":
    for left, right in rows.items():
        yield from (".TP", f"\\fB{_text(left)}\\fR", _text(right))


def _examples(page: "Page") -> "Iterator[str]":
    for line, what in page.examples.items():
        yield from (".TP", f"\\fI{_text(line)}\\fR", _text(what))


def _as_is(text: str) -> "Iterator[str]":
    yield from (".nf", ".in 0", *map(_text, text.splitlines()), ".in", ".fi")


def _text(text: str) -> str:
    """Return the text without anything that roff would interpret."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    escaped = "".join(char if char.isascii() else f"\\[u{ord(char):04X}]" for char in escaped)
    return f"\\&{escaped}" if escaped[:1] in (".", "'") else escaped


def main(folder: str) -> None:
    """Write the page to a folder of manual pages."""
    path = Path(folder, "man1", "aish.1")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(man_page(), encoding="ascii")


if __name__ == "__main__":
    main(sys.argv[1])
