"""The catalogue as text of 80 columns: the overview, the help of a command, and that of a topic."""

from textwrap import wrap

from aish.catalogue import chapters, pages_of
from aish.catalogue.messages import MESSAGE
from aish.catalogue.notation import Form
from aish.catalogue.topics import EXIT_CODES, TOPICS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from aish.catalogue.page import Page

_WIDTH = 80
_OPTION_WIDTH = 24
_COMMAND_WIDTH, _SUBCOMMAND_WIDTH = 15, 23
_NO_BREAK = "\xa0"
_HEAD = """\
aish PEER ["message"] [options]   send a message and piped input; the answer
                                  goes to stdout
aish A,B "message"                send it to several peers; also @capability,
                                  team:NAME, team-chat
aish -c 'LINE'                    run a line: git diff | apollo | tee out.md
aish FILE.aish [ARG…]             run a script of such lines
aish                              start the interactive shell
aish -i PEER                      start a conversation with one peer
aish --name NAME                  start the interactive shell under a name, so
                                  that answers can be forwarded to it
"""


def overview() -> str:
    """Return the list of all commands and topics, and the options of a message."""
    parts = [_HEAD]
    for chapter in chapters().values():
        commands = [page for page in chapter.PAGES if " " not in page.name]
        rows = {page.name: page.purpose.rstrip(".") for page in commands}
        parts.append(f"{chapter.TITLE}:\n{_rows(rows, _COMMAND_WIDTH)}\n")
    topics = {name: title for name, (title, _) in TOPICS.items()}
    shown = _rows(topics, _COMMAND_WIDTH)
    parts.append(f"aish help COMMAND shows one command, aish help TOPIC one of these:\n{shown}\n")
    parts.append(message_options())
    return "\n".join(parts)


def message_options() -> str:
    """Return the options of a message, and the exit codes."""
    options = _options(MESSAGE) | {"--": "end the options; what follows is text"}
    rows = _rows(options, _OPTION_WIDTH)
    return f"Options of a message, before or after its text:\n{rows}\n\n{exit_codes()}"


def exit_codes() -> str:
    codes = ", ".join(f"{code} {meaning}" for code, meaning in EXIT_CODES.items())
    return "\n".join(wrap(f"Exit codes: {codes}", _WIDTH)) + "\n"


def page_text(name: str) -> str:
    """Return the help of a command or a subcommand: its usage, its options and two examples."""
    first, *subcommands = pages_of(name)
    parts = [_usage([first, *subcommands]), _about(first)]
    if subcommands:
        rows = {page.name: page.purpose.rstrip(".") for page in subcommands}
        parts.append(_rows(rows, _SUBCOMMAND_WIDTH))
        parts.append(f"aish {name} SUBCOMMAND --help shows the options of one of these.")
    return "\n\n".join([*parts, *_options_and_examples(first)])


def topic_text(name: str) -> str:
    """Return the text of a topic."""
    if name == "exit-codes":
        return exit_codes()
    if name != "messages":
        return TOPICS[name][1]
    usage = 'usage: aish TARGET ["message"] [options]'
    return "\n\n".join([usage, _about(MESSAGE), *_options_and_examples(MESSAGE)])


def _about(page: "Page") -> str:
    return "\n".join([page.purpose, *wrap(page.details, _WIDTH)])


def _usage(found: "Iterable[Page]") -> str:
    """Return the usage lines. One that is too long continues on the next line, between two groups."""
    indents = "usage: aish ", "       aish "
    lines: list[str] = []
    for number, form in enumerate(form for page in found for form in page.forms):
        groups = "".join(_NO_BREAK if char == " " and depth else char for char, depth in _depths(form))
        lines += wrap(
            groups,
            _WIDTH,
            initial_indent=indents[number > 0],
            subsequent_indent=" " * 9,
            break_long_words=False,
            break_on_hyphens=False,
        )
    return "\n".join(lines).replace(_NO_BREAK, " ")


def _depths(form: str) -> "Iterator[tuple[str, int]]":
    """Yield each character with the number of brackets that it is in."""
    depth = 0
    for char in form:
        depth += {"[": 1, "(": 1, "]": -1, ")": -1}.get(char, 0)
        yield char, depth


def _options_and_examples(page: "Page") -> "Iterator[str]":
    if options := _options(page):
        yield f"Options:\n{_rows(options, _OPTION_WIDTH)}"
    examples = "\n".join(f"  {line}\n      {what}" for line, what in page.examples.items())
    yield f"Examples:\n{examples}"


def _options(page: "Page") -> "dict[str, str]":
    """Return what the options of a page do, by how they are written."""
    forms = map(Form, page.forms)
    return {str(option): page.purpose_of(option) for form in forms for option in form.options.values()}


def _rows(rows: "Mapping[str, str]", width: int) -> str:
    return "\n".join(line for left, right in rows.items() for line in _row(left, right, width))


def _row(left: str, right: str, width: int) -> "Iterator[str]":
    """Yield the lines of a row. If the left cell is too wide, the right one begins on the next line."""
    lines = wrap(right, _WIDTH - width)
    if len(left) + 2 >= width:
        yield f"  {left}"
        left = ""
    for line in lines:
        yield f"  {left:<{width - 2}}{line}"
        left = ""
