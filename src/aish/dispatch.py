"""Chooses the part of the shell that runs the words of a command line."""

from aish.commands import COMMANDS, run_command

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
    from aish.exits import USAGE, Failure

    try:
        return _send(first, words[1:], defaults)
    except Failure as failure:
        # a peer has another name than an alias, and only if there is no peer it is worth asking for aliases
        if failure.problem != "unknown_peer" and (failure.code != USAGE or failure.status):
            raise
        from aish.language.aliases import aliases

        hub = Hub()
        if (line := aliases(hub).get(first)) is None:
            raise
        from aish.language.shell import run_alias

        return run_alias(hub, first, line, words[1:], defaults, is_piped_into=True)


def _send(peer: str, words: "list[str]", defaults: "Options | None") -> int:
    from aish.client.hub import Hub
    from aish.turns.message import send_message

    if defaults is None and not any(word[:1] == "-" for word in words):
        return send_message(Hub(), peer, " ".join(words))
    from aish.options import parse_options

    options, text = parse_options(words)
    return send_message(Hub(), peer, text, options.over(defaults) if defaults else options)
