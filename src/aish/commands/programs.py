"""`aish ci-terminal` and `aish ci-tool`: run one of the user's programs as a peer.

The hub runs the program, in this shell's folder and with its environment.
"""

import os

from aish import exits
from aish.client.hub import Hub, quote
from aish.commands import COMMANDS as COMMAND_NAMES
from aish.commands import take_value, usage_error
from aish.exits import Failure
from aish.output import STDOUT, print_line
from aish.terminal.tty import window_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    Peer = dict[str, Any]

_COMMON = {
    "-n": "name",
    "--name": "name",
    "-d": "delimiter",
    "--delimiter": "delimiter",
    "--on-exit": "on_exit",
}
_ON_EXIT = ("survive", "reap")
_STDIN = 0


def ci_terminal(words: "list[str]") -> int:
    """Run a terminal program as a peer and attach this terminal to it. Without a terminal, or with
    `--detach`, the program runs in the background.

    Raises:
        Failure: the words are invalid, the program cannot be started, or the hub rejects the request.
    """
    options, program = _parse(words, {"--prompt": "prompt"}, {"--detach": "detach"}, "ci-terminal")
    runs_in_background = "detach" in options or not _has_terminal()
    options.pop("detach", None)
    rows, columns = window_size(STDOUT)
    if not runs_in_background:
        from aish.terminal.status_line import rows_above

        rows = rows_above(rows)
    hub, name = Hub(), options["name"]
    peer = _register(hub, "terminal", options, program, rows=rows, cols=columns)
    if runs_in_background:
        return print_running(name, peer)
    from aish.terminal.attach import attach

    try:
        return attach(hub, name)
    except Failure as failure:
        if failure.problem != "not_running":
            raise
        return _show_ended(hub, name)


def ci_tool(words: "list[str]") -> int:
    """Run a program on stdin and stdout as a peer, always in the background.

    Raises:
        Failure: the words are invalid, the program cannot be started, or the hub rejects the request.
    """
    flags = {"--json-protocol": "protocol", "--detach": "detach"}
    options, program = _parse(words, {}, flags, "ci-tool")
    options.pop("detach", None)
    if "protocol" in options:
        options["protocol"] = "aish-json"
    return print_running(options["name"], _register(Hub(), "stdio", options, program))


def print_running(name: str, peer: "Peer") -> int:
    """Print `✓ box is running (pid 4711)`. Scripts read this line."""
    return print_line(f"✓ {name} is running (pid {peer.get('pid')})")


def as_peer_failure(failure: Failure) -> Failure:
    """Return the same failure; if a program is not installed, with the exit code of a failed peer."""
    if failure.problem == "program_missing":
        failure.code = exits.FAILED
    return failure


def current_folder() -> str:
    """Return the shell's working directory.

    Raises:
        Failure: it was deleted.
    """
    try:
        return os.getcwd()  # noqa: PTH109
    except OSError as error:
        raise Failure(f"cannot read the current folder: {error.strerror}") from None


def _parse(
    words: "list[str]", valued: "Mapping[str, str]", flags: "Mapping[str, str]", command: str
) -> tuple[dict[str, str], list[str]]:
    """Return the options, by their names in `_COMMON`, `valued` and `flags`, and the program with its
    arguments. The program begins after `--`, or at the first word that is not an option."""
    names = {**_COMMON, **valued}
    options: dict[str, str] = {}
    left = list(words)
    while left and left[0] != "--" and left[0][:1] == "-":
        option, given, value = left.pop(0).partition("=")
        if option in flags and not given:
            options[flags[option]] = "yes"
        elif option in names:
            options[names[option]] = value if given else take_value(left, command)
        else:
            raise usage_error(command)
    program = left[1:] if left[:1] == ["--"] else left
    if not program or not options.get("name") or options.get("on_exit", "survive") not in _ON_EXIT:
        raise usage_error(command)
    if options["name"].lower() in COMMAND_NAMES:
        raise Failure(f"{options['name']} is a command of aish; choose another name", exits.USAGE)
    return options, program


def _register(
    hub: Hub, kind: str, options: "Mapping[str, str]", program: "list[str]", **more: "Any"
) -> "Peer":
    """Ask the hub to run the program as a peer."""
    body = {
        **options,
        **more,
        "kind": kind,
        "argv": program,
        "cwd": current_folder(),
        "env": dict(os.environ),
    }
    if "delimiter" in options:
        body["delimiter"] = _delimiter(options["delimiter"])
    try:
        peer: Peer = hub.ask("POST", "/api/v2/programs", body)
    except Failure as failure:
        raise as_peer_failure(failure) from None
    return peer


def _delimiter(text: str) -> str:
    from rhetor.domain.grammar import GrammarError, parse_words

    try:
        return parse_words([f"-x={text}"])[0].delimiter or ""
    except GrammarError as error:
        raise Failure(error.message, exits.USAGE) from None


def _has_terminal() -> bool:
    """Whether a person uses this terminal, and the shell did not start this process in the background."""
    if not (os.isatty(_STDIN) and os.isatty(STDOUT)):
        return False
    try:
        return os.tcgetpgrp(_STDIN) == os.getpgrp()
    except OSError:
        return True  # this terminal does not control the process


def _show_ended(hub: Hub, name: str) -> int:
    """Show the last screen of a program that ended before the terminal was attached, and how it ended."""
    from aish.render import cleaned
    from aish.terminal.attach import ProgramExit, report_exit

    status = hub.ask("GET", f"/api/v2/ai/{quote(name)}/status")
    screen = "\n".join(status.get("screen") or ()).rstrip()
    if screen:
        print_line(cleaned(screen))
    return report_exit(name, ProgramExit(status.get("exit_code"), status.get("signal")))


COMMANDS = {
    "ci-terminal": ci_terminal,
    "ci-tool": ci_tool,
}
