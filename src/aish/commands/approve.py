"""`aish approve [ID [OPTION]] [--json]`: the requests for permission that wait; or a yes to one of them."""

from aish import exits
from aish.client.hub import Hub
from aish.commands import usage
from aish.output import STDOUT, write
from aish.turns.permissions import answer, found, open_requests, option_named, option_of_kind, shown

HOW = "aish approve [ID [OPTION]] | --json"


def run(words: "list[str]") -> int:
    """Without an id nothing is approved: they are listed.

    Raises:
        Failure: the words do not hold together, no such request waits, or somebody was first.
    """
    as_json = "--json" in words
    words = [word for word in words if word != "--json"]
    if len(words) > 2 or (as_json and words) or any(word.startswith("-") for word in words):
        raise usage(HOW)
    hub = Hub()
    if not words:
        return _list(hub, as_json)
    request = found(hub, words[0])
    option = (
        option_named(request, words[1])
        if len(words) > 1
        else option_of_kind(request, "allow_once", "allow_always")
    )
    write(STDOUT, f"✓ {answer(hub, request, option)}\n".encode("utf-8", "replace"))
    return exits.DONE


def _list(hub: Hub, as_json: bool) -> int:
    requests = open_requests(hub)
    if as_json:
        import json

        text = json.dumps(requests, indent=2, ensure_ascii=False)
    else:
        text = "\n".join(map(shown, requests)) or "No requests wait"
    write(STDOUT, f"{text}\n".encode("utf-8", "replace"))
    return exits.DONE
