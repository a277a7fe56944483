"""Errors of folders that the hub writes: those of forked sessions."""

from __future__ import annotations

from .base import INVALID_PARAMS, RhetorError


class FilesMissing(RhetorError):
    """The session, or the checkpoint, has no files that could be copied into a folder."""

    code, status, rpc = "files_missing", 409, INVALID_PARAMS
    hint = "omit cwd and worktree, or name a checkpoint with files; GET …/checkpoints shows which have some"

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} has no files")


class FolderTaken(RhetorError):
    """There is a file, or a folder that is not empty, where a folder would be made."""

    code, status, rpc = "folder_taken", 409, INVALID_PARAMS
    hint = "choose a folder that does not exist or is empty"

    def __init__(self, folder: str) -> None:
        super().__init__(f"{folder} exists and is not empty", folder=folder)


class FolderForbidden(RhetorError):
    """The caller may write only below the allowed roots."""

    code, status, rpc = "folder_forbidden", 403, INVALID_PARAMS
    hint = "add its parent to projects.roots, or fork with aish on the hub's machine"

    def __init__(self, folder: str) -> None:
        super().__init__(f"{folder} is not in an allowed folder", folder=folder)


class NoRepository(RhetorError):
    """A worktree was wanted, but the session's folder is in no git repository."""

    code, status, rpc = "no_repository", 409, INVALID_PARAMS
    hint = "omit worktree, and name a folder with cwd"

    def __init__(self, folder: str, reason: str) -> None:
        super().__init__(f"{folder} is in no git repository: {reason}", folder=folder)
