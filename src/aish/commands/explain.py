"""`aish explain NAME [--screen] [--json]`: why the hub thinks that a peer is idle, busy, blocked or stuck."""

from aish import exits
from aish.client.hub import Hub, quote
from aish.commands import usage
from aish.output import STDOUT, write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Status = dict[str, Any]

HOW = "aish explain NAME [--screen] [--json]"


def run(words: "list[str]") -> int:
    """Raises:
    Failure: the words do not hold together, there is no such peer, or the hub cannot be reached.
    """
    names = [word for word in words if word[:1] != "-"]
    wishes = {word for word in words if word[:1] == "-"}
    if len(names) != 1 or wishes - {"--screen", "--json"}:
        raise usage(HOW)
    status = Hub().ask("GET", f"/api/v2/ai/{quote(names[0])}/status")
    if "--json" in wishes:
        import json

        text = json.dumps(status, indent=2, ensure_ascii=False)
    else:
        text = _shown(status, with_screen="--screen" in wishes)
    write(STDOUT, f"{text}\n".encode("utf-8", "replace"))
    return exits.DONE


def _shown(status: "Status", *, with_screen: bool) -> str:
    from aish.render import cleaned

    lines = [f"{name:<9} {cleaned(text)}".rstrip() for name, text in _facts(status)]
    if with_screen:
        lines += ["", *(cleaned(line).rstrip() for line in status.get("screen") or ("no screen",))]
    return "\n".join(lines).rstrip()


def _facts(status: "Status") -> "list[tuple[str, str]]":
    from aish.render import status as shown

    facts = [("peer", f"{status['name']}, {status['kind']}" + _by(status))]
    since = f" since {_time(status['since'])}" if status.get("since") else ""
    facts.append(("status", f"{shown(status)}{since}"))
    facts.append(("evidence", str(status.get("evidence") or "none")))
    reasons = [one for one in status.get("reasons") or () if one != status.get("evidence")]
    facts += [("" if number else "reason", one) for number, one in enumerate(reasons)]
    if dialog := status.get("dialog"):
        facts += [("dialog", " ".join(str(dialog["text"]).split()))]
        facts += [("", f"- {_option(one)}") for one in dialog.get("options") or ()]
    if status.get("pid"):
        facts.append(("pid", str(status["pid"])))
    if status.get("signal") is not None:
        facts.append(("ended", f"by signal {status['signal']}"))
    elif status.get("exit_code") is not None:
        facts.append(("ended", f"with exit code {status['exit_code']}"))
    facts.append(("messages", f"{status.get('running') or 0} running, {status.get('waiting') or 0} waiting"))
    return facts


def _by(status: "Status") -> str:
    return f" ({status['driver']})" if status.get("driver") else ""


def _option(option: object) -> str:
    return (
        str(option.get("name") or option.get("text") or option) if isinstance(option, dict) else str(option)
    )


def _time(at: object) -> str:
    return str(at)[:19].replace("T", " ")
