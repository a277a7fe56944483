"""Which processes descend from a peer's program: real processes, and files in the format of the kernel."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

from rhetor.auth.process_tree import Processes, _limit_of, _mark_in, ancestors
from rhetor.auth.tcp_clients import _from_kernel, _from_table
from rhetor.domain.principal import UNIDENTIFIED, UNKNOWN_PROGRAM

GRANDCHILD = """
import os, sys
if os.fork() == 0:
    sys.stdout.write(f"{os.getpid()}\\n")
    sys.stdout.flush()
    sys.stdin.read()
    os._exit(0)
os.wait()
"""

# marks itself, and starts the program above with an empty environment in a new session
MARKS = """
import subprocess, sys
from pathlib import Path
from rhetor.auth.process_tree import mark_own_process
print(*mark_own_process(Path(sys.argv[1])), flush=True)
subprocess.run([sys.executable, "-I", "-c", sys.argv[2]], env={}, start_new_session=True)
"""


def test_a_process_descends_from_those_that_started_it() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", GRANDCHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        pid = int(child.stdout.readline())
        chain = ancestors(pid)
        assert chain is not None
        assert chain[:3] == (pid, child.pid, os.getpid())
        assert Processes(lambda: {child.pid: "box"}).agent(pid) == "box"
        assert Processes(lambda: {pid: "inner", child.pid: "box"}).agent(pid) == "inner"
        assert Processes(dict).agent(pid) is None
        assert Processes(lambda: {child.pid: "box"}).agent(os.getppid()) is None
        child.stdin.close()


def test_children_of_a_marked_process_are_marked_even_in_a_new_session(
    tmp_path: Path,
) -> None:
    argv = [sys.executable, "-c", MARKS, str(tmp_path), GRANDCHILD]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as marked:
        assert marked.stdin is not None
        assert marked.stdout is not None
        mark, pid = tuple(map(int, marked.stdout.readline().split())), int(marked.stdout.readline())
        processes = Processes(dict, mark)
        assert (processes.agent(pid), processes.agent(os.getppid())) == (UNKNOWN_PROGRAM, None)
        assert processes.agents().keys() >= {pid}
        for other in ((mark[0] ^ 1,), (*mark, 5)):  # marks of another hub, and of a hub started by a program
            assert Processes(dict, other).agent(pid) is None
        marked.stdin.close()


def test_a_nested_mark_is_a_lower_limit_from_which_both_can_be_read() -> None:
    outer, inner = (7,), (7, (1 << 20) - 2)
    assert _limit_of(inner) < _limit_of(outer) < 1 << 61
    assert [_mark_in(_limit_of(mark)) for mark in (outer, inner)] == [outer, inner]
    assert [_mark_in(limit) for limit in (-1, 0, 1 << 62, 1 << 64)] == [(), (), (), ()]


def test_a_missing_process_or_an_incomplete_chain_is_unidentified(tmp_path: Path) -> None:
    stats = {
        30: b"30 (a) S 1 (b) S 20 1 1",
        20: b"20 (x y) S 10 1 1",
        40: b"40 (c) S 1 1",
        1: b"1 (init) S 0",
    }
    for pid, stat in stats.items():
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "stat").write_bytes(stat)
    processes = Processes(lambda: {20: "box"}, proc=tmp_path)
    assert ancestors(40, tmp_path) == (40, 1)
    assert [processes.agent(pid) for pid in (40, 20, 0, 99)] == [
        None,
        UNIDENTIFIED,
        UNIDENTIFIED,
        UNIDENTIFIED,
    ]
    (tmp_path / "10").mkdir()
    (tmp_path / "10" / "stat").write_bytes(b"10 (a) S 0 1")
    assert ancestors(30, tmp_path) == (30, 20, 10)
    assert processes.agent(30) == "box"


def test_a_cycle_of_parents_ends_the_search(tmp_path: Path) -> None:
    (tmp_path / "5").mkdir()
    (tmp_path / "5" / "stat").write_bytes(b"5 (a) S 5 1")
    assert ancestors(5, tmp_path) is None


def test_the_socket_of_a_client_is_found_by_netlink_and_by_proc() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        server = listener.getsockname()
        client = socket.create_connection(server)
        address, own = client.getsockname(), (os.getuid(), os.fstat(client.fileno()).st_ino)
        with listener.accept()[0]:
            assert [find(address, server) for find in (_from_kernel, _from_table)] == [own, own]
            client.close()
            assert [find(address, server) for find in (_from_kernel, _from_table)] == [(0, 0), (0, 0)]
