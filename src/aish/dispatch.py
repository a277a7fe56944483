"""Chooses the part of the shell that runs the words of a command line."""

from aish.commands import COMMANDS, run_command
from aish.exits import INVALID_OPTION, WORD

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rhetor.domain.grammar import Options


def usage_failure(message: str) -> Exception:
    from aish.exits import USAGE, Failure

    return Failure(message, USAGE)


def run_words(words: "list[str]", defaults: "Options | None" = None) -> int:
    """Run words that begin with a command, a script file, or the target of a message.

    Raises:
        Failure: the command, the script or the message fails.
    """
    first = words[0]
    if first in COMMANDS:
        if defaults is not None:
            raise usage_failure(
                f"options of a message cannot precede {first}; write options after the command"
            )
        return run_command(words)
    if "/" in first or first.endswith(".aish"):
        from aish.language.shell import run_script_file

        return run_script_file(first, words[1:], defaults)
    from aish.client.hub import Hub

    if words[1:] in (["--help"], ["-h"]):
        from aish.commands.help import show_peer_help

        return show_peer_help(Hub(), first)
    if first == "team-chat" or "," in first or first[:1] == "@" or first[:5] == "team:":
        from aish.language.broadcast import run_broadcast

        return run_broadcast(Hub(), first, words[1:], defaults)
    from aish.exits import Failure

    try:
        return _send(first, words[1:], defaults)
    except Failure as failure:
        # no alias has the name of a peer, so only what is no message to a peer is worth a second request
        is_none = failure.problem in ("unknown_peer", INVALID_OPTION)
        if not is_none or (code := _run_alias(first, words[1:], defaults)) is None:
            failure.unknown = (WORD, first) if failure.problem == "unknown_peer" else failure.unknown
            raise
        return code


def _run_alias(name: str, words: "list[str]", defaults: "Options | None") -> int | None:
    """Run an alias. Return None if there is none, or if no hub is running."""
    from aish.client.hub import Hub
    from aish.exits import Failure
    from aish.language.aliases import aliases

    hub = Hub(may_start=False)
    try:
        line = aliases(hub).get(name)
    except Failure:
        return None
    if line is None:
        return None
    from aish.language.shell import run_alias

    return run_alias(hub, name, line, words, defaults, is_piped_into=True)


def _send(peer: str, words: "list[str]", defaults: "Options | None") -> int:
    from aish.client.hub import Hub
    from aish.turns.message import send_message

    if defaults is None and not any(word[:1] == "-" for word in words):
        return send_message(Hub(), peer, " ".join(words))
    from aish.options import parse_options

    options, text = parse_options(words)
    options = options.over(defaults) if defaults else options
    hub = Hub()
    from aish.turns.prepared import needs_preparing, prepared

    if needs_preparing(options):
        from rhetor.domain.grammar import Call, Target

        call = prepared(hub, Call(Target(peer), text, options))
        text, options = call.text, call.options
    return send_message(hub, peer, text, options)
