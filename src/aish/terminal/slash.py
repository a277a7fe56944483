"""The commands of a conversation, such as `/undo`: what they are called, and which texts are one."""

from aish import exits
from aish.exits import Failure

# the command, what follows it, and what it does
COMMANDS = {
    "/help": ("", "shows these commands"),
    "/model": ("[MODEL|default]", "shows the model, or sets it"),
    "/system": ("[TEXT|default]", "shows the system prompt, or sets it"),
    "/file": ("[FILE…]", "sends text files with the next message"),
    "/edit": ("", "opens the last message in $EDITOR, and sends the result"),
    "/save": ("[-f] FILE", "saves the conversation as Markdown; -f replaces a file"),
    "/retry": ("", "takes back the last answer, and asks again"),
    "/undo": ("", "takes back the last message and its answer"),
    "/exit": ("", "leaves the conversation, which is kept"),
}
_TWICE = "//"


def command_in(text: str) -> "tuple[str, str] | None":
    """Return the command in a text, and what follows it; None if the text is a message.

    Raises:
        Failure: it begins as a command does, but is none.
    """
    line = text.strip()
    if not line.startswith("/") or line.startswith(_TWICE) or "\n" in line:
        return None  # several lines are a message, such as pasted code
    word, _, rest = line.partition(" ")
    if word not in COMMANDS:
        raise Failure(
            f"unknown command {word}",
            exits.USAGE,
            hint=f"{_nearest(word)}to send it as text, type /{word} …; /help lists the commands",
        )
    return word, rest.strip()


def message_in(text: str) -> str:
    """Return the message in a text that is no command. A leading `//` is sent as `/`."""
    line = text.strip()
    return line[1:] if line.startswith(_TWICE) and "\n" not in line else text


def overview() -> str:
    """Return what `/help` shows."""
    width = max(len(f"{name} {rest}") for name, (rest, _) in COMMANDS.items())
    lines = [f"{f'{name} {rest}':<{width}}  {purpose}" for name, (rest, purpose) in COMMANDS.items()]
    return "\n".join([*lines, f"{'//…':<{width}}  sends a message that begins with a slash"])


def _nearest(word: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(word, COMMANDS, n=1, cutoff=0.5)
    return f"Did you mean {near[0]}?\n" if near else ""
