"""Checkpoints of sessions: make, list, compare and restore them, and fork a session at one of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.responses import Response

from rhetor.domain import command as c
from rhetor.domain.snapshot import Change
from rhetor.domain.timestamps import timestamp
from rhetor.hub.catalog.checkpoints import CheckpointRow, KeptFiles
from rhetor.hub.sessions import checkpoints as hub_checkpoints
from rhetor.hub.sessions import forks, restores
from rhetor.hub.sessions.agent_memory import Outcome
from rhetor.transports.server.call import Call
from rhetor.transports.server.long_work import Result, with_progress

from .bodies import CheckpointBody, ForkBody, RestoreBody
from .sessions import described


async def make(call: Call, id: str, body: CheckpointBody) -> Result | Response:
    """Make a checkpoint. `removed`: older ones that limits removed because of it."""
    return await with_progress(call, _make(call, id, body))


async def _make(call: Call, id: str, body: CheckpointBody) -> Result:
    made: hub_checkpoints.Made = await call.execute(c.MakeCheckpoint(id, body.name or "", body.cursor))
    row, applied = made.checkpoint, made.applied
    exceeding = {} if applied.named_bytes is None else {"exceeding_bytes": applied.named_bytes}
    removed = [
        {
            "checkpoint_id": each.checkpoint.id,
            "name": each.checkpoint.name,
            "session_id": each.checkpoint.session_id,
            "at": timestamp(each.checkpoint.at),
            "limit": each.limit,
        }
        for each in applied.removed
    ]
    return {**_checkpoint(row), "parent": f"{row.session_id}@{row.cursor}", "removed": removed, **exceeding}


async def list_all(call: Call, id: str) -> dict[str, Any]:
    found = await hub_checkpoints.checkpoints(call.hub.state, call.who, id)
    return {"checkpoints": [_checkpoint(made) for made in found]}


async def timeline(call: Call, id: str) -> dict[str, Any]:
    """Return the checkpoints as a tree: each one names the one from which the session continued."""
    found = await hub_checkpoints.timeline(call.hub.state, call.who, id)
    return {
        **found,
        "checkpoints": [{**_checkpoint(made), "from": made.parent} for made in found["checkpoints"]],
    }


async def diff(call: Call, a: str, b: str) -> dict[str, Any]:
    """Return how the second checkpoint differs from the first one. `changed`: its files; null if one of the
    two has none. `changed_messages`: its conversation."""
    found = await hub_checkpoints.diff(call.hub.state, call.who, a, b)
    changed = None if found.files is None else _changes(found.files)
    messages = _messages(found.messages)
    return {"cursors": list(found.cursors), "changed": changed, "changed_messages": messages}


async def restore(call: Call, id: str, body: RestoreBody) -> Result | Response:
    """Reset the session and the files of its folder. With `dry_run`, only return which files would change,
    with the session as it is."""
    return await with_progress(call, _restore(call, id, body))


async def _restore(call: Call, id: str, body: RestoreBody) -> Result:
    done: restores.Restored
    if body.dry_run:
        done = await restores.preview(call.hub.state, call.who, id, body.at)
    else:
        done = await call.execute(c.RestoreSession(id, body.at))
    return {
        **await described(call.node, done.session),
        "changed": _changes(done.changed),
        "changed_messages": _messages(done.messages),
        "before": _checkpoint(done.before) if done.before else None,
        "saved": _checkpoint(done.saved) if done.saved else None,
        **_agent(done.agent),
    }


async def fork(call: Call, id: str, body: ForkBody) -> Result | Response:
    """Create a session that continues from a position of another one, also with its files in a new folder."""
    return await with_progress(call, _fork(call, id, body))


async def _fork(call: Call, id: str, body: ForkBody) -> Result:
    done: forks.Forked = await call.execute(body.command(id))
    files = None
    if done.files is not None:
        files = {"folder": done.files.folder, "branch": done.files.branch, **_counts(done.files.kept)}
    return {**await described(call.node, done.session), "files": files, **_agent(done.agent)}


def _agent(known: Outcome) -> dict[str, Any]:
    return {"rewound": known.rewound, "retold": known.retold, "reason": known.reason}


def _checkpoint(made: CheckpointRow) -> dict[str, Any]:
    return {
        "checkpoint_id": made.id,
        "name": made.name,
        "cursor": made.cursor,
        "at": timestamp(made.at),
        "automatic": made.automatic,
        **_files(made.files),
    }


def _files(files: KeptFiles | None) -> dict[str, Any]:
    if files is None:
        return {}
    return {"folder": files.folder, **_counts(files)}


def _counts(files: KeptFiles) -> dict[str, Any]:
    left_out = [{"path": left.path, "bytes": left.bytes, "reason": left.reason} for left in files.left_out]
    return {"files": files.files, "bytes": files.bytes, "left_out": left_out}


def _changes(changes: Sequence[Change]) -> list[dict[str, Any]]:
    return [
        {
            "path": change.path.decode(errors="replace"),
            "change": change.how,
            "kind": (change.new or change.old).kind,  # type: ignore[union-attr]  # one of them exists
            "old_bytes": change.old.size if change.old else None,
            "new_bytes": change.new.size if change.new else None,
        }
        for change in changes
    ]


def _messages(changes: hub_checkpoints.MessageChanges) -> list[dict[str, Any]]:
    return [
        {"change": change, "role": said.role, "content": said.content, "timestamp": timestamp(said.at)}
        for change, branch in (("removed", changes.removed), ("added", changes.added))
        for said in branch
    ]
