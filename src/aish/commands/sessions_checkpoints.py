"""`aish sessions checkpoint`, `timeline`, `diff` and `restore`: a session and its files at earlier times."""

import os

from aish import exits
from aish.client.hub import Hub, quote
from aish.commands import usage_error
from aish.commands.sessions_lookup import find_session, path_of, split_options
from aish.exits import Failure
from aish.output import STDERR, print_json, print_line, say, write
from aish.progress import ask_with_progress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    Found = dict[str, Any]

_MARKS = {"added": "+", "changed": "~", "removed": "-"}
_MOST = 50  # changed files, and messages, that are shown
_EXCERPT = 70  # characters of a message


def checkpoint(words: "list[str]") -> int:
    """Make a checkpoint of a session.

    Raises:
        Failure: the words are invalid, there is no such session, or its files cannot be kept.
    """
    plain, options = split_options(words, "sessions checkpoint", (), ("--json",))
    if not 1 <= len(plain) <= 2:
        raise usage_error("sessions checkpoint")
    hub = Hub()
    body = {"name": plain[1]} if len(plain) == 2 else {}
    path = f"{path_of(find_session(hub, plain[0]))}/checkpoint"
    made = ask_with_progress(hub, "checkpoint", path, body)
    warn_of_limits(made)
    if options:
        return print_json(made)
    named = f" {made['name']}" if made["name"] != made["checkpoint_id"] else ""
    return print_line(f"✓ Made the checkpoint{named} ({made['checkpoint_id']}){_files(made)}")


def warn_of_limits(made: "Found", what: str = "checkpoint") -> None:
    """Say what limits left out of a new checkpoint or fork, and what they removed because of it."""
    left = made.get("left_out") or []
    for each in left[:_MOST]:
        _say(f"aish: not in the {what}: {each['path']} ({each['reason']})\n")
    if len(left) > _MOST:
        _say(f"aish: not in the {what}: {len(left) - _MOST} more files (--json lists them)\n")
    removed = made.get("removed") or []
    for each in removed[:_MOST]:
        named = f" {each['name']}" if each["name"] != each["checkpoint_id"] else ""
        _say(f"aish: removed the checkpoint {each['checkpoint_id']}{named} ({each['limit']})\n")
    if len(removed) > _MOST:
        _say(f"aish: removed {len(removed) - _MOST} more checkpoints (--json lists them)\n")
    if "exceeding_bytes" in made:
        taken = (
            f"checkpoints take {made['exceeding_bytes'] / 1e6:,.0f} MB, and only those with names are left"
        )
        _say(f"aish: {taken}; raise checkpoints.max_bytes\n")


def say_if_retold(done: "Found") -> None:
    """Say on stderr that the agent of a restored or forked session begins a new conversation, if it does."""
    if done["retold"]:
        why = f" ({done['reason']})" if done["reason"] else ""
        say(f"aish: {done['specialist_id']} begins a new conversation, and receives the earlier one{why}")


def _say(text: str) -> None:
    write(STDERR, text.encode(errors="replace"))


def _files(made: "Found") -> str:
    if "files" not in made:
        return ""
    return f" with {count(made['files'], 'file')} of {made['folder']}"


