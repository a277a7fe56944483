"""Markdown as a terminal shows it. Imported only when there is some to show, because `rich` takes a while.

The text of models is not trusted: what its entities decode to is filtered like everything else, and links are
shown as text, so that only colours reach the terminal.
"""

import os
import re
from io import StringIO
from typing import ClassVar

from markdown_it import MarkdownIt
from markdown_it.token import Token
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import (
    CodeBlock,
    Heading,
    ListItem,
    Markdown,
    MarkdownElement,
    Paragraph,
    TableElement,
)
from rich.rule import Rule
from rich.segment import Segment
from rich.syntax import Syntax
from rich.text import Text
from rich.theme import Theme

from aish.render import RESET, Filter, cleaned

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_LEAST_COLUMN = 7  # cells of a column; a table whose columns would be narrower is shown as a list
_END = re.compile(r"(?: |\x1b\[[0-9;]*m)+\Z")
_THEME = Theme(
    {
        "markdown.h1": "bold underline",
        "markdown.h2": "bold",
        "markdown.h3": "bold",
        "markdown.h4": "bold dim",
        "markdown.h5": "bold dim",
        "markdown.h6": "bold dim",
        "markdown.code": "cyan",
        "markdown.a": "underline blue",
        "markdown.url": "dim blue",
        "markdown.block_quote": "dim",
        "markdown.hr": "dim",
        "markdown.item.bullet": "yellow",
        "markdown.item.number": "yellow",
        "markdown.table.header": "bold",
        "markdown.table.border": "dim",
    }
)


class _Plain(Paragraph):
    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        self.text.justify = "default"
        yield self.text


class _Heading(Heading):
    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self.text


class _Code(CodeBlock):
    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        code = str(self.text).rstrip()
        yield Syntax(code, self.lexer_name, theme=self.theme, word_wrap=True, background_color="default")


class _Item(ListItem):
    """An item of a list. Its number has a period, as in the source."""

    def render_number(
        self, console: Console, options: ConsoleOptions, number: int, last_number: int
    ) -> RenderResult:
        columns = len(str(last_number)) + 3
        inner = options.update(width=max(options.max_width - columns, 1))
        style = console.get_style("markdown.item.number")
        for at, line in enumerate(console.render_lines(self.elements, inner, style=self.style)):
            yield Segment(" " * columns if at else f"{number}. ".rjust(columns), style)
            yield from line
            yield Segment.line()


class _Line(MarkdownElement):
    new_line = True

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Rule(style=console.get_style("markdown.hr"), characters="─")


class _Table(TableElement):
    """A table, or a list of its rows if the screen is too narrow for its columns."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        names = [cell.content for cell in self.header.row.cells] if self.header and self.header.row else []
        if len(names) * _LEAST_COLUMN <= options.max_width:
            yield from super().__rich_console__(console, options)
            return
        for number, row in enumerate(self.body.rows if self.body else ()):
            if number:
                yield Text("─" * min(options.max_width, _LEAST_COLUMN), style="markdown.hr")
            for name, cell in zip(names, row.cells, strict=False):
                yield Text.assemble((name.plain, "markdown.table.header"), ": ", cell.content)


class _Page(Markdown):
    """Blocks whose tokens are known."""

    elements: ClassVar = {
        **Markdown.elements,
        "paragraph_open": _Plain,
        "heading_open": _Heading,
        "fence": _Code,
        "code_block": _Code,
        "hr": _Line,
        "list_item_open": _Item,
        "table_open": _Table,
    }
    inlines = Markdown.inlines | {"a", "url"}

    def __init__(self, tokens: "list[Token]") -> None:
        super().__init__("", code_theme=_code_theme(), hyperlinks=False)
        self.parsed = tokens


class Parser:
    """Parses the blocks of one text, one part after the other. A part can use the links that earlier parts
    define."""

    def __init__(self) -> None:
        self._parser = MarkdownIt("commonmark", {"html": False}).enable(["strikethrough", "table"])
        self._environment: dict[str, object] = {}

    def parse(self, source: str) -> "list[tuple[int, list[Token]]]":
        """Return the blocks of a source: the line with which each one begins, and its tokens."""
        blocks: list[tuple[int, list[Token]]] = []
        for token in self._parser.parse(source, self._environment):
            if token.level == 0 and token.nesting >= 0:
                blocks.append((token.map[0] if token.map else 0, []))
            blocks[-1][1].append(token)
        return blocks


def rendered(blocks: "Sequence[list[Token]]", columns: int) -> list[str]:
    """Return blocks as lines of at most so many cells, with an empty line between them."""
    lines: list[str] = []
    console = _console(columns)
    for tokens in blocks:
        with console.capture() as capture:
            console.print(_Page(list(_prepared(tokens))), end="")
        shown = Filter().feed(capture.get()).rstrip("\n").split("\n")
        lines += ([""] if lines else []) + _without_edges(map(_trimmed, shown))
    return lines


def _without_edges(lines: "Iterator[str]") -> list[str]:
    """Return the lines without empty ones at the beginning and the end."""
    found = list(lines)
    while found and not found[0]:
        del found[0]
    while found and not found[-1]:
        del found[-1]
    return found


def _trimmed(line: str) -> str:
    """Return a line without blanks at its end, which `rich` adds."""
    kept = _END.sub("", line)
    return f"{kept}{RESET}" if "\x1b" in kept else kept


def _prepared(tokens: "Sequence[Token]") -> "Iterator[Token]":
    for token in tokens:
        token.content = cleaned(token.content)
        token.info = cleaned(token.info)
        if token.children:
            token.children = list(_inline(token.children))
        yield token


def _inline(tokens: "Sequence[Token]") -> "Iterator[Token]":
    """Yield the tokens of a line, in which links and images are text with their addresses."""
    address, text = "", ""
    for token in tokens:
        token.content = cleaned(token.content)
        if token.type == "link_open":
            address, text = cleaned(str(token.attrs.get("href", ""))), ""
            yield Token("a_open", "a", 1)
        elif token.type == "link_close":
            yield Token("a_close", "a", -1)
            if address and address not in (text, f"mailto:{text}"):
                yield from _styled("url", f" ({address})")
        elif token.type == "image":
            yield from _styled(
                "url", f"[{token.content or 'image'}] ({cleaned(str(token.attrs.get('src', '')))})"
            )
        else:
            text += token.content
            yield token


def _styled(tag: str, content: str) -> "Iterator[Token]":
    yield Token(f"{tag}_open", tag, 1)
    yield Token("text", "", 0, content=content)
    yield Token(f"{tag}_close", tag, -1)


def _console(columns: int) -> Console:
    colours = None if os.environ.get("NO_COLOR") else "standard"
    return Console(
        file=StringIO(),
        width=columns,
        color_system=colours,  # type: ignore[arg-type]
        force_terminal=True,
        no_color=colours is None,
        theme=_THEME,
        markup=False,
        emoji=False,
        highlight=False,
    )


def _code_theme() -> str:
    """Return the theme for code, in the terminal's own colours: a light one if its background is light."""
    ground = os.environ.get("COLORFGBG", "").rpartition(";")[2]
    return "ansi_light" if ground in ("7", "15") else "ansi_dark"
