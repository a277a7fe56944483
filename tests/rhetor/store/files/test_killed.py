from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rhetor.store.files.store import FileStore
from tests.scale import scaled

from .folders import read, write

KILLS = scaled(50, 5)


@pytest.mark.long
def test_a_restore_that_is_killed_again_and_again_leaves_no_mixture(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    store = FileStore(tmp_path / "store", max_file_bytes=1 << 20)
    states = {}
    for version in ("old", "new"):
        write(folder, {f"d{n % 7}/f{n}": f"{version} {n}" * 50 for n in range(60)})
        write(folder, {f"only {version}/{n}": version for n in range(20)})
        states[store.take(folder).root.hex()] = read(folder)
        for path in sorted((folder / f"only {version}").iterdir()):
            path.unlink()
        (folder / f"only {version}").rmdir()
    store.close()
    interrupted = 0
    for number in range(KILLS):
        restore_and_kill(tmp_path, folder, list(states))
        if number % 2:
            write(folder, {f"mine{number}": "written between the kill and the next start"})
        store = FileStore(tmp_path / "store", max_file_bytes=1 << 20)
        saved = [store.finish(journal) for journal in store.unfinished()]
        interrupted += len(saved)
        assert saved == [] or read(folder) in states.values()
        for journal in saved:
            store.settle(journal)
            if number % 2:
                assert journal.saved is not None
                assert f"mine{number}".encode() in store.paths(journal.saved)
        assert list(folder.glob(".rhetor*")) == []
        store.close()
    assert interrupted > 0


def restore_and_kill(base: Path, folder: Path, targets: list[str]) -> None:
    command = [sys.executable, "-m", "tests.rhetor.store.files.restoring", str(base / "store"), str(folder)]
    with subprocess.Popen([*command, *targets], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for _ in range(random.randint(1, 3)):
            assert process.stdout.readline() == b"restoring\n"
        time.sleep(random.uniform(0, 0.1))
        process.kill()
