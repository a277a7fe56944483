"""Sessions, their events, checkpoints and requests, and imports of conversations."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType

from .common import Cursor, SessionState, Time


class Said(Struct):
    role: Literal["user", "assistant"]
    content: str
    timestamp: Time


class Summary(Struct):
    """What a list shows of a session. `first`: the beginning of its first message. `messages`: how many it
    has, with the answers. `cost`: in USD, null if no price is known. `cost_is_complete`: there are no tokens
    without a price, and no events that the log has no more."""

    first: str
    messages: int
    cost: str | None
    cost_is_complete: bool


class Blob(Struct):
    """Binary content that was stored. `media_type`: what the content shows, or what its sender said."""

    blob_id: str
    media_type: str
    bytes: int


class RunningTurn(Struct):
    """The turn that runs in a session. `doing`: as in `now` of a peer."""

    turn_id: str
    peer: str
    since: Time
    state: Literal["running", "waiting"]
    doing: str | None


class Session(Struct):
    """A session. `title`: the first line of its last message, at most 100 characters; null if there is none,
    or if a part of it is masked. `turn`: the one that runs now. `started`: whether it has had a message.
    `ttl`: seconds without use until it expires; null if it does not expire."""

    id: str
    specialist_id: str
    name: str | None
    title: str | None
    owner: str
    project_id: str | None
    state: SessionState
    turn: RunningTurn | None
    started: bool
    created_at: Time
    used_at: Time
    ttl: float | None
    context_window: int
    metadata: dict[str, Any]
    tools: list[dict[str, Any]]
    messages: list[Said]
    head: int | None
    cursor: Cursor | None
    summary: Summary | UnsetType = UNSET


class Sessions(Struct):
    sessions: list[Session]


class Share(Struct):
    """What `subject` may do in a session of another owner."""

    session_id: str
    subject: str
    scopes: list[Literal["read", "send", "approve"]]
    at: Time


class Shares(Struct):
    shares: list[Share]


class ShareRemoved(Struct):
    session_id: str
    subject: str
    status: Literal["removed"]


class ImportedFile(Struct):
    """The import of one file. `new`: imported turns; `known`: turns that were in the log already;
    `malformed`: lines that cannot be read; `skipped`, `error`: why nothing was imported."""

    path: str
    tool: str
    conversation: str
    session_id: str | None
    new: int
    known: int
    malformed: int
    skipped: str | None
    error: str | None


class Imported(Struct):
    """An import. `unchanged`: how many files have not changed since an earlier import; `more`: files are left
    for the next run."""

    dry_run: bool
    files: list[ImportedFile]
    unchanged: int
    more: bool


class Event(Struct):
    epoch: str
    seq: int
    prev: int
    cursor: Cursor
    session_id: str | None
    turn_id: str | None
    at: Time
    type: str
    data: dict[str, Any]


class Page(Struct):
    """A page of events. `cursor`: that of the last event which was looked at, from which the next page
    continues. `before`: for the page before this one, if it was read with `before`; null if no earlier event
    is kept."""

    outcome: Literal["ok"]
    recovered: bool
    epoch: str
    head: int
    earliest: int
    cursor: Cursor | None
    events: list[Event]
    before: Cursor | UnsetType | None = UNSET


class LeftOut(Struct):
    """A file that a checkpoint does not have."""

    path: str
    bytes: int
    reason: str


class KeptCheckpoint(Struct):
    """`automatic`: the hub made it by itself. `folder` and what follows: of the files that it has."""

    checkpoint_id: str
    name: str
    cursor: Cursor
    at: Time
    automatic: bool
    folder: str | UnsetType = UNSET
    files: int | UnsetType = UNSET
    bytes: int | UnsetType = UNSET
    left_out: list[LeftOut] | UnsetType = UNSET


class RemovedCheckpoint(Struct):
    """A checkpoint that was removed. `limit`: the setting that took effect."""

    checkpoint_id: str
    name: str
    session_id: str
    at: Time
    limit: Literal["checkpoints.keep", "checkpoints.max_age_days", "checkpoints.max_bytes"]


class Checkpoint(KeptCheckpoint, kw_only=True):
    """`parent`: the position that it marks, as `<session>@<cursor>`. `removed`: checkpoints that limits
    removed because of this one. `exceeding_bytes`: what the files of all checkpoints take, if it is more than
    `checkpoints.max_bytes` and only checkpoints with names are left."""

    parent: str
    removed: list[RemovedCheckpoint]
    exceeding_bytes: int | UnsetType = UNSET


class Checkpoints(Struct):
    checkpoints: list[KeptCheckpoint]


class TimelineCheckpoint(KeptCheckpoint, kw_only=True, rename={"from_": "from"}):
    """`from`: the checkpoint from which the session continued."""

    from_: str | None


class Timeline(Struct):
    """`current`: the checkpoint from which the session continues."""

    current: str | None
    checkpoints: list[TimelineCheckpoint]


class ChangedFile(Struct):
    path: str
    change: Literal["added", "changed", "removed"]
    kind: Literal["file", "link", "folder"]
    old_bytes: int | None
    new_bytes: int | None


class ChangedMessage(Said, kw_only=True):
    """A message that only the old conversation has (`removed`), or only the new one."""

    change: Literal["added", "removed"]


class Diff(Struct):
    """`cursors`: the positions of the two checkpoints. `changed`: the files; null if one of them has none.
    `changed_messages`: those that only the first one's conversation has, then those that only the second's
    has."""

    cursors: list[Cursor]
    changed: list[ChangedFile] | None
    changed_messages: list[ChangedMessage]


class Continued(Session, kw_only=True):
    """`rewound`: the session's coding agent itself remembers the conversation up to this position. `retold`:
    it begins a new conversation, and receives the earlier one with the next message; `reason`: why."""

    rewound: bool
    retold: bool
    reason: str | None


class Restored(Continued, kw_only=True):
    """`changed`: the files that are different now; with `dry_run`, those that would be. `changed_messages`:
    the messages that the conversation does not have any more, and those that it has again. `before`: the
    checkpoint with the files as they were. `saved`: the one with files that changed during the restore."""

    changed: list[ChangedFile]
    changed_messages: list[ChangedMessage]
    before: KeptCheckpoint | None
    saved: KeptCheckpoint | None


class ForkedFiles(Struct):
    """The files of a fork. `folder`: where the peer works. `branch`: of the git worktree, null if there is
    none."""

    folder: str
    branch: str | None
    files: int
    bytes: int
    left_out: list[LeftOut]


class Forked(Continued, kw_only=True):
    """`files`: null if the session has no folder of its own."""

    files: ForkedFiles | None


class ToolAnswered(Struct):
    call_id: str
    turn_id: str
    cursor: Cursor


class PermissionAnswered(Struct):
    request_id: str
    turn_id: str
    cursor: Cursor


class Permission(Struct):
    request_id: str
    session_id: str
    turn_id: str
    peer: str
    tool: str
    detail: Any
    options: list[dict[str, Any]]
    expires_at: Time | None
    asked_at: Time
    questions: list[dict[str, Any]] | UnsetType = UNSET


class Permissions(Struct):
    permissions: list[Permission]


class TurnAbandoned(Struct):
    turn_id: str
    continues: str | None
