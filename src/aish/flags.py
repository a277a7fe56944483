"""Runs that begin with an option, and the options of a call on the command line."""

import os

from aish import exits
from aish.exits import Failure
from aish.options import leading, parsed
from aish.turns.message import NAME
from rhetor.domain.grammar import Options

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
        from aish.commands import run_command

        return run_command(["help"])
    if words[0] in ("-V", "--version"):
        return _show(f"aish {_version()}\n")
    mode = next((at for at, word in enumerate(words) if word in _MODES), len(words))
    options, count = leading(words[:mode])
    rest = words[count:]
    if not rest:
        return _run_bare(options)
    if rest[0] in _MODES:
        return _run_mode(rest, options)
    from aish.dispatch import run_words

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
    from aish.terminal.above import show_above
    from aish.terminal.arrivals import Arrivals

    with Arrivals(name, show_above):
        return run_flags(rest)


def _run_bare(options: Options) -> int:
    if os.isatty(0):
        from aish.language.prompt import run_prompt

        return run_prompt(options)
    from aish.language.shell import run_text
    from aish.turns.message import read_input

    return run_text(read_input(), options)


def _run_mode(words: "list[str]", options: Options) -> int:
    mode, *rest = words
    if not rest:
        raise Failure(f"aish: {mode} needs " + ("a line" if mode == "-c" else "a peer"), exits.USAGE)
    later, text = parsed(rest[1:])
    if text:
        raise Failure(f"aish: {text!r} is too much after {mode}", exits.USAGE)
    if mode == "-c":
        from aish.language.shell import run_text

        return run_text(rest[0], later.over(options), is_piped_into=True)
    from aish.language.prompt import run_conversation

    return run_conversation(rest[0], later.over(options))


def _version() -> str:
    from importlib.metadata import version

    return version("tekton-aish")


def _show(text: str) -> int:
    from aish.output import STDOUT, write

    write(STDOUT, text.encode())
    return exits.DONE
