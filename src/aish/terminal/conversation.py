"""A prompt on the user's terminal, and the conversation with one peer that runs at it."""

from contextlib import contextmanager

from aish import exits
from aish.client.hub import Hub, quote
from aish.exits import Failure
from aish.output import say
from aish.terminal.editor import Editor, LineEditor, make_editor
from aish.terminal.talk import Talk
from rhetor.domain.grammar import DEFAULT_WINDOW, Options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aish.catalogue.completion import Names
    from aish.terminal.candidates import Complete

_PROGRAMS = ("terminal", "tool")  # kinds of peers
_WRAPPED = ("terminal", "stdio")  # drivers


@contextmanager
def open_prompt(
    complete: "Callable[[Names], Complete]", *, follows: "tuple[str, str] | None" = None
) -> "Iterator[tuple[Editor, Hub]]":
    """Open a prompt: yield an editor for the user's lines and a hub for their messages.

    On a terminal, permission requests of all peers are shown above the input line, and what a program prints
    unasked in the session `follows`, after a cursor. `complete` returns what Tab completes, from the names
    that the hub knows. Answers survive a restart of the hub.
    """
    editor = make_editor()
    if not editor.is_interactive:
        yield editor, Hub()
        return
    from aish.terminal.hub_feed import HubFeed
    from aish.terminal.permission_notices import PermissionNotices
    from aish.turns.background import Background
    from aish.turns.resuming import ResumingHub

    with Background() as background:
        hub = ResumingHub(background)
        feed = HubFeed(background, hub.home)
        PermissionNotices(feed)
        if follows:
            from aish.terminal.unasked_notices import UnaskedNotices

            UnaskedNotices(feed, *follows)
            hub.unasked_after = int(follows[1].rpartition(":")[2])
        if isinstance(editor, LineEditor):
            from aish.terminal.bottom_line import BottomLine
            from aish.terminal.names import PromptNames

            BottomLine(feed, editor.show_bottom)
            names = PromptNames(feed)
            editor.complete, editor.on_prompt = complete(names), names.refresh
        yield editor, hub


def _session_of(peer: str) -> "tuple[str, str] | None":
    """Return the session of a wrapped program, in which its output between turns is logged too, and its
    cursor; None if the peer is something else, or is not running."""
    found = Hub().ask("GET", f"/api/v2/ai/{quote(peer)}/status")
    if found.get("driver") not in _WRAPPED or not (session_id := found.get("session_id")):
        return None
    cursor = Hub().ask("GET", f"/api/v2/sessions/{quote(session_id)}").get("cursor")
    return (session_id, cursor) if cursor else None


def run_conversation(peer: str, options: Options) -> int:
    """Read messages and commands at the prompt `apollo> `, and send the messages in one session, until
    `exit` or the end of the input. The session is kept.

    Raises:
        Failure: the peer is unknown, or the hub cannot be reached.
    """
    found = Hub().ask("GET", f"/api/v2/ai/{quote(peer)}")
    peer = str(found["id"])
    for option, given in (("-f", options.files), ("-a", options.attachments), ("--schema", options.schema)):
        if given:
            raise Failure(f"{option} goes with one message: aish PEER {option} FILE", exits.USAGE)
    if options.continues:
        from aish.turns.continuing import continued

        options = continued(Hub(), peer, options).without("continues")
    session = _session_of(peer) if found.get("kind") in _PROGRAMS else None
    if options.context_window is None and session is None:  # a wrapped program keeps its own context
        options = Options(context_window=DEFAULT_WINDOW).over(options)
    if not options.quiet:
        say(f"Connected to {peer}. Type 'exit' to end session.")
    with open_prompt(_complete, follows=session) as (editor, hub):
        if isinstance(editor, LineEditor) and not options.quiet:
            say("Type /help for the commands of a conversation.")
        talk = Talk(hub, found, options, editor.read if editor.is_interactive else None)
        while True:
            try:
                line = editor.read(f"{peer}> ", whole=True)
            except KeyboardInterrupt:
                continue
            except EOFError:
                return exits.DONE
            if line.strip() and not talk.take(line):
                return exits.DONE


def _complete(names: "Names") -> "Complete":
    from aish.terminal.line_completion import complete_message

    return lambda text: complete_message(text, names)
