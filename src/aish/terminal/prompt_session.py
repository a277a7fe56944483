"""The input line of a prompt, made with prompt_toolkit: its keys, its menu of completions, its bottom line.

This module does not know what is completed, or what the bottom line says.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.filters import Condition, completion_is_selected, has_completions, is_done, is_searching
from prompt_toolkit.input.vt100 import Vt100Input
from prompt_toolkit.input.vt100_parser import Vt100Parser
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.layout import ConditionalContainer, FormattedTextControl, HSplit, Window
from prompt_toolkit.output.vt100 import Vt100_Output
from prompt_toolkit.search import accept_search
from prompt_toolkit.styles import Style

from aish.output import STDOUT
from aish.terminal.history import PromptHistory
from aish.terminal.tty import window_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import TypeAlias

    from prompt_toolkit.data_structures import Size
    from prompt_toolkit.document import Document

    from aish.terminal.candidates import Complete

    Styled: TypeAlias = list[tuple[str, str]]

_MENU_ROWS, _LEAST_MENU_ROWS = 12, 2
_ESCAPE_SECONDS = 0.1  # after which Esc is a key, and not the beginning of another one
_STYLE = Style.from_dict(
    {
        "completion-menu": "bg:default fg:default",
        "completion-menu.completion": "bg:default fg:default",
        "completion-menu.completion.current": "bg:default fg:default reverse",
        "completion-menu.meta.completion": "bg:default fg:default dim",
        "completion-menu.meta.completion.current": "bg:default fg:default reverse",
        "scrollbar.background": "bg:default",
        "scrollbar.button": "bg:default reverse",
        "aborting": "fg: bg:",
        "bottom": "dim",
        "bottom.alert": "nodim bold",
    }
)


class _Completion(Completion):
    """A completion with what follows it when it is chosen."""

    end = ""

    def new_completion_from_position(self, position: int) -> Completion:
        rest = super().new_completion_from_position(position)
        kept = _Completion(rest.text, 0, display=rest.display, display_meta=self.display_meta)
        kept.end = self.end
        return kept


class _Completer(Completer):
    def __init__(self, complete: Complete) -> None:
        self._complete = complete

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        found = self._complete(document.text_before_cursor)
        for each in found:
            # one from the menu can still be replaced by the next
            text = each.text + each.end if len(found) == 1 else each.text
            completion = _Completion(text, -each.replaces, display=each.shown, display_meta=each.description)
            completion.end = each.end if len(found) > 1 else ""
            yield completion


class _Parser(Vt100Parser):
    """Drops a bracketed paste whose end was lost on the way if Ctrl-C or Ctrl-D is pressed. A key that a
    person presses arrives alone; within a pasted text, these characters mean nothing."""

    def feed(self, data: str) -> None:
        if self._in_bracketed_paste and data and not data.strip("\x03\x04"):
            self.reset()
        super().feed(data)


class _Input(Vt100Input):
    def __init__(self) -> None:
        super().__init__(sys.stdin)
        self.vt100_parser = _Parser(lambda key: self._buffer.append(key))


def make_session(complete: Complete, history: str | None, bottom: Callable[[], Styled]) -> PromptSession[str]:
    """Return the session of an editor. `complete`: returns what could stand at the end of a text, and must
    not wait; `history`: the path of a file; `bottom`: returns the bottom line, hidden if it is empty."""
    session: PromptSession[str] = PromptSession(
        input=_Input(),
        history=PromptHistory(history) if history else None,
        # the terminal could report its cursor position late, when a program already reads the keys
        output=Vt100_Output(sys.stdout, _size, term=os.environ.get("TERM"), enable_cpr=False),
        completer=_Completer(complete),
        complete_while_typing=False,
        enable_history_search=True,
        search_ignore_case=True,
        enable_open_in_editor=True,
        enable_suspend=True,
        key_bindings=_keys(),
        prompt_continuation=_continuation,
        style=_STYLE,
    )
    root = session.layout.container
    assert isinstance(root, HSplit)
    is_shown = ~is_done & Condition(lambda: bool(bottom()))
    root.children.append(
        ConditionalContainer(Window(FormattedTextControl(lambda: [*bottom()]), height=1), is_shown)
    )
    session.app.ttimeoutlen = _ESCAPE_SECONDS
    _take_ctrl_c_once(session)
    session.app.before_render += lambda _: _fit(session)
    return session


def _take_ctrl_c_once(session: PromptSession[str]) -> None:
    """Ignore a second SIGINT, which may arrive when the first one has ended the input already."""
    app, send_sigint = session.app, session.app.key_processor.send_sigint

    def send_while_reading() -> None:
        if app.future is not None and not app.future.done():
            send_sigint()

    app.key_processor.send_sigint = send_while_reading  # type: ignore[method-assign]


def _keys() -> KeyBindings:
    keys = KeyBindings()

    @keys.add("escape", "enter")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    @keys.add("enter", filter=is_searching)
    def _(event: KeyPressEvent) -> None:
        accept_search()
        event.current_buffer.validate_and_handle()

    @keys.add("enter", filter=has_completions & completion_is_selected)
    def _(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        chosen = buffer.complete_state and buffer.complete_state.current_completion
        buffer.complete_state = None
        if isinstance(chosen, _Completion):
            buffer.insert_text(chosen.end)  # the line itself is accepted with the next Enter

    @keys.add("escape", filter=has_completions & _is_alone, eager=True)
    @keys.add("c-g", filter=has_completions)
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.cancel_completion()

    return keys


@Condition
def _is_alone() -> bool:
    """Whether a key is not the first one of several, such as Esc of Alt-Enter."""
    return not get_app().key_processor.input_queue


def _fit(session: PromptSession[str]) -> None:
    """Give the menu as many rows as it needs and the window has. Without a menu, and after deleted lines, let
    the bottom line move up again; by itself, the input never becomes lower."""
    rows, columns = window_size(STDOUT)
    state = session.default_buffer.complete_state
    wanted = len(state.completions) if state else 0
    session.reserve_space_for_menu = 1 + max(min(wanted, _MENU_ROWS, rows - 3), _LEAST_MENU_ROWS)
    renderer = session.app.renderer
    drawn = renderer.last_rendered_screen
    height = session.layout.container.preferred_height(columns, rows).preferred
    if drawn is not None and height < drawn.height:
        renderer.erase(leave_alternate_screen=False)


def _continuation(width: int, line_number: int, wrap_count: int) -> str:
    """Return what stands before a further line of the input; nothing if the line only wraps."""
    return "" if wrap_count else "> ".rjust(width)


def _size() -> Size:
    from prompt_toolkit.data_structures import Size

    return Size(*window_size(STDOUT))
