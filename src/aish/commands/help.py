"""`aish help [COMMAND]`: the syntax of the shell, or of one of its commands."""

from aish import exits
from aish.client.hub import Hub, quote
from aish.commands import COMMANDS as COMMAND_NAMES
from aish.commands import Command, find_command, usage_error
from aish.exits import unknown
from aish.output import STDOUT, print_line, write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

OVERVIEW = """\
aish PEER ["message"] [options]   send a message and piped input; the answer
                                  goes to stdout
aish A,B "message"                send it to several peers; also @capability,
                                  team:NAME, team-chat
aish -c 'LINE'                    run a line: git diff | apollo | tee out.md
aish FILE.aish [ARG…]             run a script of such lines
aish                              start the interactive shell
aish -i PEER                      start a conversation with one peer
aish --name NAME                  start the interactive shell as a terminal
                                  that peers can be forwarded to

Commands (aish help COMMAND shows the syntax of one):
  list [type T] [json]            list the peers
  sockets                         list named sockets, readers, unread messages
  status · doctor · shutdown      show the hub · show what is missing and how
                                  to get it · stop the hub
  whoami                          show who the hub takes you for
  history [N] · search WORDS      show recent messages · search all messages
  usage [--by model]              show tokens and cost, by day, peer, model,
                                  project or caller
  approve [ID [OPTION]] · deny ID
                                  answer permission requests, or list them

Programs as peers:
  ci-terminal -n NAME [options] -- CMD…
                                  run a terminal program here, or in the
                                  background (--detach, &); Ctrl-] leaves it
  ci-tool -n NAME [options] -- CMD…
                                  run a program on stdin and stdout
  tools list · status · launch · terminate · capabilities
                                  manage coding agents and other programs
  tools attach NAME [-r]          show a program in this terminal; -r: read-only
  explain NAME [--screen]         show why a peer is idle, busy, blocked, stuck
  wait [--any|--all] PEER…        wait until peers are idle

Conversations (NAME may be an id):
  sessions list · import          list sessions · import what agents recorded
  session create NAME --tool T    create a session with the peer T
  session resume · save · fork · show · export · delete NAME

Projects and tools:
  project list · create · show · settings NAME
                                  folders with defaults for their sessions
  mcp list · add · remove · test NAME
                                  MCP servers whose tools specialists may have
  mcp install · uninstall AGENT   let an agent use the hub over MCP

Forwards, routes, context:
  forward SRC DST [json] [-x]     send SRC's answers to a terminal or peer too
  forward list · unforward SRC    list forwards · remove one
  route name R HOP… DST           define a named chain of peers
  route R "message"               send a message along a route
  route list · show R · remove R
  context stage · show · promote · clear NAME
                                  text that a peer gets before its next message
  purpose [NAME] "text"           say what a peer or this terminal is for
  inbox · send · show · get · count · clear
                                  messages that wait for a peer or a terminal
  alias create NAME "line"        give a name to a line; list, show, delete

"""
OPTIONS = """\
Options of a message, before or after its text:
  -s, --session [N]     keep the conversation; the peer receives its last N
                        messages (10)
  -s NAME, --session-id NAME
                        continue a session, by name or id
  -C, --continue        continue the last conversation with the peer
  -m, --model MODEL     let this model answer: provider/model
  -S, --system TEXT     use this system prompt for the message
  -f, --file FILE       send a text file after the message; can be repeated
  -x, --execute[=DELIM] make a wrapped program run the text; DELIM may contain
                        \\n \\r \\t \\0 \\xHH
  -d, --delimiter DELIM the same, with this delimiter
  --if-idle | --queue | --interrupt
                        if the peer is busy: fail, wait (default), interrupt it
  --timeout S           stop waiting after S seconds
  --json                print one event per line
  --no-stream           print the answer when it is complete
  --quiet               print only failures on stderr
  --raw                 do not render Markdown on a terminal
  --usage               print tokens, cost and seconds after the answer
  --                    end the options; what follows is text

Exit codes: 0 done, 1 the peer failed, 2 wrong usage, 3 unknown peer, command,
session or the like, 4 no permission, 5 hub unreachable, 124 timed out,
130 interrupted
"""

_FORMS = ("help [COMMAND]",)


def show_help(words: "list[str]") -> int:
    """Show the overview, or the syntax of one command.

    Raises:
        Failure: the words are invalid, or there is no such command.
    """
    if len(words) > 1:
        raise usage_error(*_FORMS)
    if not words:
        write(STDOUT, f"{OVERVIEW}\n{OPTIONS}".encode("utf-8", "replace"))
        return exits.DONE
    if words[0] not in COMMAND_NAMES:
        raise unknown(words[0])
    command = find_command(words[0])
    forms = "\n       ".join(f"aish {form}" for form in command.forms)
    return print_line(f"usage: {forms}\n\n{command.purpose}")


def show_peer_help(hub: Hub, target: str) -> int:
    """Show what a peer does and how to send it a message. `target` can also be `@capability` and the like.

    Raises:
        Failure: the peer is unknown, or the hub cannot be reached.
    """
    about = ""
    if target != "team-chat" and not target.startswith("@") and "," not in target:
        about = _about_peer(hub.ask("GET", f"/api/v2/ai/{quote(target)}"))
    return print_line(f'usage: aish {target} ["message"] [options]\n{about}\n{OPTIONS}'.rstrip())


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


COMMANDS = {"help": Command(_FORMS, "Show the syntax of the shell, or of one command.", show_help)}
