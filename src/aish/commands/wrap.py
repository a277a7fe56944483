"""A program of the user's that becomes a peer: what the words of `ci-terminal` and `ci-tool` ask for, and
its registration at the hub, which runs it with this shell's folder and environment."""

import os

from aish import exits
from aish.commands import COMMANDS, usage
from aish.exits import Failure
from aish.output import STDOUT, write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from aish.client.hub import Hub

    Peer = dict[str, Any]

_COMMON = {
    "-n": "name",
    "--name": "name",
    "-d": "delimiter",
    "--delimiter": "delimiter",
    "--on-exit": "on_exit",
}
_ON_EXIT = ("survive", "reap")


def read_wishes(
    words: "list[str]", valued: "Mapping[str, str]", flags: "Mapping[str, str]", how: str
) -> tuple[dict[str, str], list[str]]:
    """What the options say, by the names that `valued` and `flags` give them besides the common ones, and the
    program with its arguments: all from the first word that is no option, or behind `--`.

    Raises:
        Failure: the words do not hold together; it says `how` they are written.
    """
    names = {**_COMMON, **valued}
    wishes: dict[str, str] = {}
    left = list(words)
    while left and left[0] != "--" and left[0][:1] == "-":
        option, given, value = left.pop(0).partition("=")
        if option in flags and not given:
            wishes[flags[option]] = "yes"
        elif option in names and (given or left):
            wishes[names[option]] = value if given else left.pop(0)
        else:
            raise usage(how)
    program = left[1:] if left[:1] == ["--"] else left
    if not program or not wishes.get("name") or wishes.get("on_exit", "survive") not in _ON_EXIT:
        raise usage(how)
    if wishes["name"] in COMMANDS:
        raise Failure(f"{wishes['name']} is a command of aish, and no peer can be called so", exits.USAGE)
    return wishes, program


def register(
    hub: "Hub", kind: str, wishes: "Mapping[str, str]", program: "list[str]", **more: "Any"
) -> "Peer":
    """Have the hub run the program; the peer that it is from now on.

    Raises:
        Failure: it cannot be run, its name is taken, or the hub refuses.
    """
    asked = {**wishes, **more, "kind": kind, "argv": program, "cwd": folder(), "env": dict(os.environ)}
    if "delimiter" in wishes:
        asked["delimiter"] = _delimiter(wishes["delimiter"])
    try:
        peer: Peer = hub.ask("POST", "/api/v2/programs", asked)
    except Failure as failure:
        raise as_missing(failure) from None
    return peer


def as_missing(failure: Failure) -> Failure:
    """The same failure. That a program is not installed is the peer's own, and not that of who asked."""
    if failure.problem == "program_missing":
        failure.code = exits.FAILED
    return failure


def tell_running(name: str, peer: "Peer") -> None:
    """What scripts read: `✓ box is running (pid 4711)`."""
    write(STDOUT, f"✓ {name} is running (pid {peer.get('pid')})\n".encode("utf-8", "replace"))


def folder() -> str:
    """Where this shell is.

    Raises:
        Failure: nowhere any more.
    """
    try:
        return os.getcwd()  # noqa: PTH109
    except OSError as error:
        raise Failure(f"this folder: {error.strerror}") from None


def _delimiter(text: str) -> str:
    from rhetor.domain.grammar import GrammarError, parse_words

    try:
        return parse_words([f"-x={text}"])[0].delimiter or ""
    except GrammarError as error:
        raise Failure(f"aish: {error.message}", exits.USAGE) from None
