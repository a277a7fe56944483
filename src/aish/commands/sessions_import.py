"""`aish sessions import`: import conversations that coding agents recorded into the log.

The hub reads the files. This module selects them, and shows the result.
"""

# ruff: noqa: PTH100, PTH111
import os

from aish import exits
from aish.client.hub import Hub
from aish.commands.sessions_lookup import split_options
from aish.commands.times import parse_time
from aish.output import print_json, print_line
from aish.progress import ask_with_progress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def import_conversations(words: "list[str]") -> int:
    """Import conversations. If a file cannot be read, the others are imported, and the exit code is 1.

    Raises:
        Failure: the words are invalid, or the hub rejects the request.
    """
    plain, options = split_options(words, "sessions import", ("--tool", "--since"), ("--dry-run", "--json"))
    body: dict[str, Any] = {"paths": [os.path.abspath(os.path.expanduser(path)) for path in plain]}
    if "--tool" in options:
        body["tool"] = options["--tool"]
    if "--since" in options:
        body["since"] = parse_time(options["--since"])
    if "--dry-run" in options:
        body["dry_run"] = True
    result = ask_with_progress(Hub(), "import", "/api/v2/imports", body)
    if "--json" in options:
        print_json(result)
    else:
        print_line(_report(result))
    return exits.FAILED if any(file["error"] for file in result["files"]) else exits.DONE


def _report(result: "dict[str, Any]") -> str:
    from aish.render import cleaned
    from aish.screen.tables import stdout_columns, table

    files = result["files"]
    if not files:
        return "No conversations to import"
    rows = [("NEW", "KNOWN", "LINES LOST", "SESSION", "FILE")]
    for file in files:
        outcome = file["error"] or file["skipped"] or file["session_id"] or ""
        counts = str(file["new"]), str(file["known"]), str(file["malformed"])
        rows.append((*counts, cleaned(outcome), cleaned(file["path"])))
    turns = _count(sum(file["new"] for file in files), "turn")
    conversations = _count(sum(bool(file["new"]) for file in files), "conversation")
    done = "Would import" if result["dry_run"] else "Imported"
    lines = [table(rows, stdout_columns()), f"✓ {done} {turns} of {conversations}"]
    if result["more"]:
        lines.append("There are more files than one run reads; run the command again")
    return "\n".join(lines)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
