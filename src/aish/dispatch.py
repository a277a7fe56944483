"""Which part of the shell runs the words of a command line."""

from aish.commands import COMMANDS, run_command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rhetor.domain.grammar import Options


def run_words(words: "list[str]", defaults: "Options | None" = None) -> int:
    """A run whose first word is a command, a script or whom to talk to.

    Raises:
        Failure: what they ask for fails.
    """
    first = words[0]
    if first in COMMANDS:
        return run_command(words)
    if "/" in first or first.endswith(".aish"):
        from aish.language.shell import run_script_file

        return run_script_file(first)
    from aish.client.hub import Hub

    if first == "team-chat" or "," in first or first[:1] == "@" or first[:5] == "team:":
        from aish.language.broadcast import run_broadcast

        return run_broadcast(Hub(), first, words[1:], defaults)
    from aish.turns.message import talk

    if defaults is None and not any(word[:1] == "-" for word in words):
        return talk(Hub(), first, " ".join(words[1:]))
    from aish.options import parsed

    options, text = parsed(words[1:])
    return talk(Hub(), first, text, options.over(defaults) if defaults else options)
