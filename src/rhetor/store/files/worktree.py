"""Git worktrees for the files of a snapshot. Only git itself writes to a repository."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from pathlib import Path

from .base import GitFailed

SECONDS = 120.0  # for one git command
# no program that the repository names is run, apart from the filters that its files need
SAFE = ("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "maintenance.auto=false")


class Worktree:
    """A worktree at `folder`, on the branch `branch`, of the repository in which `source` is."""

    def __init__(self, source: Path, folder: Path, branch: str) -> None:
        self._source = source
        self._folder = folder
        self._branch = branch

    def add(self) -> None:
        """Add it, with the current commit on a new branch.

        Raises:
            GitFailed: there is no repository, or git rejects the worktree.
        """
        try:
            self._git("rev-parse", "--show-toplevel")
        except GitFailed as error:
            raise GitFailed(str(error), repository=False) from error
        self._git("worktree", "add", "--quiet", "-b", self._branch, "--", str(self._folder), "HEAD")

    @property
    def place(self) -> Path:
        """The path in the worktree that corresponds to the source."""
        return self._folder / self._git("rev-parse", "--show-prefix").rstrip("\n")

    def remove(self) -> None:
        """Remove it with all its files, and its branch. What is not there any more is no error."""
        for command in (
            ("worktree", "remove", "--force", "--force", "--", str(self._folder)),
            ("branch", "--quiet", "-D", "--", self._branch),
        ):
            try:
                self._git(*command)
            except GitFailed:
                continue

    def _git(self, *arguments: str) -> str:
        program = shutil.which("git")
        if program is None:
            raise GitFailed("git is not installed")
        try:
            ran = subprocess.run(
                [program, "-C", str(self._source), *SAFE, *arguments],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=SECONDS,
                env=_environment(),
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise GitFailed(f"git failed: {error}") from error
        if ran.returncode != 0:
            last = ran.stderr.strip().rpartition("\n")[2]
            raise GitFailed(last.removeprefix("fatal: ") or f"git exited with {ran.returncode}")
        return ran.stdout


def require_free(folder: Path) -> None:
    """Check that there is nothing at the path, or an empty folder.

    Raises:
        FileExistsError: there is something.
        OSError: the folder cannot be read.
    """
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()) or _has_entries(folder):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(folder))


def _has_entries(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


def _environment() -> dict[str, str]:
    """Return the environment without the variables that would lead git to another repository."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return {**kept, "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
