"""`aish approve` and `aish deny`: answer permission requests."""

from aish import exits
from aish.client.hub import Hub
from aish.commands import usage_error
from aish.exits import Failure
from aish.output import print_json, print_line, say
from aish.questions import describe_question
from aish.turns.permissions import (
    answer_questions,
    answer_request,
    describe_request,
    find_request,
    option_named,
    option_of_kind,
    option_to_approve,
    pending_requests,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_ANSWER = "--answer"


def approve(words: "list[str]") -> int:
    """Approve a request, choose one of its options, or answer its questions. Without an id, approve the only
    pending request, and show it first, or list the requests.

    Raises:
        Failure: the words are invalid, no request has this id, or the request was answered already.
    """
    words, answers = _split_answers(words)
    if words == ["--json"] and not answers:
        return print_json(pending_requests(Hub()))
    if len(words) > 2 or any(word.startswith("-") for word in words) or (answers and len(words) > 1):
        raise usage_error("approve")
    hub = Hub()
    if words:
        request = find_request(hub, words[0])
    else:
        requests = pending_requests(hub)
        if len(requests) != 1:
            return _list(requests, answers)
        request = requests[0]
        if answers or not request.get("questions"):
            say(_shown(request))  # the user has named none, so this one is shown before it is answered
    if answers:
        return print_line(f"✓ {answer_questions(hub, request, answers)}")
    option = option_named(request, words[1]) if words[1:] else option_to_approve(request)
    return print_line(f"✓ {answer_request(hub, request, option)}")


def _split_answers(words: "list[str]") -> "tuple[list[str], list[str]]":
    """Return the words without the options `--answer`, and the values of those.

    Raises:
        Failure: a value is missing.
    """
    rest, answers = [], []
    left = iter(words)
    for word in left:
        name, given, value = word.partition("=")
        if name != _ANSWER:
            rest.append(word)
            continue
        value = value if given else next(left, "")
        if not value or value.startswith("--"):
            raise usage_error("approve")
        answers.append(value)
    return rest, answers


def deny(words: "list[str]") -> int:
    """Deny a request.

    Raises:
        Failure: the words are invalid, no request has this id, or the request was answered already.
    """
    if len(words) != 1 or words[0].startswith("-"):
        raise usage_error("deny")
    hub = Hub()
    request = find_request(hub, words[0])
    option = option_of_kind(request, "reject_once", "reject_always")
    return print_line(f"✓ {answer_request(hub, request, option)}")


def _list(requests: "list[dict[str, Any]]", answers: "list[str]") -> int:
    if answers:
        found = f"{len(requests)} requests are pending" if requests else "no request is pending"
        raise Failure(f"{found}; name one: aish approve ID --answer QUESTION=LABEL", exits.USAGE)
    return print_line("\n".join(map(_shown, requests)) or "No pending permission requests")


def _shown(request: "dict[str, Any]") -> str:
    asked = request.get("questions") or []
    return "\n    ".join((describe_request(request), *map(describe_question, asked)))


COMMANDS = {
    "approve": approve,
    "deny": deny,
}
