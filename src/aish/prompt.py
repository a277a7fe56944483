"""The shell where a person sits: lines of the grammar, or a conversation with one peer."""

import os
import sys

from aish import exits
from aish.client import Hub
from aish.exits import Failure
from aish.output import STDOUT, say, write
from aish.shell import Exit, Shell, is_unfinished
from aish.talk import STDIN, Turn
from rhetor.domain.grammar import DEFAULT_WINDOW, Options

_MORE = "> "
_LEAVES = ("exit", "quit")


def run_prompt(defaults: Options | None = None) -> int:
    """`aish> ` until `exit` or the end of the input. Ctrl-C ends the line and not the shell."""
    shell = Shell(defaults=defaults)
    while True:
        try:
            line = _whole_line("aish> ")
            if line.strip():
                shell.run(line)
        except KeyboardInterrupt:
            write(STDOUT, b"\n")
        except EOFError:
            return exits.DONE
        except Exit as asked:
            return asked.code


def run_conversation(peer: str, options: Options) -> int:
    """`apollo> ` until `exit` or the end of the input; one session throughout, ended by nobody.

    Raises:
        Failure: the peer is not there, or the hub cannot be reached.
    """
    hub = Hub()
    hub.ask("GET", f"/api/v2/ai/{peer}")
    if options.context_window is None:
        options = Options(context_window=DEFAULT_WINDOW).over(options)
    while True:
        try:
            line = _line(f"{peer}> ")
        except KeyboardInterrupt:
            write(STDOUT, b"\n")
            continue
        except EOFError:
            return exits.DONE
        if line.strip() in _LEAVES:
            return exits.DONE
        if line.strip():
            options = _turn(hub, peer, line, options)


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


def _whole_line(prompt: str) -> str:
    line = _line(prompt)
    while is_unfinished(line):
        line = f"{line}\n{_line(_MORE)}"
    return line


def _line(prompt: str) -> str:
    """Raises:
    EOFError: the input is over.
    """
    if os.isatty(STDIN) and os.isatty(STDOUT):
        import readline  # noqa: F401  # it gives `input` its line editing and its history

        return input(prompt)
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line.rstrip("\r\n")
