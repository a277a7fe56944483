"""`aish help [COMMAND]`: how the shell, or one of its commands, is written."""

from aish import exits
from aish.commands import COMMANDS, noun_of, usage
from aish.exits import unknown
from aish.output import STDOUT, write

OVERVIEW = """\
aish PEER ["message"] [options]   send a message, and what is piped in; the
                                  answer goes to stdout
aish A,B "message"                ask several at once; also @capability,
                                  team:NAME, team-chat
aish -c 'LINE'                    a line: git diff | apollo "why?" | tee out.md
aish FILE.aish                    a script of such lines
aish                              the interactive shell
aish -i PEER                      a conversation with one peer
aish --name NAME                  the shell as a terminal that is forwarded to

aish help COMMAND, or aish COMMAND --help, says how a command is written:
  list [type T] [json]            peers
  sockets                         sockets: who reads, what waits unread
  status · doctor · shutdown      the hub · what is missing, and how to get it
                                  · end the hub
  history [N] · search WORDS      what was asked and answered, everywhere
  approve [ID [OPTION]] · deny ID
                                  requests for permission that wait · a no

programs as peers:
  ci-terminal -n NAME [options] -- CMD…
                                  run a terminal program, here or in the
                                  background (--detach, &); Ctrl-] leaves it
  ci-tool -n NAME [options] -- CMD…
                                  the same for one on stdin and stdout
  tools list · status · launch · terminate · capabilities
                                  coding agents and other programs
  tools attach NAME [-r]          put one into this terminal; -r only looks
  explain NAME [--screen]         why it counts as idle, busy, blocked, stuck
  wait [--any|--all] PEER…        until they are idle

conversations (NAME may be an id):
  sessions list · import          those that go on · what agents have kept
  session create NAME --tool T    begin one
  session resume · save · fork · show · export · delete NAME

who is told what:
  forward SRC DST [json] [-x]     what SRC says goes to the terminal or peer DST
  forward list · unforward SRC    what is forwarded · no longer
  route name R HOP… DST           a named chain of peers
  route R "message"               a message along it
  route list · show R · remove R
  context stage · show · promote · clear NAME
                                  said once before the next message
  purpose [NAME] "text"           what a peer, or this terminal, is for

options of a call, before or after the message:
  -s, --session [N]     keep a conversation; the peer is given its last N
                        messages (10)
  -s=NAME, --session-id NAME
                        go on with one, by its name or id
  -x, --execute[=DELIM] let a wrapped program run what it was sent; DELIM may
                        hold \\n \\r \\t \\0 \\xHH
  -d, --delimiter DELIM the same, with its delimiter
  --if-idle | --queue | --interrupt
                        when the peer is busy: refuse, wait (the default), stop
  --timeout S           give up after S seconds
  --json                one event a line
  --no-stream           the answer whole, when it is complete
  --quiet               nothing on stderr but failures
  --usage               after the answer, on stderr: tokens, cost, seconds

exit codes: 0 done, 1 the peer failed, 2 wrong usage, 3 unknown peer, command,
session or the like, 4 no permission, 5 hub unreachable, 124 timed out,
130 interrupted
"""

HOW = "aish help [COMMAND]"


def run(words: "list[str]") -> int:
    """Raises:
    Failure: the words do not hold together, or there is no such command.
    """
    if len(words) > 1:
        raise usage(HOW)
    if words and words[0] not in COMMANDS:
        raise unknown(words[0])

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
