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
    from aish.turns.message import send_message

    if defaults is None and not any(word[:1] == "-" for word in words):
        return send_message(Hub(), first, " ".join(words[1:]))
    from aish.options import parse_options

    options, text = parse_options(words[1:])
    return send_message(Hub(), first, text, options.over(defaults) if defaults else options)
