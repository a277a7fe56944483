from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rhetor.store.sqlite.connection import connect
from rhetor.store.sqlite.wal import KEEP_BYTES, Checkpoints

ROOT = Path(__file__).parents[4]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with contextlib.closing(connect(tmp_path / "db")) as connection:
        connection.execute("CREATE TABLE t (x)")
    return tmp_path / "db"


@pytest.mark.long
def test_the_log_of_a_writer_that_never_pauses_stays_bounded(path: Path) -> None:
    checkpoints = Checkpoints(path, every=0.001, large_pages=256)
    checkpoints.start()
    log, largest, written = Path(f"{path}-wal"), 0, 0
    with contextlib.closing(connect(path)) as connection:
        while written < 24 << 20:
            connection.execute("INSERT INTO t VALUES (?)", (b"x" * 16_384,))
            checkpoints.between(connection)
            written += 16_384
            largest = max(largest, log.stat().st_size)
        checkpoints.close()
    assert largest < 12 << 20


def test_a_large_log_is_truncated_when_nothing_is_written(path: Path) -> None:
    checkpoints = Checkpoints(path, every=0.001, idle=0.01)
    log = Path(f"{path}-wal")
    with contextlib.closing(connect(path)) as connection:
        connection.execute("INSERT INTO t VALUES (?)", (b"x" * (2 * KEEP_BYTES),))
        assert log.stat().st_size > KEEP_BYTES
        checkpoints.start()
        checkpoints.between(connection)
        until = time.monotonic() + 5
        while log.stat().st_size > KEEP_BYTES and time.monotonic() < until:
            connection.execute("SELECT count(*) FROM t").fetchone()
        checkpoints.close()
        assert log.stat().st_size == 0


def test_a_reader_of_another_process_holds_up_no_append_while_the_log_is_truncated(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rhetor.store.sqlite.wal.KEEP_BYTES", 0)
    checkpoints = Checkpoints(path, every=0.001, idle=0.001)
    with contextlib.closing(connect(path)) as writer, contextlib.closing(connect(path)) as reader:
        writer.execute("INSERT INTO t VALUES (1)")
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM t").fetchone()
        writer.execute("INSERT INTO t VALUES (2)")
        checkpoints.start()
        began = time.monotonic()
        while time.monotonic() < began + 0.5:
            writer.execute("INSERT INTO t VALUES (3)")
            time.sleep(0.01)
        assert time.monotonic() < began + 2.5  # a lock is waited for 5 s
        reader.execute("ROLLBACK")
        checkpoints.close()


def test_a_commit_that_changes_many_pages_makes_no_temporary_file(tmp_path: Path) -> None:
    folder = tmp_path / "tmp"
    folder.mkdir()
    command = [sys.executable, "-m", "tests.rhetor.store.sqlite.large_commit", str(tmp_path / "log.db")]
    environment = {**os.environ, "SQLITE_TMPDIR": str(folder)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
