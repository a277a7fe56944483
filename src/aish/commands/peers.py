"""`aish list`, `aish explain` and `aish wait`: the peers, why one has its status, and waiting for them."""

from time import monotonic

from aish import exits
from aish.client.hub import Hub, quote
from aish.commands import JSON_WORDS, take_value, usage_error
from aish.output import print_json, print_line, print_text, say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Peer = dict[str, Any]
    Status = dict[str, Any]

# The hub's kind for each word that a user types. The specialists have Greek names.
_KINDS = {"greek": "specialist"} | {kind: kind for kind in ("terminal", "project", "tool", "team", "machine")}
_TYPES = {kind: typed for typed, kind in _KINDS.items()}
_SILENT = "its host process does not answer"  # the hub's evidence for such a program
_MODEL = 3  # the column
_SECOND_COLUMN = 10  # of an explanation
_GRACE_SECONDS = 5.0  # the hub counts the timeout of `wait`; if it stops answering, give up a little later


def list_peers(words: "list[str]") -> int:
    """Show the peers, by kind.

    Raises:
        Failure: the words are invalid, or the hub cannot be reached.
    """
    kind, as_json = _list_options(words)
    peers = [peer for peer in Hub().ask("GET", "/api/v2/ai")["peers"] if kind in (None, peer["kind"])]
    peers.sort(key=lambda peer: (peer["kind"], peer["id"]))
    status = print_json(list(map(_json_object, peers))) if as_json else print_line(_table(peers))
    for peer in peers:
        if peer.get("evidence") == _SILENT:
            name = peer["id"]
            say(f"{name} did not answer: {_SILENT}; end it with: aish tools terminate {name} --force")
    return status


def _list_options(words: "list[str]") -> tuple[str | None, bool]:
    kind: str | None = None
    as_json = False
    left = list(words)
    while left:
        word = left.pop(0)
        if word in JSON_WORDS:
            as_json = True
        elif word == "type" and left and left[0] in _KINDS:
            kind = _KINDS[left.pop(0)]
        else:
            raise usage_error("list")
    return kind, as_json


def _json_object(peer: "Peer") -> "Peer":
    kept = ("description", "status", "model", "port", "pid", "capabilities", "sessions", "forwards")
    first = {"name": peer["id"], "type": _TYPES.get(peer["kind"], peer["kind"])}
    return {**first, **{name: peer.get(name) for name in kept}}


def _table(peers: "list[Peer]") -> str:
    from aish.render import cleaned, status
    from aish.screen.tables import stdout_columns, table

    if not peers:
        return "No peers"
    rows: list[tuple[str, ...]] = [("NAME", "TYPE", "STATUS", "MODEL", "AT", "DESCRIPTION")]
    for peer in peers:
        place = (
            f"pid {peer['pid']}" if peer.get("pid") else f"port {peer['port']}" if peer.get("port") else ""
        )
        forwards = "".join(f" → {name}" for name in peer.get("forwards") or ())
        kind = _TYPES.get(peer["kind"], peer["kind"])
        description = f"{peer.get('description') or ''}{forwards}"
        model = str(peer.get("model") or "")
        rows.append((str(peer["id"]), str(kind), status(peer), model, place, description))
    if not any(row[_MODEL] for row in rows[1:]):  # programs, which have none
        rows = [row[:_MODEL] + row[_MODEL + 1 :] for row in rows]
    return table([[cleaned(cell) for cell in row] for row in rows], stdout_columns())


def explain(words: "list[str]") -> int:
    """Show why the hub considers a peer idle, busy, blocked or stuck.

    Raises:
        Failure: the words are invalid, the peer is unknown, or the hub cannot be reached.
    """
    names = [word for word in words if word[:1] != "-"]
    options = {word for word in words if word[:1] == "-"}
    if len(names) != 1 or options - {"--screen", "--json"}:
        raise usage_error("explain")
    status = Hub().ask("GET", f"/api/v2/ai/{quote(names[0])}/status")
    if "--json" in options:
        return print_json(status)
    return print_line(_explanation(status, with_screen="--screen" in options))


def _explanation(status: "Status", *, with_screen: bool) -> str:
    from aish.render import cleaned
    from aish.screen.tables import stdout_columns, wrapped

    facts = [f"{name:<9} {cleaned(text)}".rstrip() for name, text in _facts(status)]
    lines = [wrapped("\n".join(facts), stdout_columns(), _SECOND_COLUMN)]
    if with_screen:
        lines += ["", *(cleaned(line).rstrip() for line in status.get("screen") or ("no screen",))]
    return "\n".join(lines).rstrip()


def _facts(status: "Status") -> "list[tuple[str, str]]":
    from aish.render import local_time
    from aish.render import status as status_word

    driver = f" ({status['driver']})" if status.get("driver") else ""
    since = f" since {local_time(status['since'])}" if status.get("since") else ""
    facts = [
        ("peer", f"{status['name']}, {status['kind']}{driver}"),
        ("status", f"{status_word(status)}{since}"),
        ("evidence", str(status.get("evidence") or "none")),
    ]
    if status.get("model"):
        facts.append(("model", str(status["model"])))
    reasons = [one for one in status.get("reasons") or () if one != status.get("evidence")]
    facts += [("" if number else "reason", one) for number, one in enumerate(reasons)]
    facts += [_paused(one) for one in status.get("paused") or ()]
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


def _paused(pause: "dict[str, Any]") -> tuple[str, str]:
    from aish.render import local_time

    until = f", until {local_time(pause['resets_at'])}" if pause.get("resets_at") else ""
    then = ", then it continues by itself" if pause.get("then") else ""
    return "paused", f"by its {pause['cause']}{until}{then} (aish approve {pause['request_id']})"


def _option(option: object) -> str:
    named = option.get("name") or option.get("text") if isinstance(option, dict) else None
    return str(named or option)


def wait(words: "list[str]") -> int:
    """Wait until the peers are idle, and print those that are, one per line. Return 124 on timeout.

    Raises:
        Failure: the words are invalid, a peer is unknown, or the hub cannot be reached.
    """
    as_json = "--json" in words
    mode, timeout, peers = _wait_options([word for word in words if word != "--json"])
    hub = Hub()
    body: dict[str, object] = {"peers": peers, "mode": mode}
    if timeout is not None:
        body["timeout"] = timeout
        hub.deadline = monotonic() + timeout + _GRACE_SECONDS
    found = hub.ask("POST", "/api/v2/wait", body)
    if as_json:
        print_json(found)
    else:
        print_text("".join(f"{name}\n" for name in found["idle"]))
    return exits.TIMED_OUT if found["timed_out"] else exits.DONE


def _wait_options(words: "list[str]") -> "tuple[str, float | None, list[str]]":
    mode, timeout = "all", None
    peers: list[str] = []
    left = list(words)
    while left:
        word, given, value = left.pop(0).partition("=")
        if word in ("--any", "--all") and not given:
            mode = word[2:]
        elif word == "--timeout":
            timeout = _seconds(value if given else take_value(left, "wait"))
        elif word[:1] == "-" or given:
            raise usage_error("wait")
        else:
            peers.append(word)
    if not peers:
        raise usage_error("wait")
    return mode, timeout, peers


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise usage_error("wait")
    return seconds


COMMANDS = {
    "list": list_peers,
    "explain": explain,
    "wait": wait,
}
