"""Sending messages: the usage lines of the shell itself, and the options of a message."""

from aish.catalogue.page import Page
from rhetor.domain.grammar.purposes import PURPOSES

TITLE = "Messages"
MESSAGE = Page(
    "messages",
    "Send a message and piped input; print the answer.",
    'TARGET ["message"] [-s|--session [N|SESSION]] [--session-id SESSION] [-C|--continue] [-m|--model MODEL]'
    " [-S|--system TEXT] [-f|--file FILE]… [-a|--attachment FILE]… [--schema FILE]"
    " [-x|--execute[=DELIM]] [-d|--delimiter DELIM]"
    " [--if-idle|--queue|--interrupt] [--if-offline queue|refuse] [--timeout S] [--json] [--no-stream]"
    " [--quiet] [--raw] [--usage]",
    options=PURPOSES,
    details=(
        "TARGET is a peer, several (A,B), @capability, team:NAME, or team-chat for all specialists. Options"
        " stand before or after the message; -- ends them, and what follows is text."
    ),
    examples={
        'git diff | aish apollo "review this"': "standard input follows the message",
        'aish apollo,athena "which cache?" --usage': "two answers, each with its cost",
    },
)
SHELL = Page(
    "shell",
    "Run lines of the grammar, or start the interactive shell.",
    "[--name NAME]",
    "-c LINE",
    "-i PEER",
    "FILE [ARG…]",
    "--help",
    "--version",
    options={
        "--name": "start the interactive shell under a name, so that answers can be forwarded to it",
        "-c": "run a line of the grammar: git diff | apollo | tee out.md",
        "-i": "start a conversation with one peer",
        "--help": "show all commands",
        "--version": "show the version",
    },
    details="FILE is a script of lines of the grammar; its name ends in .aish or contains a /.",
    examples={
        "aish -c 'echo \"Design a cache\" | athena | apollo'": "a pipeline in one process",
        "aish review.aish src": "a script with an argument",
    },
)
PAGES = (MESSAGE, SHELL)
