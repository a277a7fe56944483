"""`aish sessions import`: the conversations that coding agents have kept themselves, into the log.

The hub reads the files; what is here says which, and shows what came of them.
"""

# ruff: noqa: PTH100, PTH111
import os

from aish import exits
from aish.client.hub import Hub
from aish.commands.sessions_lookup import show_text, taken
from aish.exits import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_UNITS = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def run_import(words: "list[str]", wrong: Exception) -> int:
    """Exit code 1 where a file could not be read as a conversation; the others are taken in.

    Raises:
        Failure: `wrong`, or the hub refuses.
    """
    plain, options = taken(words, wrong, ("--tool", "--since"), ("--dry-run", "--json"))
    body: dict[str, Any] = {"paths": [os.path.abspath(os.path.expanduser(path)) for path in plain]}
    if "--tool" in options:
        body["tool"] = options["--tool"]
    if "--since" in options:
        body["since"] = instant(options["--since"])
    if "--dry-run" in options:
        body["dry_run"] = True
    answer = Hub().ask("POST", "/api/v2/imports", body)
    if "--json" in options:
        import json

        show_text(json.dumps(answer, indent=2, ensure_ascii=False))
    else:
        show_text(_shown(answer))
    return exits.FAILED if any(file["error"] for file in answer["files"]) else exits.DONE


def instant(text: str) -> str:
    """`7d`, `12h`, `2026-11-01` or a time as the hub writes them, as RFC 3339.

    Raises:
        Failure: it is none of these.
    """
    from datetime import UTC, datetime, timedelta

    number, unit = text[:-1], text[-1:]
    if unit in _UNITS and number.isdecimal() and len(number) < 7:
        return (datetime.now(UTC) - timedelta(seconds=int(number) * _UNITS[unit])).isoformat()
    try:
        given = datetime.fromisoformat(text)
    except ValueError:
        raise Failure(f"aish: {text!r} is no time: 7d, 12h, 2026-11-01", exits.USAGE) from None
    return given.astimezone(UTC).isoformat()


def _shown(answer: "dict[str, Any]") -> str:
    from aish.render import cleaned, table

    files = answer["files"]
    if not files:
        return "No conversations to take in"
    rows = [("NEW", "THERE", "LINES LOST", "SESSION", "FILE")]
    for file in files:
        said = file["error"] or file["skipped"] or file["session_id"] or ""
        counts = str(file["new"]), str(file["known"]), str(file["malformed"])
        rows.append((*counts, cleaned(said), cleaned(file["path"])))
    taken_in = sum(bool(file["new"]) for file in files)
    would = "would be taken in" if answer["dry_run"] else "taken in"
    turns = sum(file["new"] for file in files)
    lines = [table(rows), f"✓ {_count(turns, 'turn')} of {_count(taken_in, 'conversation')} {would}"]
    if answer["more"]:
        lines.append("There are more than are read at a time: run it again")
    return "\n".join(lines)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
