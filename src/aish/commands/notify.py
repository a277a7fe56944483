"""`aish notify`: who is notified of what, and a test that they can be reached."""

from aish import exits
from aish.client.hub import Hub
from aish.commands import JSON_WORDS, run_subcommand, show_list, usage_error, wants_json
from aish.exits import Failure
from aish.output import print_json, print_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Recipient = dict[str, Any]

PATH = "/api/v2/notify"
_HEADING = ("NAME", "KIND", "ON", "WAITING", "STATE")
_NONE = "No notifications; add entries below notify: in config.yaml"


def notify(words: "list[str]") -> int:
    """List the recipients of notifications, or send them a test.

    Raises:
        Failure: the words are invalid, or the hub rejects the request.
    """
    action, *rest = words or ["list"]
    if action in JSON_WORDS:
        action, rest = "list", words
    actions = {"list": _list, "test": _test}
    return run_subcommand("notify", actions, action, rest)


def _list(words: "list[str]") -> int:
    as_json = wants_json(words, "notify list")
    found = Hub().ask("GET", PATH)["notify"]
    return show_list(found, _HEADING, _row, _NONE, as_json=as_json)


def _row(recipient: "Recipient") -> "tuple[str, ...]":
    on = [_type(recipient, each) for each in recipient["on"]]
    hint = "" if recipient["ok"] or not recipient["hint"] else f"; {recipient['hint']}"
    waiting, reached = str(recipient["waiting"]), state(recipient) + hint
    return recipient["name"], recipient["kind"], ", ".join(on), waiting, reached


def _type(recipient: "Recipient", name: str) -> str:
    if name == "turn.completed" and recipient["after"]:
        return f"{name} after {recipient['after']:g} s"
    return str(name)


def state(recipient: "Recipient") -> str:
    """Return in words whether notifications reach a recipient."""
    return "ok" if recipient["ok"] else f"failing: {recipient['detail']}"


def _test(words: "list[str]") -> int:
    """Print a line for each recipient. Return 1 if one was not reached."""
    as_json = bool(words) and words[-1] in JSON_WORDS
    names = words[:-1] if as_json else words
    if len(names) > 1 or any(name[:1] == "-" for name in names):
        raise usage_error("notify test")
    tried = Hub().ask("POST", f"{PATH}/test", {"name": names[0]} if names else {})["notify"]
    failed = any(not each["ok"] for each in tried)
    if as_json:
        print_json(tried)
    elif not tried:
        raise Failure("no notifications are configured", hint="add entries below notify: in config.yaml")
    else:
        from aish.render import cleaned

        print_line("\n".join(cleaned(line) for each in tried for line in _lines(each)))
    return exits.FAILED if failed else exits.DONE


def _lines(tried: "dict[str, Any]") -> "list[str]":
    who = f"{tried['name']} ({tried['kind']})" if tried["name"] != tried["kind"] else tried["name"]
    if tried["ok"]:
        return [f"✓ {who}: delivered in {tried['seconds']:.1f} s"]
    hint = [f"  {tried['hint']}"] if tried["hint"] else []
    return [f"✗ {who}: {tried['error']}", *hint]


COMMANDS = {"notify": notify}
