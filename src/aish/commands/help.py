"""`aish help [COMMAND]`: how the shell, or one of its commands, is written."""

from aish import exits
from aish.commands import COMMANDS, noun_of, usage
from aish.exits import unknown
from aish.output import STDOUT, write

HOW = "aish help [COMMAND]"


def run(words: "list[str]") -> int:
    """Raises:
    Failure: the words do not hold together, or there is no such command.
    """
    if len(words) > 1:
        raise usage(HOW)
    if words and words[0] not in COMMANDS:
        raise unknown(words[0])
    from aish.overview import OVERVIEW

    text = _of_command(words[0]) if words else OVERVIEW
    write(STDOUT, text.encode("utf-8", "replace"))
    return exits.DONE


def _of_command(command: str) -> str:
    """Its forms, one a line, and what it is for, as its module says."""
    noun = noun_of(command)
    forms = [_whole(form, noun.HOW.split()[1]) for form in noun.HOW.split(" | ")]
    _, _, purpose = " ".join((noun.__doc__ or "").split()).partition("`: ")
    return "\n       ".join(forms).join(("usage: ", "\n")) + (f"\n{purpose[:1].upper()}{purpose[1:]}\n")


def _whole(form: str, command: str) -> str:
    """Later forms leave out `aish`, and most the command."""
    first, _, _ = form.partition(" ")
    if first == "aish":
        return form
    return f"aish {form}" if first == command else f"aish {command} {form}"
