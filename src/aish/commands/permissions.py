"""`aish approve` and `aish deny`: answer permission requests."""

from aish.client.hub import Hub
from aish.commands import Command, usage_error
from aish.output import print_json, print_line
from aish.turns.permissions import (
    answer_request,
    describe_request,
    find_request,
    option_named,
    option_of_kind,
    pending_requests,
)

_APPROVE = ("approve [ID [OPTION]]", "approve --json")
_DENY = ("deny ID",)


def approve(words: "list[str]") -> int:
    """Approve a request, or choose one of its options. Without an id, list the pending requests.

    Raises:
        Failure: the words are invalid, no request has this id, or the request was answered already.
    """
    if not words or words == ["--json"]:
        return _list(as_json=bool(words))
    if len(words) > 2 or any(word.startswith("-") for word in words):
        raise usage_error(*_APPROVE)
    hub = Hub()
    request = find_request(hub, words[0])
    if len(words) > 1:
        option = option_named(request, words[1])
    else:
        option = option_of_kind(request, "allow_once", "allow_always")
    return print_line(f"✓ {answer_request(hub, request, option)}")


def deny(words: "list[str]") -> int:
    """Deny a request.

    Raises:
        Failure: the words are invalid, no request has this id, or the request was answered already.
    """
    if len(words) != 1 or words[0].startswith("-"):
        raise usage_error(*_DENY)
    hub = Hub()
    request = find_request(hub, words[0])
    option = option_of_kind(request, "reject_once", "reject_always")
    return print_line(f"✓ {answer_request(hub, request, option)}")


def _list(*, as_json: bool) -> int:
    requests = pending_requests(Hub())
    if as_json:
        return print_json(requests)
    return print_line("\n".join(map(describe_request, requests)) or "No pending permission requests")


COMMANDS = {
    "approve": Command(_APPROVE, "Approve a permission request, or list the pending requests.", approve),
    "deny": Command(_DENY, "Deny a permission request.", deny),
}
