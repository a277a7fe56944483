"""A session as Markdown: its facts, and its messages."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Session = dict[str, Any]


def about(session: "Session") -> str:
    """Return the session's folder, and its title if it was imported."""
    metadata = session.get("metadata") or {}
    imported = metadata.get("imported")
    title = imported.get("title") if isinstance(imported, dict) else None
    return "  ".join(str(part) for part in (metadata.get("cwd"), title) if part)


def titled(session: "Session") -> str:
    """Return the whole session, under its name."""
    return f"# {session['name'] or session['id']}\n\n{facts(session)}{''.join(messages(session))}"


def facts(session: "Session") -> str:
    from aish.render import local_time

    found = {
        "session": session["id"],
        "name": session["name"],
        "peer": session["specialist_id"],
        "line": (session.get("metadata") or {}).get("line"),
        "state": session["state"],
        "created": local_time(session["created_at"]),
        "last used": local_time(session["used_at"]),
        "about": about(session) or None,
    }
    return "".join(f"- {key}: {fact}\n" for key, fact in found.items() if fact is not None)


def messages(session: "Session") -> "Iterator[str]":
    """Yield each message of the session under a heading."""
    from aish.render import local_time

    for message in session["messages"]:
        author = session["specialist_id"] if message["role"] == "assistant" else "You"
        at = local_time(message["timestamp"])
        yield f"\n## {author} · {at}\n\n{message['content'].rstrip()}\n"