def count(number: int, noun: str) -> str:
    """Return `1 file`, `2 files`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def timeline(words: "list[str]") -> int:
    """Print the checkpoints of a session as a tree.

    Raises:
        Failure: the words are invalid, or there is no such session.
    """
    plain, options = split_options(words, "sessions timeline", (), ("--json",))
    if len(plain) != 1:
        raise usage_error("sessions timeline")
    hub = Hub()
    found = hub.ask("GET", f"{path_of(find_session(hub, plain[0]))}/timeline")
    if options:
        return print_json(found)
    lines = list(_tree(found))
    return print_line("\n".join(lines) if lines else "No checkpoints")


def _tree(found: "Found") -> "Iterator[str]":
    below: dict[Any, list[Found]] = {}
    ids = {each["checkpoint_id"] for each in found["checkpoints"]}
    for each in found["checkpoints"]:
        parent = each["from"] if each["from"] in ids else None
        below.setdefault(parent, []).append(each)
    waiting = [(each, "", True) for each in reversed(below.get(None, []))]
    while waiting:
        each, indent, alone = waiting.pop()
        yield f"{indent}{'' if alone else '└ '}{_line(each, found['current'])}"
        next_ones = below.get(each["checkpoint_id"], [])
        inner = indent if alone else f"{indent}  "
        # a single successor continues the line; several begin branches
        waiting += [(one, inner, len(next_ones) == 1) for one in reversed(next_ones)]


def _line(each: "Found", current: "str | None") -> str:
    from aish.render import local_time, one_line

    mark = "*" if each["checkpoint_id"] == current else "o"
    name = "" if each["name"] == each["checkpoint_id"] else f"  {one_line(each['name'])}"
    files = f"  {count(each['files'], 'file')}" if "files" in each else ""
    return f"{mark} {local_time(each['at'], seconds=False)}  {each['checkpoint_id']}{name}{files}"


def diff(words: "list[str]") -> int:
    """Print which files and messages differ between two checkpoints of a session, or between one and now.

    Raises:
        Failure: the words are invalid, or there is no such session or checkpoint.
    """
    plain, options = split_options(words, "sessions diff", (), ("--json",))
    if not 2 <= len(plain) <= 3:
        raise usage_error("sessions diff")
    hub = Hub()
    session = find_session(hub, plain[0])
    old, *new = [checkpoint_id(hub, session, name) for name in plain[1:]]
    if new:
        found = hub.ask("GET", f"/api/v2/checkpoints/{quote(old)}/diff/{quote(new[0])}")
    else:
        body = {"at": old, "dry_run": True}
        shown = ask_with_progress(hub, "diff", f"{path_of(session)}/restore", body)
        messages = [_flipped(each) for each in shown["changed_messages"]]
        messages.sort(key=lambda each: each["change"] == "added")  # those of the checkpoint come first
        changed = [_reversed(each) for each in shown["changed"]]
        found = {"changed": changed, "changed_messages": messages}
    if options:
        return print_json(found)
    return print_line("\n".join(_differences(found, session["specialist_id"])) or "Nothing differs")


def _differences(found: "Found", peer: str) -> "Iterator[str]":
    """Yield a line for each file and each message that differs."""
    files = ["One of the checkpoints has no files"]
    if found["changed"] is not None:
        files = list(_changes(found["changed"]))
    messages = list(_message_changes(found["changed_messages"], peer))
    yield from files
    if files and messages:
        yield ""
    yield from messages


def place(hub: Hub, session: "Found", name: str) -> str:
    """Return the cursor, the place before a message (`-1`), or the id of a checkpoint that is given by its
    name or id.

    Raises:
        Failure: there is no such checkpoint, or several have the name.
    """
    if name[:1] == "-" and name[1:].isdecimal():
        return name
    is_cursor = ":" in name and name.rpartition(":")[2].isdecimal()
    return name if is_cursor else checkpoint_id(hub, session, name)


def checkpoint_id(hub: Hub, session: "Found", name: str) -> str:
    """Return the id of a checkpoint that is given by its name or id.

    Raises:
        Failure: there is none, or several have the name.
    """
    made = hub.ask("GET", f"{path_of(session)}/checkpoints")["checkpoints"]
    found = [each["checkpoint_id"] for each in made if name == each["checkpoint_id"]]
    found = found or [each["checkpoint_id"] for each in made if name == each["name"]]
    if len(found) > 1:
        raise Failure(
            f"several checkpoints have the name {name!r}; use an id: {', '.join(found)}", exits.USAGE
        )
    if not found:
        from aish.catalogue.nearest import did_you_mean

        names = [key for each in made for key in (each["name"], each["checkpoint_id"]) if key]
        hint = f"aish sessions timeline {session['name'] or session['id']} shows names and ids"
        hint = did_you_mean(name, names) or hint
        raise Failure(f"no checkpoint has the name or id {name!r}", exits.UNKNOWN, hint=hint)
    return str(found[0])


def _flipped(each: "Found") -> "Found":
    other = {"added": "removed", "removed": "added", "changed": "changed"}
    return {**each, "change": other[each["change"]]}


def _reversed(each: "Found") -> "Found":
    """Return the change from the checkpoint to now, given the one that a restore would make."""
    return {
        **_flipped(each),
        "old_bytes": each["new_bytes"],
        "new_bytes": each["old_bytes"],
    }


def _changes(changed: "Sequence[Found]") -> "Iterator[str]":
    from aish.render import one_line

    for each in changed[:_MOST]:
        slash = "/" if each["kind"] == "folder" else ""
        yield f"{_MARKS[each['change']]} {one_line(each['path'])}{slash}"
    if len(changed) > _MOST:
        yield f"and {len(changed) - _MOST} more (--json shows all)"


def _message_changes(changed: "Sequence[Found]", peer: str) -> "Iterator[str]":
    from aish.render import one_line

    for each in changed[:_MOST]:
        author = peer if each["role"] == "assistant" else "You"
        content = one_line(each["content"])
        excerpt = content if len(content) <= _EXCERPT else f"{content[: _EXCERPT - 1]}…"
        yield f"{_MARKS[each['change']]} {author}: {excerpt}"
    if len(changed) > _MOST:
        yield f"and {len(changed) - _MOST} more messages (--json shows all)"


def restore(words: "list[str]") -> int:
    """Show what a restore would change, ask, and restore the session.

    Raises:
        Failure: the words are invalid, there is no such session or checkpoint, nobody can be asked, or the
            files cannot be restored.
    """
    plain, options = split_options(words, "sessions restore", (), ("--dry-run", "--yes", "--json"))
    if len(plain) != 2:
        raise usage_error("sessions restore")
    hub = Hub()
    session = find_session(hub, plain[0])
    at = place(hub, session, plain[1])
    path, body = f"{path_of(session)}/restore", {"at": at}
    shown = ask_with_progress(hub, "comparing", path, {**body, "dry_run": True})
    if "--dry-run" in options:
        if "--json" in options:
            return print_json(shown)
        lines = "\n".join(_differences(shown, session["specialist_id"]))
        return print_line(lines or "Nothing would change")
    if "--yes" not in options:
        _ask(list(_differences(shown, session["specialist_id"])), plain[0])
    done = ask_with_progress(hub, "restore", path, body)
    if "--json" in options:
        return print_json(done)
    print_line("\n".join(_report(plain, done)))
    say_if_retold(done)
    return exits.DONE


def _ask(differences: "Sequence[str]", name: str) -> None:
    """Show what would change, and ask whether to do it.

    Raises:
        Failure: the answer is no, or nobody can be asked.
    """
    from aish.turns.input import STDIN

    if not os.isatty(STDIN) or not os.isatty(STDERR):
        raise Failure("nobody can be asked here; see --dry-run, and then add --yes", exits.USAGE)
    shown = "".join(f"{line}\n" for line in differences) or "Nothing will change.\n"
    _say(f"{shown}Restore {name}? Messages and files since then are kept. [y/N] ")
    answer = b""
    while not answer.endswith(b"\n") and (read := os.read(STDIN, 1)):
        answer += read
    if answer.strip().lower() not in (b"y", b"yes"):
        raise Failure("nothing was restored", exits.USAGE)


def _report(plain: "list[str]", done: "Found") -> "Iterator[str]":
    yield f"✓ Restored {plain[0]} to {plain[1]} ({count(len(done['changed']), 'change')} to files)"
    if done["before"]:
        yield f"  The files as they were: {done['before']['checkpoint_id']}"
    if done["saved"]:
        yield f"  Files that changed meanwhile: {done['saved']['checkpoint_id']}"
