"""`aish sessions fork`: a session that continues from here or from a checkpoint, also in a new folder."""

# ruff: noqa: PTH100, PTH111
import os

from aish import exits
from aish.client.hub import Hub, quote
from aish.commands import usage_error
from aish.commands.sessions_checkpoints import count, place, say_if_retold, warn_of_limits
from aish.commands.sessions_lookup import find_session, path_of, split_options
from aish.output import print_json, print_line
from aish.progress import ask_with_progress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MAX_FORKS = 100
_WORKTREE = "--worktree"


def fork(words: "list[str]") -> int:
    """Create a session that continues from a position of another one.

    Raises:
        Failure: the words are invalid, there is no such session or checkpoint, or the files cannot be written
            into the new folder.
    """
    valued = ("--at", "--cwd", _WORKTREE)
    plain, options = split_options(_with_value(words), "sessions fork", valued, ("--json",))
    folders = [folder for name in ("--cwd", _WORKTREE) if (folder := options.get(name))]
    if not 1 <= len(plain) <= 2 or len(folders) > 1 or options.get("--cwd") == "":
        raise usage_error("sessions fork")
    hub = Hub()
    parent = find_session(hub, plain[0])
    name = plain[1] if len(plain) == 2 else _free_name(hub, parent["name"])
    body: dict[str, Any] = {"name": name} if name else {}
    if "--at" in options:
        body["at"] = place(hub, parent, options["--at"])
    if folders:
        body["cwd"] = os.path.abspath(os.path.expanduser(folders[0]))
    if _WORKTREE in options:
        body["worktree"] = True
    made = ask_with_progress(hub, "fork", f"{path_of(parent)}/fork", body)
    if "--json" in options:
        return print_json(made)
    return _report(plain[0], made)


def _with_value(words: "list[str]") -> "list[str]":
    """Return the words with an empty value for `--worktree` if it has none."""
    found = list(words)
    for index, word in enumerate(words):
        if word == "--":
            break
        if word == _WORKTREE and (index + 1 == len(words) or words[index + 1][:1] == "-"):
            found[index] = f"{_WORKTREE}="
    return found


def _report(parent: str, made: "dict[str, Any]") -> int:
    print_line(f"✓ Forked {parent} as {made['name'] or made['id']} ({made['id']})")
    if files := made["files"]:
        branch = f", a worktree on the branch {files['branch']}" if files["branch"] else ""
        print_line(f"  {count(files['files'], 'file')} in {files['folder']}{branch}")
        warn_of_limits(files, "fork")
    say_if_retold(made)
    return exits.DONE


def _free_name(hub: Hub, name: "str | None") -> "str | None":
    """Return a name for a copy of `work`: `work-2`, or the next one that is free; None if there is none."""
    for number in range(2, _MAX_FORKS) if name else ():
        if not hub.ask("GET", f"/api/v2/sessions?name={quote(f'{name}-{number}')}")["sessions"]:
            return f"{name}-{number}"
    return None
