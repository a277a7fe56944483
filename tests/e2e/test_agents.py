"""A program that runs as a peer never counts as its owner, whatever it does with processes and the token."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.home import SECONDS, Machine

# `ask` sends a request over the Unix socket or, with the owner's token, over TCP; it returns status and body
ASKS = """
import json, os, signal, socket, sys, time
home, port, told = sys.argv[1], int(sys.argv[2]), sys.argv[3]
def opened(kind):
    if kind == "tcp":
        return socket.create_connection(("127.0.0.1", port))
    link = socket.socket(socket.AF_UNIX)
    link.connect(home + "/hub.sock")
    return link
def ask(kind, method, path, link=None):
    link = link or opened(kind)
    head = f"{method} {path} HTTP/1.1\\r\\nConnection: close\\r\\nContent-Type: application/json\\r\\n"
    if kind == "tcp":
        token = open(home + "/token").read().strip()
        head += f"Host: 127.0.0.1:{port}\\r\\nAuthorization: Bearer {token}\\r\\n"
    else:
        head += "Host: localhost\\r\\n"
    link.sendall(head.encode() + b"Content-Length: 0\\r\\n\\r\\n")
    answer = b""
    while data := link.recv(65536):
        answer += data
    head, _, body = answer.partition(b"\\r\\n\\r\\n")
    return [int(head.split()[1]), json.loads(body)]
def tell(*answers):
    with open(told + ".new", "w") as file:
        json.dump(answers, file)
    os.rename(told + ".new", told)
"""
BOTH = """
tell(*(ask(kind, *what) for kind in ("unix", "tcp") for what in
    (("POST", "/api/auth/code"), ("GET", "/api/v2/history"))))
"""
# a grandchild in its own session, which sends its requests after its host and all parents are gone
ORPHAN = """
host = os.getppid()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        open(told + ".ready", "w").close()
        while host in map(int, filter(str.isdigit, os.listdir("/proc"))):
            time.sleep(0.01)
        os.execve(sys.executable, [sys.executable, "-I", "-S", "-c", sys.stdin.read(), *sys.argv[1:]], {})
    os._exit(0)
time.sleep(600)
"""
# the process that opened the connections is gone before they are used
PASSED = """
if os.fork():
    time.sleep(600)
links = {kind: opened(kind) for kind in ("unix", "tcp")}
opener = os.getpid()
if os.fork() == 0:
    while os.getppid() == opener:
        time.sleep(0.01)
    tell(*(ask(kind, "POST", "/api/auth/code", link) for kind, link in links.items()))
"""
# over Socket.IO, with the owner's token in the CONNECT instead of a header
POLLS = """
def polled(query, body=b""):
    link = opened("tcp")
    method = "POST" if body else "GET"
    head = f"{method} /socket.io/?EIO=4&transport=polling{query} HTTP/1.1\\r\\nConnection: close\\r\\n"
    head += f"Host: 127.0.0.1:{port}\\r\\nContent-Length: {len(body)}\\r\\n\\r\\n"
    link.sendall(head.encode() + body)
    answer = b""
    while data := link.recv(65536):
        answer += data
    return answer.partition(b"\\r\\n\\r\\n")[2].decode()
sid = "&sid=" + json.loads(polled("")[1:])["sid"]
token = open(home + "/token").read().strip()
polled(sid, b'40{"token":"%b"}' % token.encode())
connected = polled(sid)[:2]
polled(sid, b'421["permission",{"session_id":"s_1","request_id":"r_1","option_id":"yes"}]')
tell(connected, json.loads(polled(sid)[3:])[0]["code"])
"""


@pytest.fixture
def machine(machine: Machine) -> Iterator[Machine]:
    machine.environment["RHETOR_MODELS__DEFAULT"] = "offline"
    machine.environment["RHETOR_HUB__PORT"] = "0"
    assert machine.run("apollo", "the owner's secret").returncode == 0
    yield machine
    machine.end_programs()


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def answers_of(
    machine: Machine, code: str, *options: str, feed: str | None = None, kill_host: bool = False
) -> Any:
    """Run this code in a program that is a peer; return the answers that it got."""
    out = machine.folder.parent / "told"
    port = machine.status()["url"].rsplit(":", 1)[1]
    script = [sys.executable, "-I", "-S", "-c", ASKS + code, str(machine.folder), port, str(out)]
    if feed is not None:
        code_file = machine.folder.parent / "code"
        code_file.write_text(ASKS + feed)
        script = ["/bin/sh", "-c", f'exec "$@" < {code_file}', "sh", *script]
    made = machine.run("ci-tool", "-n", "kid", "--detach", *options, "--", *script)
    assert made.returncode == 0, made.stderr
    if kill_host:
        pid = int(made.stdout.rsplit("(pid ", 1)[1].rstrip(")\n"))
        deadline = time.monotonic() + SECONDS
        while not out.with_name("told.ready").exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        host = parent(pid)
        for each in (parent(host), host):  # the host's guard would end the processes left behind
            os.kill(each, signal.SIGKILL)
    deadline = time.monotonic() + SECONDS
    while not out.exists():
        assert time.monotonic() < deadline, made.stdout + made.stderr
        time.sleep(0.01)
    return json.loads(out.read_text())


def status_for_owner(machine: Machine, kind: str) -> int:
    """Request a login code from a process of the owner; return the status."""
    script = ASKS + f'print(ask("{kind}", "POST", "/api/auth/code")[0])'
    port = machine.status()["url"].rsplit(":", 1)[1]
    argv = [sys.executable, "-c", script, str(machine.folder), port, "-"]
    return int(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)


REFUSED = [403, "forbidden"]


def test_a_program_gets_no_login_code_and_no_history_of_the_owner(machine: Machine) -> None:
    code, history, code_over_tcp, history_over_tcp = answers_of(machine, BOTH)
    assert [[status, body["code"]] for status, body in (code, code_over_tcp)] == [REFUSED, REFUSED]
    assert [history, history_over_tcp] == [[200, {"history": []}]] * 2
    assert status_for_owner(machine, "tcp") == 200  # processes outside of programs keep all rights


def test_rhetor_prints_no_token_for_a_program(machine: Machine) -> None:
    asks = f"ran = subprocess.run([{str(machine.bin / 'rhetor')!r}, 'token'], capture_output=True, text=True)"
    ran = answers_of(machine, f"import subprocess\n{asks}\ntell(ran.returncode, ran.stdout, ran.stderr)")
    assert ran == [2, "", "rhetor: only a person may do this, not a program that runs as a peer\n"]
    assert len(machine.rhetor("token").stdout) == 65


def test_a_process_left_behind_by_a_program_remains_an_agent(machine: Machine) -> None:
    code, history, code_over_tcp, history_over_tcp = answers_of(machine, ORPHAN, feed=BOTH, kill_host=True)
    assert [[status, body["code"]] for status, body in (code, code_over_tcp)] == [REFUSED, REFUSED]
    assert [history, history_over_tcp] == [[200, {"history": []}]] * 2


def test_a_connection_that_outlives_its_process_still_counts_as_an_agents(machine: Machine) -> None:
    assert [[status, body["code"]] for status, body in answers_of(machine, PASSED)] == [REFUSED, REFUSED]


def test_a_program_with_the_owners_token_is_an_agent_over_socketio(machine: Machine) -> None:
    assert answers_of(machine, POLLS) == ["40", "forbidden"]
