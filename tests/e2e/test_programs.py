"""Programs as peers of a real hub: they survive its kills, work in pipelines, and call the hub themselves."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sqlite3
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.aish.attachable import window
from tests.aish.scripted import Shell
from tests.e2e.home import SECONDS, Machine
from tests.provider.process import ProviderProcess
from tests.provider.script import Script
from tests.scale import FULL

PYTHON = (sys.executable, "-I", "-S", "-c")
KILLS = 20 if FULL else 3
LINES = 100_000 if FULL else 10_000
# prints for about three seconds, so that the hub is killed meanwhile; then it answers each line
COUNTS = """
import sys, time
for number in range(1, int(sys.argv[1]) + 1):
    print(number, flush=number % 10 == 0)
    if number % (int(sys.argv[1]) // 300) == 0:
        time.sleep(0.01 if int(sys.argv[2]) < 5 else 0.1)
for line in sys.stdin:
    print("heard", line, end="", flush=True)
"""
# sends the request in each line of JSON to the hub, and prints the status and the error code
ASKS = """
import http.client, json, socket, sys
class Local(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(sys.argv[1])
for line in sys.stdin:
    method, path, body, headers = json.loads(line)
    link = Local("localhost", timeout=20)
    link.request(method, path, json.dumps(body) if body is not None else None,
        {"content-type": "application/json", **headers})
    answer = link.getresponse()
    said = answer.read(100_000) if answer.status != 101 else b"{}"
    try:
        code = json.loads(said).get("code")
    except (ValueError, AttributeError):
        code = None
    print(json.dumps([answer.status, code]), flush=True)
    link.close()
"""
UPGRADE = {
    "connection": "Upgrade",
    "upgrade": "websocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
}


@pytest.fixture
def machine(machine: Machine) -> Iterator[Machine]:
    machine.environment["RHETOR_MODELS__DEFAULT"] = "offline"
    yield machine
    machine.end_programs()


def wrapped(machine: Machine, kind: str, name: str, *argv: str, options: tuple[str, ...] = ()) -> int:
    """Wrap a program as a peer; return its pid."""
    made = machine.run(f"ci-{kind}", "-n", name, "--detach", *options, "--", *argv)
    assert made.returncode == 0, made.stderr
    return int(made.stdout.rsplit("(pid ", 1)[1].rstrip(")\n"))


def output_of(machine: Machine, name: str) -> str:
    """Return all output of a peer in its default session, within turns and between them."""
    with contextlib.closing(sqlite3.connect(f"file:{machine.folder}/hub.db?mode=ro", uri=True)) as database:
        (stream,) = database.execute(
            "SELECT parent FROM rows WHERE kind = 'standing' AND id LIKE ?", (f"%/{name}",)
        ).fetchone()
        found = database.execute(
            "SELECT data FROM events JOIN incarnations i ON i.id = inc"
            " WHERE i.stream = ? AND type = 'output.delta' ORDER BY seq",
            (stream,),
        ).fetchall()
    return "".join(json.loads(data)["text"] for (data,) in found)


@pytest.mark.long
def test_each_line_is_logged_once_although_the_hub_is_killed_repeatedly(machine: Machine) -> None:
    pid = wrapped(machine, "tool", "count", *PYTHON, COUNTS, str(LINES), str(KILLS), options=("-d", "\\n"))
    dice = random.Random(7)
    cut = 0
    for _ in range(KILLS):
        time.sleep(dice.uniform(0.0, 0.4))  # the moment of the kill is random
        cut += not output_of(machine, "count").endswith(f"\n{LINES}\n")
        machine.kill_hub()
        explained = machine.run("explain", "count", "--json")
        assert explained.returncode == 0, explained.stderr + (machine.folder / "hub.log").read_text()[-3000:]
        found = json.loads(explained.stdout)
        assert (found["pid"], found["status"]) == (pid, "idle")
    assert cut, "the program had printed everything before the first kill"
    assert machine.run("count", "-x", "hello").returncode == 0
    deadline = time.monotonic() + 6 * SECONDS
    while not (text := output_of(machine, "count")).endswith("heard hello\n"):
        assert time.monotonic() < deadline, text[-100:]
        assert machine.run("explain", "count").returncode == 0
    lines = text.split("\n")
    wanted = [*map(str, range(1, LINES + 1)), "heard hello", ""]
    assert len(lines) == len(wanted)
    assert next((pair for pair in zip(lines, wanted, strict=True) if pair[0] != pair[1]), None) is None


@pytest.mark.long
def test_a_pipeline_can_join_a_terminal_an_interpreter_a_tool_and_a_specialist(
    machine: Machine, provider: ProviderProcess
) -> None:
    provider.script(Script(chunks=("6 ", "* 7")))
    machine.environment |= {
        "OPENAI_BASE_URL": f"{provider.url}/v1",
        "OPENAI_API_KEY": "k",
        "RHETOR_MODEL": "m",
    }
    del machine.environment["RHETOR_MODELS__DEFAULT"]
    wrapped(machine, "terminal", "box", "bash", "--norc")
    wrapped(machine, "terminal", "calc", "python3")
    wrapped(
        machine,
        "tool",
        "upper",
        *PYTHON,
        "import sys\nfor l in sys.stdin: print('GOT', l, end='', flush=True)",
    )
    ran = machine.run("-c", 'box -x "echo six times seven" | apollo | calc -x | upper -x', timeout=60)
    assert (ran.returncode, ran.stdout.strip()) == (0, "GOT 42"), ran.stderr


@pytest.mark.long
def test_a_program_that_calls_the_hub_can_only_send_messages(machine: Machine) -> None:
    wrapped(machine, "tool", "asks", *PYTHON, ASKS, str(machine.folder / "hub.sock"), options=("-d", "\\n"))
    wrapped(machine, "terminal", "box", "bash", "--norc")
    session = json.loads(machine.run("apollo", "--json", "-s", "--", "hi").stdout.splitlines()[0])

    def send(method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> list[Any]:
        ran = machine.run("asks", "-x", "--", json.dumps([method, path, body, headers or {}]))
        assert ran.returncode == 0, ran.stderr
        found: list[Any] = json.loads(ran.stdout)
        return found

    new = {"name": "evil", "kind": "stdio", "argv": ["cat"], "cwd": "/"}
    assert send("POST", "/api/v2/programs", new) == [403, "forbidden"]
    assert send("DELETE", "/api/v2/programs/box") == [403, "forbidden"]
    choice = {"option_id": "allow"}
    asks = f"/api/v2/sessions/{session['session_id']}/permissions/perm_1"
    assert send("POST", asks, choice) == [403, "forbidden"]
    assert send("GET", f"/api/v2/sessions/{session['session_id']}") == [404, "not_found"]
    assert send("GET", "/ws/attach/box?mode=rw", None, UPGRADE) == [403, "forbidden"]
    assert send("GET", "/ws/attach/box?mode=r", None, UPGRADE) == [403, "forbidden"]
    assert send("POST", "/api/auth/code") == [403, "forbidden"]
    assert send("POST", "/api/v2/ai/apollo/message", {"content": "hi"}) == [200, None]


@pytest.mark.long
def test_programs_continue_when_the_hub_stops_and_the_next_hub_reads_them(
    machine: Machine, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    says = (
        "import sys; open(sys.argv[1]).read(); print('meanwhile', flush=True)\n"
        "for line in sys.stdin: print('heard', line, end='', flush=True)"
    )
    pid = wrapped(machine, "tool", "p", *PYTHON, says, str(gate))
    os.kill(machine.hub_pid(), signal.SIGTERM)
    machine.wait_for_end()
    gate.write_text("go")
    answer = machine.run("p", "-x", "hello")
    assert (answer.returncode, answer.stdout) == (0, "heard hello\n")
    assert output_of(machine, "p") == "meanwhile\nheard hello\n"
    assert json.loads(machine.run("explain", "p", "--json").stdout)["pid"] == pid


LONG = """
import json, sys
for line in sys.stdin:
    said = json.loads(line)
    if said["type"] == "command":
        size = int(said["content"])
        if size > 16 << 20:
            for _ in range(size >> 20):
                sys.stdout.write("x" * (1 << 20))
            sys.stdout.write("\\n")
            size = 1
        print(json.dumps({"type": "response", "content": "y" * size}), flush=True)
"""


@pytest.mark.long
def test_a_long_line_is_stored_whole_and_an_overlong_one_is_reported_as_cut(machine: Machine) -> None:
    size, longer = 10_000_000, (200 << 20) if FULL else (40 << 20)
    wrapped(machine, "tool", "long", *PYTHON, LONG, options=("--json-protocol",))
    assert machine.run("long", "5").stdout == "yyyyy\n"
    before = _resident(machine.hub_pid())
    assert machine.run("long", str(longer), timeout=120).stdout == "y\n"
    assert machine.run("explain", "long").returncode == 0
    assert _resident(machine.hub_pid()) - before <= 64 << 10
    assert machine.run("long", str(size), timeout=120).stdout == "y" * size + "\n"
    with contextlib.closing(sqlite3.connect(f"file:{machine.folder}/hub.db?mode=ro", uri=True)) as database:
        records = database.execute("SELECT data FROM events WHERE type = 'agent.record'").fetchall()
    assert [cut for (data,) in records if (cut := (json.loads(data)["record"] or {}).get("cut"))] == [longer]


def _resident(pid: int) -> int:
    """Return the resident memory of the process in KiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


@pytest.mark.long
def test_a_hub_started_by_a_program_survives_the_end_of_the_program(machine: Machine, tmp_path: Path) -> None:
    gate, done = tmp_path / "gate", tmp_path / "done"
    started = f"{machine.bin}/aish list >/dev/null; touch {done}"
    command = ("sh", "-c", f"until test -e {gate}; do sleep 0.02; done; {started}; sleep 600")
    assert machine.run("ci-terminal", "-n", "dev", "--detach", "--", *command).returncode == 0
    machine.kill_hub()
    gate.touch()
    deadline = time.monotonic() + SECONDS
    while not done.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    pid = machine.hub_pid()
    assert machine.run("ci-terminal", "-n", "third", "--detach", "--", "cat").returncode == 0
    assert machine.run("tools", "terminate", "dev").returncode == 0
    status = {peer["name"]: peer["status"] for peer in json.loads(machine.run("list", "json").stdout)}
    assert (machine.hub_pid(), status["third"], "dev" in status) == (pid, "idle", False)
    machine.end_programs()


@pytest.mark.long
def test_a_hub_starts_and_lists_its_peers_even_if_a_host_is_stopped(machine: Machine) -> None:
    for kind in (("ci-terminal", "--detach"), ("ci-tool", "--detach")):
        assert machine.run(kind[0], "-n", f"p-{kind[0]}", *kind[1:], "--", "cat").returncode == 0
    hosts = [_parent(peer["pid"]) for peer in json.loads(machine.run("list", "json").stdout) if peer["pid"]]
    assert len(hosts) == 2
    for host in hosts:
        os.kill(host, signal.SIGSTOP)
    try:
        machine.kill_hub()
        began = time.monotonic()
        listed = machine.run("list")  # this starts the hub
        assert (listed.returncode, time.monotonic() - began < 10) == (0, True)
        began = time.monotonic()
        listed = machine.run("list")
        assert time.monotonic() - began < 2
        for name in ("p-ci-terminal", "p-ci-tool"):
            assert f"{name} did not answer: its host process does not answer" in listed.stderr
    finally:
        for host in hosts:
            os.kill(host, signal.SIGCONT)
    assert machine.run("wait", "--all", "p-ci-terminal", "p-ci-tool", "--timeout", "30").returncode == 0
    said = machine.run("p-ci-tool", "hello", "-x")
    assert (said.returncode, said.stdout, said.stderr) == (0, "hello\n", "")
    machine.end_programs()


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


# answers each line after the number of seconds in it; Ctrl-C would end it
SLOW = """
import sys, time
for line in sys.stdin:
    seconds, text = line.split()
    time.sleep(float(seconds))
    print(text, flush=True)
"""


@pytest.mark.long
def test_a_caller_that_stops_waiting_never_ends_a_wrapped_program(machine: Machine) -> None:
    pid = wrapped(machine, "tool", "slow", *PYTHON, SLOW, options=("-d", "\\n"))
    ran = machine.run("slow", "1 first", "-x", "--timeout", "0.3")
    assert (ran.returncode, ran.stdout) == (124, "")
    assert "slow continues with the message (aish explain slow shows its status)\n" in ran.stderr
    assert machine.run("slow", "0 second", "-x").stdout == "second\n"
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        with machine.start("slow", f"1 {number.name}", "-x") as shell:
            wait_until_busy(machine, "slow")
            shell.send_signal(number)
            shell.wait(SECONDS)
        assert machine.run("slow", "0 next", "-x").stdout == "next\n"
    ran = machine.run("slow,slow", "1 planned", "-x", "--timeout", "0.5")
    assert ran.returncode == 124
    assert machine.run("slow", "0 last", "-x").stdout == "last\n"
    os.kill(pid, 0)
    said = machine.run("history", "20").stdout
    assert all(text in said for text in ("first", "second", "SIGINT", "SIGTERM", "SIGKILL", "last"))


def wait_until_busy(machine: Machine, name: str) -> None:
    deadline = time.monotonic() + SECONDS
    while "status    busy" not in machine.run("explain", name).stdout:
        assert time.monotonic() < deadline


def test_a_queued_message_is_cancelled_with_its_caller_and_the_running_one_not(machine: Machine) -> None:
    wrapped(machine, "tool", "slow", *PYTHON, SLOW, options=("-d", "\\n"))
    with machine.start("slow", "2 first", "-x") as shell:
        wait_until_busy(machine, "slow")
        ran = machine.run("slow", "0 second", "-x", "--timeout", "0.3")
        assert (ran.returncode, "continues" in ran.stderr) == (124, False)
        assert shell.stdout and shell.stdout.read() == b"first\n"
        assert shell.wait(SECONDS) == 0
    assert machine.run("slow", "0 third", "-x").stdout == "third\n"


@pytest.mark.long
def test_the_name_of_a_program_ignores_case_everywhere(machine: Machine) -> None:
    wrapped(machine, "tool", "Box", "cat")
    assert machine.run("box", "one", "-x").stdout == "one\n"
    assert machine.run("-c", "BOX two -x").stdout == "two\n"
    assert machine.run("BOX,Apollo", "three", "-x").returncode == 0
    for words in (("explain", "bOX"), ("purpose", "box", "copies"), ("context", "show", "BOX")):
        assert machine.run(*words).returncode == 0
    assert machine.run("forward", "APOLLO", "box").stdout == "✓ Forwarding apollo messages to Box\n"
    for name in ("box", "LIST"):
        taken = machine.run("ci-tool", "-n", name, "--", "cat")
        assert taken.returncode in (1, 2) and name.lower() in taken.stderr.lower()
    assert machine.run("tools", "terminate", "BOX").returncode == 0


@pytest.mark.long
def test_unsolicited_output_is_shown_at_the_prompt_or_with_the_next_message(
    machine: Machine, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    os.mkfifo(go)

    def prints_later(text: str) -> None:
        ran = machine.run("box", f"(read x <{go}; echo {text}) &", "-x")
        assert ran.returncode == 0, ran.stderr

    wrapped(machine, "terminal", "box", "dash")
    prints_later("late")
    go.write_text("go\n")
    deadline = time.monotonic() + SECONDS
    while "late\n" not in output_of(machine, "box"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    for err in ("late\n", ""):
        ran = machine.run("box", "echo three", "-x")
        assert (ran.returncode, ran.stdout[:6], ran.stderr) == (0, "three\n", err)
    prints_later("again")
    shell = Shell(machine.folder, tmp_path)
    shell.environment = machine.environment
    with window(shell, "-x", "-i", "box") as shown:
        shown.wait_for("box>")
        go.write_text("go\n")
        shown.wait_for("again")
        shown.press(b"echo four\r")
        shown.wait_for("four\n")  # not the line that was typed, after which the cursor is moved
        assert shown.screen.count("again\n") == 1
