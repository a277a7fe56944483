"""`aish console logins` and `aish console logout`: the browsers that are logged in."""

from aish import exits
from aish.client.hub import Hub
from aish.commands import show_list, usage_error, wants_json
from aish.commands.times import age
from aish.exits import Failure
from aish.output import print_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Login = dict[str, Any]

_PATH = "/api/v2/logins"
_HEADING = ("ID", "WHO", "BROWSER", "FROM", "LOGGED IN", "LAST USED", "ENDS")
_NONE = "No browser is logged in"
# parts of what browsers say of themselves; most say that they are several, and the first of these is right
_BROWSERS = {"Edg": "Edge", "OPR/": "Opera", "Firefox/": "Firefox", "Chrome/": "Chrome", "Safari/": "Safari"}
_SYSTEMS = ("iPhone", "iPad", "Android", "Windows", "Linux")
_MAC = "Mac OS X"


def run(name: str, words: "list[str]") -> int:
    """List the logins, or end one or all of the user's own.

    Raises:
        Failure: the words are invalid, or the hub rejects the request.
    """
    return _list(words) if name == "logins" else _end(words)


def _list(words: "list[str]") -> int:
    as_json = wants_json(words, "console logins")
    return show_list(Hub().ask("GET", _PATH)["logins"], _HEADING, _row, _NONE, as_json=as_json)


def _row(login: "Login") -> "tuple[str, ...]":
    from aish.render import local_time

    used = f"{age(login['used_at'])} ago" if login["used_at"] else "-"
    began = f"{age(login['logged_in_at'])} ago"
    ends = local_time(login["expires_at"], seconds=False)
    address = login["address"].rpartition(":")[0]
    return login["id"], login["subject"], browser(login["user_agent"]), address, began, used, ends


def browser(user_agent: str) -> str:
    """Return the name of a browser and its system, as in `Firefox, Linux`; or what it says if that is
    unknown."""
    name = next((name for part, name in _BROWSERS.items() if part in user_agent), "")
    system = next((each for each in _SYSTEMS if each in user_agent), "macOS" if _MAC in user_agent else "")
    return ", ".join(filter(None, (name, system))) if name else user_agent or "-"


def _end(words: "list[str]") -> int:
    if len(words) != 1 or (words[0].startswith("-") and words[0] != "--all"):
        raise usage_error("console logout")
    hub = Hub()
    if words[0] == "--all":
        ended = hub.ask("DELETE", _PATH)["ended"]
        return print_line(f"Ended {ended} {'login' if ended == 1 else 'logins'}")
    login = _found(hub.ask("GET", _PATH)["logins"], words[0])
    hub.ask("DELETE", f"{_PATH}/{login['id']}")
    return print_line(f"Ended the login {login['id']}")


def _found(logins: "list[Login]", id: str) -> "Login":
    """Return the login whose id begins with this.

    Raises:
        Failure: there is none, or more than one.
    """
    found = [login for login in logins if login["id"].startswith(id)]
    if not found:
        raise Failure(f"there is no login {id!r}", exits.UNKNOWN, unknown=("LOGIN", id))
    if len(found) > 1:
        several = ", ".join(login["id"] for login in found)
        raise Failure(f"{id} is the beginning of {several}", exits.USAGE, hint="write more of the id")
    return found[0]
