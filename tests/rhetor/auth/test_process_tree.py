"""Who descends from a peer's program: real processes, and files as the kernel writes them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from rhetor.auth.process_tree import MOST_ANCESTORS, ancestors, peer_of

GRANDCHILD = """
import os, sys
if os.fork() == 0:
    sys.stdout.write(f"{os.getpid()}\\n")
    sys.stdout.flush()
    sys.stdin.read()
    os._exit(0)
os.wait()
"""


def test_a_process_descends_from_those_that_started_it() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", GRANDCHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        pid = int(child.stdout.readline())
        assert list(ancestors(pid))[:3] == [pid, child.pid, os.getpid()]
        assert peer_of(pid, {child.pid: "box"}) == "box"
        assert peer_of(pid, {pid: "inner", child.pid: "box"}) == "inner"
        assert peer_of(os.getpid(), {child.pid: "box"}) is None
        assert peer_of(pid, {}) is None
        child.stdin.close()


def test_a_name_with_parentheses_and_a_process_that_is_gone_mislead_nobody(tmp_path: Path) -> None:
    for pid, stat in {30: b"30 (a) S 1 (b) S 20 1 1", 20: b"20 (x y) S 10 1 1"}.items():
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "stat").write_bytes(stat)
    assert list(ancestors(30, tmp_path)) == [30, 20, 10]


def test_a_ring_ends(tmp_path: Path) -> None:
    (tmp_path / "5").mkdir()
    (tmp_path / "5" / "stat").write_bytes(b"5 (a) S 5 1")
    assert len(list(ancestors(5, tmp_path))) == MOST_ANCESTORS
