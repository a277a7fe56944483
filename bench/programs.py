"""How soon a client sees the end of a program's turn, and how much memory the host of a program uses.

The programs record when they wrote the last byte of an answer (CLOCK_MONOTONIC, which all processes share).
The client records when it received the end of the answer.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.load import post
from bench.process import RunningHub, resident, running_hub
from bench.stats import percentile
from bench.table import Figure

TURNS = 30
# answers each line with three lines, and records when it wrote the last one
ANSWERING = """
import sys, time
for line in sys.stdin:
    for word in ("one", "two", "three"):
        print(word, line.strip(), flush=True)
    open(sys.argv[1], "w").write(str(time.monotonic()))
"""
# a full-screen program that does the same: it positions the cursor, and shows no prompt
DRAWING = """
import os, sys, time, tty
tty.setraw(0)
os.write(1, b"\\x1b[?1049h\\x1b[2J\\x1b[H")
while True:
    line = b""
    while not line.endswith(b"\\r"):
        byte = os.read(0, 1)
        line += byte
        os.write(1, byte if byte != b"\\r" else b"")
    for row in range(3, 12):
        os.write(1, b"\\x1b[%d;1H\\x1b[Kanswer %d to %s" % (row, row, line[:-1]))
    open(sys.argv[1], "w").write(str(time.monotonic()))
    os.write(1, b"\\x1b[1;1H\\x1b[K")
    open(sys.argv[1], "w").write(str(time.monotonic()))
"""


def run() -> list[Figure]:
    with running_hub() as hub:
        stdio = _turns(hub, "stdio", ANSWERING, delimiter="\n")
        screen = _turns(hub, "terminal", DRAWING)
        shell = _shell(hub)
        hosts = _hosts(hub)
        for name in ("stdio-peer", "terminal-peer", "shell"):  # otherwise they outlive the hub
            _ask(hub, f"/api/v2/programs/{name}", {}, "DELETE")
    return [
        _figure("last byte → end of the answer, program with a delimiter", stdio, 0.050),
        _figure("last byte → end of the answer, full-screen program", screen, 0.700),
        _figure("message → end of the answer, shell that marks its commands", shell, None),
        Figure("memory of a program's host", f"{hosts / 1024:.1f} MB", "≤12 MB", hosts / 1024 <= 12),
    ]


def _figure(what: str, took: Sequence[float], limit: float | None) -> Figure:
    shown = " · ".join(f"{percentile(took, share) * 1e3:.0f}" for share in (0.5, 1.0)) + " ms"
    if limit is None:
        return Figure(f"{what}, p50 · worst", shown)
    return Figure(f"{what}, p50 · worst", shown, f"<{limit * 1e3:.0f} ms", max(took) < limit)


def _turns(hub: RunningHub, kind: str, source: str, delimiter: str | None = None) -> list[float]:
    """Start a program, and send it messages. Return the seconds from the program's last byte until the client
    has the end of the answer, for each turn but the first."""
    name, noted = f"{kind}-peer", Path(hub.folder, f"{kind}.noted")
    program = Path(hub.folder, f"{kind}.py")
    program.write_text(source)
    argv = ["python3", "-u", str(program), str(noted)]
    _announce(hub, {"name": name, "kind": kind, "argv": argv, "delimiter": delimiter})
    took = []
    for turn in range(TURNS + 1):
        ended = _send(hub, name, f"turn {turn}")
        took.append(ended - float(noted.read_text()))
    return took[1:]


def _shell(hub: RunningHub) -> list[float]:
    _announce(hub, {"name": "shell", "kind": "terminal", "argv": ["bash", "--norc"]})
    took = []
    for turn in range(TURNS + 1):
        started = time.monotonic()
        took.append(_send(hub, "shell", f"echo {turn}") - started)
    return took[1:]


def _hosts(hub: RunningHub) -> float:
    """Return the resident memory of the largest host process, in kilobytes."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            if words[-2].endswith(b"rhetor/host/__main__.py") and _has_open(folder, hub.folder):
                found.append(resident(int(folder.name)))
        except (OSError, ValueError, IndexError):
            continue
    return max(found)


def _has_open(process: Path, folder: str) -> bool:
    """Return whether the process has a file in the hub's folder open."""
    for link in (process / "fd").iterdir():
        try:
            if str(link.readlink()).startswith(folder):
                return True
        except OSError:
            continue
    return False


def _announce(hub: RunningHub, body: dict[str, Any]) -> None:
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": hub.folder, "TERM": "xterm-256color"}
    answer = _ask(hub, "/api/v2/programs", {"cwd": hub.folder, "env": environment, **body})
    assert b" 200 " in answer[:20], answer


def _send(hub: RunningHub, peer: str, content: str) -> float:
    """Send a message. Return when the client received the end of the answer (CLOCK_MONOTONIC, in seconds)."""
    answer = _ask(hub, f"/api/v2/ai/{peer}/stream", {"content": content, "execute": True})
    ended = time.monotonic()
    last = json.loads(answer.rsplit(b"data: ", 1)[1].split(b"\n", 1)[0])
    assert last["type"] == "done", answer
    return ended


def _ask(hub: RunningHub, path: str, body: dict[str, Any], method: str = "POST") -> bytes:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(hub.socket)
        connection.sendall(post(path, body, close=True).replace("POST", method, 1).encode())
        return b"".join(iter(lambda: connection.recv(65536), b""))
