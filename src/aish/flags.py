"""Command lines that begin with an option, and command lines without words."""

import os

from aish import exits
from aish.exits import Failure
from aish.options import parse_leading_options, parse_options
from aish.turns.message import TERMINAL_NAME
from rhetor.domain.grammar import Options

_MODES = ("-c", "-i")


def run_flags(words: "list[str]") -> int:
    """Run the shell with words that begin with an option, or without words.

    Raises:
        Failure: the words are invalid, or the line or message fails.
    """
    if not words:
        return _run_bare(Options())
    if words[0].partition("=")[0] == "--name":
        return _run_named(words)
    if words[0] in ("-h", "--help"):
        from aish.commands import run_command

        return run_command(["help"])
    if words[0] in ("-V", "--version"):
        return _show_version()
    mode = next((at for at, word in enumerate(words) if word in _MODES), len(words))
    options, count = parse_leading_options(words[:mode])
    rest = words[count:]
    if not rest:
        return _run_bare(options)
    if rest[0] in _MODES:
        return _run_mode(rest, options)
    from aish.dispatch import run_words

    return run_words(rest, options if count else None)


def _run_named(words: "list[str]") -> int:
    """Give the terminal a name, and run the rest of the words in it. If a person uses the terminal, messages
    that are forwarded to the name appear in it.

    Raises:
        Failure: the name is missing or taken.
    """
    _, given, name = words[0].partition("=")
    name, rest = (name, words[1:]) if given else ("".join(words[1:2]), words[2:])
    if not name or name[:1] == "-":
        raise Failure("--name needs a name: aish --name NAME", exits.USAGE)
    os.environ[TERMINAL_NAME] = name
    if not os.isatty(0) or (rest and "-i" not in rest):
        return run_flags(rest)
    from aish.terminal.forwarded import ForwardedMessages
    from aish.terminal.notices import NOTICES

    with ForwardedMessages(name, NOTICES.show):
        return run_flags(rest)


def _run_bare(options: Options) -> int:
    if os.isatty(0):
        from aish.language.prompt import run_prompt

        return run_prompt(options)
    from aish.language.shell import run_text
    from aish.turns.input import read_input

    return run_text(read_input(), options)


def _run_mode(words: "list[str]", options: Options) -> int:
    mode, *rest = words
    if not rest:
        needed = "a line: aish -c 'LINE'" if mode == "-c" else "a peer: aish -i PEER"
        raise Failure(f"{mode} needs {needed}", exits.USAGE)
    later, text = parse_options(rest[1:])
    if text:
        hint = "quote the whole line" if mode == "-c" else "type the message at the prompt"
        raise Failure(f"unexpected {text!r} after {mode} {rest[0]!r}; {hint}", exits.USAGE)
    if mode == "-c":
        from aish.language.shell import run_text

        return run_text(rest[0], later.over(options), is_piped_into=True)
    from aish.terminal.conversation import run_conversation

    return run_conversation(rest[0], later.over(options))


def _show_version() -> int:
    from importlib.metadata import version

    from aish.output import print_line

    return print_line(f"aish {version('tekton-aish')}")
