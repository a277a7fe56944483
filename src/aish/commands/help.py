"""`aish help [COMMAND]`: the syntax of the shell, or of one of its commands."""

from aish.client.hub import Hub, quote
from aish.commands import COMMANDS as COMMAND_NAMES
from aish.exits import unknown
from aish.terminal.pager import page

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def show_help(words: "list[str]") -> int:
    """Show the overview, a topic, or a command: its syntax, its options and two examples.

    Raises:
        Failure: there is no such command, subcommand or topic.
    """
    from aish.catalogue import pages_for, text
    from aish.catalogue.nearest import did_you_mean
    from aish.catalogue.topics import TOPICS

    if not words:
        return page(text.overview())
    if words[0] not in COMMAND_NAMES:
        if len(words) == 1 and words[0] in TOPICS:
            return page(text.topic_text(words[0]))
        raise unknown(words[0])
    found, *subcommands = pages_for(words)
    if subcommands and not found.forms and len(words) > 1:
        failure = unknown(" ".join(words[:2]))
        failure.unknown = ("", "")
        failure.hint = did_you_mean(words[1], [each.name.split()[1] for each in subcommands])
        raise failure
    return page(text.page_text(found.name))


def show_peer_help(hub: Hub, target: str) -> int:
    """Show what a peer does and how to send it a message. `target` can also be `@capability` and the like.

    Raises:
        Failure: the peer is unknown, or the hub cannot be reached.
    """
    from aish.catalogue.text import message_options

    about = ""
    if target != "team-chat" and not target.startswith("@") and "," not in target:
        about = _about_peer(hub.ask("GET", f"/api/v2/ai/{quote(target)}"))
    return page(f'usage: aish {target} ["message"] [options]\n{about}\n{message_options()}')


def _about_peer(peer: "dict[str, Any]") -> str:
    from aish.render import one_line, status

    names = peer.get("capabilities") or ()
    facts = {
        "": peer.get("description"),
        "kind": peer.get("kind"),
        "status": status(peer),
        "model": peer.get("model"),
        "capabilities": ", ".join(map(str, names)),
    }
    lines = [f"{name}: {one_line(fact)}" if name else one_line(fact) for name, fact in facts.items() if fact]
    return "\n" + "\n".join(lines) + "\n"


COMMANDS = {"help": show_help}
