"""`aish status [--json]`: whether a hub runs, and what it says of itself. It never starts one."""

from time import monotonic

from aish import exits
from aish.client.hub import NO_HUB, Hub
from aish.commands import usage
from aish.exits import Failure
from aish.output import STDOUT, write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PATIENCE = 10.0  # seconds, for a hub to say how it is

HOW = "aish status [--json]"


def run(words: "list[str]") -> int:
    """0 where a hub runs, 5 where none does.

    Raises:
        Failure: the words do not hold together, or what runs there is no hub.
    """
    if words not in ([], ["json"], ["--json"]):
        raise usage(HOW)
    hub = Hub(may_start=False)
    hub.deadline = monotonic() + PATIENCE
    try:
        status = hub.ask("GET", "/api/v2/status")
    except Failure as failure:
        if failure.problem != NO_HUB:
            raise
        _show("hub  not running (it starts with the first message)" if not words else '{"running": false}')
        return exits.UNREACHABLE
    if words:
        import json

        _show(json.dumps({"running": True, **status}, indent=2, ensure_ascii=False))
    else:
        _show(_table(status))
    return exits.DONE


def provider_line(status: "dict[str, Any]") -> str:
    """Who answers: `openai gpt-x at https://…`, or the embedded model."""
    provider = status.get("provider")
    if not isinstance(provider, dict) or provider.get("name") == "offline":
        return "none: the embedded offline model answers"
    if provider.get("error"):
        return f"none: {provider['error']}"
    place = f" at {provider['base_url']}" if provider.get("base_url") else ""
    return f"{provider.get('name', '?')} {provider.get('model') or ''}".rstrip() + place


def _table(status: "dict[str, Any]") -> str:
    from aish.render import cleaned

    shown = {
        "hub": f"running, version {status.get('version')}, pid {status.get('pid')}",
        "started": status.get("started_at"),
        "home": status.get("home"),
        "sockets": ", ".join(status.get("sockets") or ()),
        "url": status.get("url"),
        "peers": status.get("peers"),
        "sessions": f"{status.get('sessions')}, {status.get('running')} turns running",
        "provider": provider_line(status),
    }
    return "\n".join(f"{name:<9} {cleaned(str(value))}" for name, value in shown.items() if value is not None)


def _show(text: str) -> None:
    write(STDOUT, f"{text}\n".encode("utf-8", "replace"))
