from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rhetor.store.files import store as files
from rhetor.store.files.store import FileStore
from rhetor.store.files.trees import reachable
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


@pytest.mark.long
def test_a_process_that_is_killed_while_it_removes_garbage_loses_no_snapshot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "RECENT_SECONDS", 0)
    folder = tmp_path / "project"
    for number in range(KILLS):
        run_and_kill("collecting", tmp_path / "store", folder, tmp_path / "roots")
        kept = [bytes.fromhex(root) for root in (tmp_path / "roots").read_text().split()]
        store = FileStore(tmp_path / "store", max_file_bytes=1 << 20)
        for root in kept:
            store.export(root, tmp_path / f"{number}-{root.hex()}")  # reads and checks every object
        store.keep(kept, most=0)
        live = {digest for root in kept for digest in reachable(store.objects, {root})}
        assert store.objects.sizes().keys() == live
        known = {path.name for path in (tmp_path / "store").glob("*.pack")}
        assert known == {f"{pack}.pack" for pack, _ in store.objects._packs()}
        store.close()


def restore_and_kill(base: Path, folder: Path, targets: list[str]) -> None:
    run_and_kill("restoring", base / "store", folder, *targets)


def run_and_kill(program: str, *arguments: str | Path) -> None:
    """Run a module of this package, and kill it a moment after one of the lines that it prints."""
    command = [sys.executable, "-m", f"tests.rhetor.store.files.{program}", *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for _ in range(random.randint(1, 3)):
            assert process.stdout.readline() in (b"restoring\n", b"forgetting\n")
        time.sleep(random.uniform(0, 0.1))
        process.kill()
