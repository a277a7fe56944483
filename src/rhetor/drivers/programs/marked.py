"""The start-up files that let shells mark their commands: written for each start, removed with its host."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from rhetor.domain.peer import Peer
from rhetor.domain.program import Launch

from .shells import prepared


class MarkedShells:
    """`folder`: where the files lie, one folder (0700) a host."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def prepare(self, peer: Peer, launch: Launch, host_id: str) -> tuple[tuple[str, ...], Mapping[str, str]]:
        """The arguments and the environment that the peer's program is to be started with."""
        assert peer.program is not None
        folder = self._folder / host_id
        done = prepared(peer.program.argv, launch.env, str(folder))
        if done.files:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, content in done.files.items():
            path = folder / name
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(file, "w", encoding="utf-8") as out:
                out.write(content)
        return done.argv, done.env

    def forget(self, host_id: str) -> None:
        shutil.rmtree(self._folder / host_id, ignore_errors=True)
