"""Sending messages: the usage lines of the shell itself, and the options of a message."""

from aish.catalogue.page import Page

TITLE = "Messages"
MESSAGE = Page(
    "messages",
    "Send a message and piped input; print the answer.",
    'TARGET ["message"] [-s|--session [N|SESSION]] [--session-id SESSION] [-C|--continue] [-m|--model MODEL]'
    " [-S|--system TEXT] [-f|--file FILE]… [-a|--attachment FILE]… [--schema FILE]"
    " [-x|--execute[=DELIM]] [-d|--delimiter DELIM]"
    " [--if-idle|--queue|--interrupt] [--timeout S] [--json] [--no-stream] [--quiet] [--raw] [--usage]",
    options={
        "-s": "keep the conversation; the peer receives its last N messages (10); or continue a session",
        "--session-id": "continue a session, by name or id",
        "-C": "continue the last conversation with the peer",
        "-m": "let this model answer: provider/model",
        "-S": "use this system prompt for the message",
        "-f": "send a text file after the message; can be repeated",
        "-a": "send an image, PDF or audio file, or a URL of one, - for piped input; can be repeated",
        "--schema": "ask for a JSON answer that matches this JSON Schema, a file or the JSON itself",
        "-x": "make a wrapped program run the text; DELIM may contain \\n \\r \\t \\0 \\xHH",
        "-d": "the same, with this delimiter",
        "--if-idle": "if the peer is busy: fail",
        "--queue": "if the peer is busy: wait (the default)",
        "--interrupt": "if the peer is busy: interrupt it",
        "--timeout": "stop waiting after S seconds",
        "--json": "print one event per line",
        "--no-stream": "print the answer when it is complete, and nothing of one that fails",
        "--quiet": "print only failures on stderr",
        "--raw": "do not render Markdown on a terminal",
        "--usage": "print tokens, cost and seconds after the answer",
    },
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
