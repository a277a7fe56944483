"""`aish console`: opens the web console in the browser, logged in, or shows how another device opens it."""

import os
import sys

from aish.client.hub import Hub
from aish.commands import take_value, usage_error
from aish.output import STDOUT, print_line, say, write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_PRINT, _PHONE, _AT = "--print", "--phone", "--at"
_DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY")


def console(words: "list[str]") -> int:
    """Open the console in the browser, or print its link if there is no browser or the words say so; or show
    the QR code with which a phone opens it; or list and end the logins of browsers.

    Raises:
        Failure: the words are invalid, or the hub rejects the request.
    """
    if words[:1] and words[0] in ("logins", "logout"):
        from aish.commands.console_logins import run

        return run(words[0], words[1:])
    if words[:1] == [_PHONE]:
        return _show(_host_in(words[1:]))
    if words not in ([], [_PRINT]):
        raise usage_error("console")
    link = Hub().ask("POST", "/api/auth/code")
    if not words and _has_browser():
        if _open(link["url"]):
            return print_line("Opened the console in the browser")
        say("The browser could not be started")
    return _print(link)


def _host_in(words: "list[str]") -> "str | None":
    """Return the value of `--at`; None without it."""
    left = list(words)
    if not left:
        return None
    name, is_joined, value = left.pop(0).partition("=")
    if name != _AT or (is_joined and not value):
        raise usage_error("console")
    found = value if is_joined else take_value(left, "console")
    if left:
        raise usage_error("console")
    return found


def _show(host: "str | None") -> int:
    """Print a QR code on stdout, with what a person types who cannot scan it; and on stderr what a phone
    needs that is used for the first time."""
    link = Hub().ask("POST", "/api/auth/code", {"for": "network", **({"host": host} if host else {})})
    from aish.screen.qr_code import drawn

    if picture := drawn(link["qr"]):
        write(STDOUT, picture.encode())
    else:
        say("The QR code does not fit this terminal; make it larger, or type the code")
    place = str(link["url"]).partition("/login")[0]
    code = print_line(f"Scan the QR code, or open {place} and type {link['code']}")
    say(f"The code works once, within {link['expires_in']:.0f} s.")
    if link["ca"]:
        say(f"On a new phone, first install the hub's CA: {link['ca']['url']}")
        say(f"SHA-256 {link['ca']['sha256']}")
    return code


def _has_browser() -> bool:
    """Return whether a browser would appear before the user. `$BROWSER` can name one anywhere; otherwise, it
    would run on this machine, which is of no use over SSH."""
    if os.environ.get("BROWSER"):
        return True
    if _client_of_ssh():
        return False
    return sys.platform == "darwin" or any(os.environ.get(name) for name in _DISPLAYS)


def _client_of_ssh() -> bool:
    return bool(os.environ.get("SSH_CONNECTION") or os.environ.get("SSH_TTY"))


def _open(url: str) -> bool:
    import webbrowser

    try:
        return webbrowser.open(url)
    except (webbrowser.Error, OSError):
        return False


def _print(link: "dict[str, Any]") -> int:
    """Print the link on stdout, and on stderr how it can be used."""
    code = print_line(str(link["url"]))
    say(f"The link works once, within {link['expires_in']:.0f} s.")
    if _client_of_ssh() and (forward := _forwarding(str(link["url"]))):
        say(f"To open it on another computer, run there first: {forward}")
    return code


def _forwarding(url: str) -> str:
    """Return the command that makes the hub's port available on the computer of an SSH client; empty if the
    link also works without."""
    name, _, port = url.split("/")[2].rpartition(":")
    if not name.endswith(".localhost"):
        return ""
    to = (os.environ.get("SSH_CONNECTION", "").split() or ["HOST"] * 3)[2]
    return f"ssh -L {port}:127.0.0.1:{port} {os.environ.get('USER') or 'USER'}@{to}"


COMMANDS = {"console": console}
