"""Errors of the hub itself: of its log, its store and its settings, and that it shuts down."""

from __future__ import annotations

from .base import INVALID_PARAMS, STORE_REFUSES, RhetorError


class PositionLost(RhetorError):
    """The reader's position is not part of the current log; `outcome` says why."""

    code, status, rpc, close = "position_lost", 410, INVALID_PARAMS, 4010

    def __init__(self, outcome: str, *, epoch: str, head: int, earliest: int) -> None:
        super().__init__(
            f"the position cannot be resumed: {outcome}",
            outcome=outcome,
            recovered=False,
            epoch=epoch,
            head=head,
            earliest=earliest,
        )


class StoreRefused(RhetorError):
    """The store rejected an append (disk full, locked, I/O error). Nothing was stored."""

    code, status, rpc = "store_refused", 503, STORE_REFUSES
    retryable, retry_after = True, 1.0
    hint = "check the disk of the hub's state folder, and repeat the request"


class FenceLost(RhetorError):
    """Another node, or a later start of this one, has taken over what this node owned. Nothing was stored."""

    code, status, rpc = "fence_lost", 503, STORE_REFUSES
    retryable, retry_after = True, 1.0
    hint = "repeat the request at another node"

    def __init__(self) -> None:
        super().__init__("this node has lost its lease, and another one may have taken over")


class StreamElsewhere(RhetorError):
    """The stream belongs to another node, which alone may write it. Nothing was stored."""

    code, status, rpc = "stream_elsewhere", 503, STORE_REFUSES
    retryable, retry_after = True, 1.0
    hint = "repeat the request"

    def __init__(self, stream: str, node: str) -> None:
        super().__init__(f"{stream} belongs to the node {node}", stream=stream, node=node)


class NodeLost(RhetorError):
    """The node that owns what the request is about was lost before its answer was complete. Whether it did
    what the request asks for is not known."""

    code, status, rpc, close = "node_lost", 503, STORE_REFUSES, 1012
    retryable, retry_after = True, 1.0
    hint = "repeat the request, with the same idempotency key if it has one; another node takes over"

    def __init__(self, node: str) -> None:
        super().__init__(f"the node {node} was lost before it answered", node=node)


class CommitUnresolved(RhetorError):
    """The database was lost in the middle of a commit, and nobody could ask it before the hub stopped; or the
    hub stopped before it had executed a request. `why`: says which."""

    code, status, rpc = "commit_unresolved", 503, STORE_REFUSES
    hint = "repeat the request with the same idempotency key"

    def __init__(self, why: str = "the database was lost during a commit") -> None:
        super().__init__(f"{why}; whether it was stored is not known")


class NoDatabaseFile(RhetorError):
    """The command needs a database in the state folder, but the hub keeps its log elsewhere."""

    code, status = "no_database_file", 409

    def __init__(self, place: str, instead: str) -> None:
        super().__init__(f"the log of this hub is in {place}, not in its state folder; {instead}")


class StoreDamaged(RhetorError):
    """The database file is damaged; `data` has its path and what the check found. Nothing was changed."""

    code, status, rpc = "store_damaged", 503, STORE_REFUSES

    def __init__(self, path: str, findings: list[str]) -> None:
        super().__init__(f"the database {path} is damaged", path=path, findings=findings)


class InvalidSettings(RhetorError):
    """The configuration is invalid; `detail` names the file, the line, the key and the reason, if known.
    `data["problems"]` has each invalid value as `{key, detail}`, if values are."""

    code, status = "invalid_settings", 422


class ShuttingDown(RhetorError):
    code, status, close = "shutting_down", 503, 1012
    retryable, retry_after = True, 1.0
    hint = "repeat the request in a moment"

    def __init__(self) -> None:
        super().__init__("the hub is shutting down")


class DownloadFailed(RhetorError):
    """A file could not be downloaded. What has arrived is kept, and the next attempt continues there."""

    code, status = "download_failed", 502
    retryable = True
    hint = "run the command again; it continues where it stopped"
