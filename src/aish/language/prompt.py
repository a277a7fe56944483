"""The shell where a person sits: lines of the grammar, or a conversation with one peer."""

from contextlib import contextmanager

from aish import exits
from aish.client.hub import Hub, quote
from aish.commands import COMMANDS
from aish.exits import Failure
from aish.language.shell import Exit, Shell, is_unfinished
from aish.output import STDOUT, say, write
from aish.terminal.editor import Editor, LineEditor, editor
from aish.turns.message import Turn
from rhetor.domain.grammar import DEFAULT_WINDOW, Options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_MORE = "> "
_LEAVES = ("exit", "quit")


def run_prompt(defaults: Options | None = None) -> int:
    """`aish> ` until `exit` or the end of the input. Ctrl-C ends the line and not the shell."""
    with _at_prompt() as (lines, hub):
        shell = Shell(hub, defaults)
        while True:
            try:
                line = _whole_line(lines, "aish> ")
            except KeyboardInterrupt:
                continue
            except EOFError:
                return exits.DONE
            try:
                if line.strip() and shell.run(line) == exits.INTERRUPTED:
                    write(STDOUT, b"\n")  # behind the ^C that the terminal has shown
            except KeyboardInterrupt:
                write(STDOUT, b"\n")
            except Exit as asked:
                return asked.code


def run_conversation(peer: str, options: Options) -> int:
    """`apollo> ` until `exit` or the end of the input; one session throughout, ended by nobody.

    Raises:
        Failure: the peer is not there, or the hub cannot be reached.
    """
    Hub().ask("GET", f"/api/v2/ai/{quote(peer)}")
    if options.context_window is None:
        options = Options(context_window=DEFAULT_WINDOW).over(options)
    with _at_prompt() as (lines, hub):
        while True:
            try:
                line = lines.read(f"{peer}> ", whole=True)
            except KeyboardInterrupt:
                continue
            except EOFError:
                return exits.DONE
            if line.strip() in _LEAVES:
                return exits.DONE
            if line.strip():
                options = _turn(hub, peer, line, options)


@contextmanager
def _at_prompt() -> "Iterator[tuple[Editor, Hub]]":
    """Where a person sits there, peers that ask for permission ring, and answers outlive the hub."""
    found = editor()
    if not found.is_for_person:
        yield found, Hub()
        return
    from aish.terminal.permission_bell import Ringing
    from aish.turns.background import Background
    from aish.turns.resuming import ResumingHub

    with Background() as background:
        hub = ResumingHub(background)
        ringing = Ringing(background, hub.home)
        if isinstance(found, LineEditor):
            found.words = lambda: COMMANDS | ringing.names()
        yield found, hub


def _turn(hub: Hub, peer: str, line: str, options: Options) -> Options:
    """One message of a conversation; the options for the next one, which goes on in the same session."""
    turn = Turn(hub, peer, options)
    try:
        turn.run(line)
    except Failure as failure:
        say(failure.shown)
    except KeyboardInterrupt:
        write(STDOUT, b"\n")
    return Options(session_id=turn.session_id).over(options) if turn.session_id else options


def _whole_line(lines: Editor, prompt: str) -> str:
    line = lines.read(prompt)
    while is_unfinished(line):
        line = f"{line}\n{lines.read(_MORE)}"
    return line
