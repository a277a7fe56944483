"""Runs that begin with an option, and the options of a call on the command line."""

import os

from aish import exits
from aish.exits import Failure
from aish.talk import NAME
from rhetor.domain.grammar import GrammarError, Options, leading_options, parse_words

USAGE = """\
aish PEER ["message"] [options]      send a message, and what is piped in; the answer goes to stdout
aish A,B "message"                   ask several at once; also @capability, team:NAME, team-chat
aish -c 'LINE'                       a line of the grammar: echo "Design a cache" | athena | apollo
aish FILE.aish                       a script of such lines
aish                                 the interactive shell
aish -i PEER                         a conversation with one peer
aish --name NAME                     the shell as a terminal that peers can be forwarded to

commands: {commands}

programs as peers:
  ci-terminal -n NAME [-d DELIM] [--detach] [--on-exit survive|reap] [--prompt PATTERN] -- CMD…
                        run a terminal program, here or in the background (&); Ctrl-] leaves it running
  ci-tool -n NAME [-d DELIM] [--json-protocol] [--on-exit survive|reap] -- CMD…
                        the same for a program on stdin and stdout
  tools list | status [NAME] | launch NAME [--session S] | terminate NAME | capabilities NAME
  tools attach NAME [-r]   put one into this terminal; -r only looks at it
  explain NAME [--screen]  why the hub thinks that it is idle, busy, blocked or stuck
  wait [--any|--all] PEER… [--timeout S]   until they are idle

conversations (session or sessions; NAME may be an id):
  session create NAME --tool T [--cwd DIR] [-s N] | resume NAME | save NAME [ID] [--tool T] | delete NAME
  session fork NAME [NEW] | show NAME | export NAME [--format md|json|jsonl]
  sessions list [--tool T] [--all] [--json]
  sessions import [--tool T] [--since 7d] [--dry-run] [PATH…]   what coding agents have kept themselves

who is told what:
  forward SRC DST [json] [-x]   what SRC says is shown at the terminal DST, or sent to the peer DST
  forward list · unforward SRC  what is forwarded · no longer
  route name R HOP [purpose "t"] … DST   a named chain of peers; route R "message" sends along it
  route list · show R · remove R
  context stage NAME "text" · show NAME · promote NAME · clear NAME   said once before the next message
  purpose [NAME] "text"         what a peer, or this terminal, is for

options of a call, before or after the message:
  -s, --session [N]     keep a conversation; the peer is given its last N messages (10)
  -s=NAME, --session-id NAME    go on with a conversation, by its name or id
  -x, --execute[=DELIM] let a wrapped program run what it was sent; DELIM may hold \\n \\r \\t \\0 \\xHH
  -d, --delimiter DELIM the same, with its delimiter
  --if-idle | --queue | --interrupt    when the peer is busy: refuse, wait (the default), or stop it
  --timeout S           give up after S seconds
  --json                one event a line
  --no-stream           the answer whole, when it is complete
  --quiet               nothing on stderr but failures
  --usage               after the answer, on stderr: model, tokens, cost, seconds

exit codes: 0 done, 1 the peer failed, 2 wrong usage, 3 unknown peer or command, 4 no permission,
5 hub unreachable, 124 timed out, 130 interrupted
"""
_MODES = ("-c", "-i")


def run_flags(words: "list[str]") -> int:
    """A run of the shell whose first word is no peer and no command.

    Raises:
        Failure: the words do not hold together, or what they ask for fails.
    """
    if not words:
        return _run_bare(Options())
    if words[0].partition("=")[0] == "--name":
        return _run_named(words)
    if words[0] in ("-h", "--help"):
        return _show(_usage())
    if words[0] in ("-V", "--version"):
        return _show(f"aish {_version()}\n")
    mode = next((at for at, word in enumerate(words) if word in _MODES), len(words))
    options, count = _leading(words[:mode])
    rest = words[count:]
    if not rest:
        return _run_bare(options)
    if rest[0] in _MODES:
        return _run_mode(rest, options)
    from aish.cli import run_words

    return run_words(rest, options)


def _run_named(words: "list[str]") -> int:
    """A run whose terminal has a name, and what runs in it: where a person sits, what peers say that are
    forwarded to the name is shown there.

    Raises:
        Failure: there is no name, or it is taken.
    """
    _, given, name = words[0].partition("=")
    name, rest = (name, words[1:]) if given else ("".join(words[1:2]), words[2:])
    if not name or name[:1] == "-":
        raise Failure("aish: --name needs a name", exits.USAGE)
    os.environ[NAME] = name
    if not os.isatty(0) or (rest and "-i" not in rest):
        return run_flags(rest)
    from aish.above import show_above
    from aish.arrivals import Arrivals

    with Arrivals(name, show_above):
        return run_flags(rest)


def parsed(words: "list[str]") -> tuple[Options, str]:
    """Options and text of the words after a target.

    Raises:
        Failure: an option does not hold.
    """
    try:
        return parse_words(words)
    except GrammarError as error:
        raise Failure(f"aish: {error.message}", exits.USAGE) from None


def _leading(words: "list[str]") -> tuple[Options, int]:
    try:
        return leading_options(words)
    except GrammarError as error:
        raise Failure(f"aish: {error.message} (aish --help lists them)", exits.USAGE) from None


def _run_bare(options: Options) -> int:
    if os.isatty(0):
        from aish.prompt import run_prompt

        return run_prompt(options)
    from aish.script import run_text
    from aish.talk import read_input

    return run_text(read_input(), options)


def _run_mode(words: "list[str]", options: Options) -> int:
    mode, *rest = words
    if not rest:
        raise Failure(f"aish: {mode} needs " + ("a line" if mode == "-c" else "a peer"), exits.USAGE)
    later, text = parsed(rest[1:])
    if text:
        raise Failure(f"aish: {text!r} is too much after {mode}", exits.USAGE)
    if mode == "-c":
        from aish.script import run_text

        return run_text(rest[0], later.over(options))
    from aish.prompt import run_conversation

    return run_conversation(rest[0], later.over(options))


def _usage() -> str:
    from aish.commands import CHAIN_COMMANDS, COMMANDS, PROGRAM_COMMANDS, SESSION_COMMANDS

    shown = COMMANDS - PROGRAM_COMMANDS - SESSION_COMMANDS - CHAIN_COMMANDS
    return USAGE.format(commands=" ".join(sorted(shown)))


def _version() -> str:
    from importlib.metadata import version

    return version("tekton-aish")


def _show(text: str) -> int:
    from aish.output import STDOUT, write

    write(STDOUT, text.encode())
    return exits.DONE
