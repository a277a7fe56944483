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
from tests.needs import lacking
from tests.provider.process import ProviderProcess
from tests.provider.script import Script

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
def ask(kind, method, path, link=None, body=b""):
    link = link or opened(kind)
    head = f"{method} {path} HTTP/1.1\\r\\nConnection: close\\r\\nContent-Type: application/json\\r\\n"
    if kind == "tcp":
        token = open(home + "/token").read().strip()
        head += f"Host: 127.0.0.1:{port}\\r\\nAuthorization: Bearer {token}\\r\\n"
    else:
        head += "Host: localhost\\r\\n"
    link.sendall(head.encode() + f"Content-Length: {len(body)}\\r\\n\\r\\n".encode() + body)
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
# what a process far from the one that the hub started tries, as its owner would: with a pending request of a
# peer
OWNERS = """
import subprocess
def ran(*command):
    environment = {"RHETOR_HOME": home, "HOME": home, "PATH": os.defpath}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    return [done.returncode, done.stdout]
aish, rhetor, request, path = sys.argv[4:]
allow = json.dumps({"option_id": "allow"}).encode()
tell(
    [
        ask(kind, "POST", f"/api/auth/{what}", body=b"{}")[0]
        for what in ("code", "token", "refresh", "revoke")
        for kind in ("unix", "tcp")
    ],
    [ask(kind, "POST", path, body=allow)[0] for kind in ("unix", "tcp")],
    [
        ran(rhetor, "token"),
        ran(rhetor, "token", "--rotate"),
        ran(rhetor, "token", "issue", "mine", "--scopes", "read"),
        ran(rhetor, "token", "list"),
        ran(rhetor, "keys", "rotate", "--signing"),
    ],
    [ran(aish, "approve")[1], *(ran(aish, word, request)[0] for word in ("approve", "deny"))],
)
"""
# starts a process in a session of its own, with an empty environment, whose parent is gone; the file `WORDS`
# has the words of its command
LEAVES = """
import json, os, sys
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        out = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(out, number)
        words = json.load(open(WORDS))
        os.execve(words[0], words, {})
    os._exit(0)
os.wait()
"""
# a server with tools that nobody calls
SERVER = f"""
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from tests.plain_tool_server import main
main()
"""
# speaks as `claude` does: as a peer, it asks for permission; as a model, it answers
SPEAKS = """
def say(**message):
    print(json.dumps(message), flush=True)
for line in sys.stdin:
    message = json.loads(line)
    if message["type"] != "user":
        say(type="result", subtype="success", is_error=False, result="denied", num_turns=1)
        continue
    say(type="system", subtype="init", session_id="c1", model="m")
    if len(sys.argv) > 1 and sys.argv[1] == "asks":
        request = {"subtype": "can_use_tool", "tool_name": "Bash", "input": {"command": "rm"}}
        say(type="control_request", request_id="r1", request=request)
        continue
    delta = {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "ok"}}
    say(type="stream_event", event=delta)
    say(type="result", subtype="success", is_error=False, result="ok", num_turns=1)
"""


@pytest.fixture
def machine(machine: Machine) -> Iterator[Machine]:
    _start(machine)
    yield machine
    machine.end_programs()


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    made = Machine(tmp_path_factory.mktemp("agents") / "home")
    _start(made)
    yield made
    made.leave()


@pytest.fixture
def shared(started: Machine) -> Iterator[Machine]:
    """A machine with a hub, for tests that change nothing but run the program `kid`."""
    yield started
    started.run("tools", "terminate", "kid")
    for file in started.folder.parent.glob("told*"):
        file.unlink()


def _start(machine: Machine) -> None:
    machine.environment["RHETOR_MODELS__DEFAULT"] = "offline"
    machine.environment["RHETOR_HUB__PORT"] = "0"
    assert machine.run("apollo", "the owner's secret").returncode == 0


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


def test_a_program_gets_no_login_code_and_no_history_of_the_owner(shared: Machine) -> None:
    code, history, code_over_tcp, history_over_tcp = answers_of(shared, BOTH)
    assert [[status, body["code"]] for status, body in (code, code_over_tcp)] == [REFUSED, REFUSED]
    assert [history, history_over_tcp] == [[200, {"history": []}]] * 2
    assert status_for_owner(shared, "tcp") == 200  # processes outside of programs keep all rights


def test_rhetor_prints_no_token_for_a_program(shared: Machine) -> None:
    asks = f"ran = subprocess.run([{str(shared.bin / 'rhetor')!r}, 'token'], capture_output=True, text=True)"
    ran = answers_of(shared, f"import subprocess\n{asks}\ntell(ran.returncode, ran.stdout, ran.stderr)")
    assert ran == [2, "", "rhetor: only a person may do this, not a program that runs as a peer\n"]
    assert len(shared.rhetor("token").stdout) == 65


@pytest.mark.long
def test_rhetor_makes_and_restores_no_backup_and_exports_nothing_for_a_program(
    shared: Machine, tmp_path: Path
) -> None:
    rhetor, file = str(shared.bin / "rhetor"), str(tmp_path / "state.backup")
    asks = f"""
import subprocess
def ran(*words):
    done = subprocess.run([{rhetor!r}, *words], capture_output=True, text=True)
    return [done.returncode, done.stdout, done.stderr]
tell(ran("backup", {file!r}), ran("restore", {file!r}), ran("export"))
"""
    refused = [2, "", "rhetor: only a person may do this, not a program that runs as a peer\n"]
    assert answers_of(shared, asks) == [refused] * 3
    assert list(tmp_path.iterdir()) == []


def test_a_process_left_behind_by_a_program_remains_an_agent(shared: Machine) -> None:
    code, history, code_over_tcp, history_over_tcp = answers_of(shared, ORPHAN, feed=BOTH, kill_host=True)
    assert [[status, body["code"]] for status, body in (code, code_over_tcp)] == [REFUSED, REFUSED]
    assert [history, history_over_tcp] == [[200, {"history": []}]] * 2


def test_a_connection_that_outlives_its_process_still_counts_as_an_agents(shared: Machine) -> None:
    assert [[status, body["code"]] for status, body in answers_of(shared, PASSED)] == [REFUSED, REFUSED]


def test_a_program_with_the_owners_token_is_an_agent_over_socketio(shared: Machine) -> None:
    assert answers_of(shared, POLLS) == ["40", "forbidden"]


def script(path: Path, *code: str) -> str:
    path.write_text("\n".join((f"#!{sys.executable}", *code)))
    path.chmod(0o755)
    return str(path)


@pytest.mark.long
@pytest.mark.parametrize("parent", ["mcp server", "model"])
def test_what_a_server_or_a_model_has_started_is_never_the_owner(
    machine: Machine, provider: ProviderProcess, parent: str
) -> None:
    folder = machine.folder.parent
    begins = (f"WORDS = {str(folder / 'words')!r}", LEAVES)
    speaker = script(folder / "speaker", "import json, sys", SPEAKS)
    # whatever a model's process has started ends with its turn
    waits = f"while not os.path.exists({str(folder / 'told')!r}): time.sleep(0.01)"
    thinker = script(folder / "thinker", *begins, "import time", waits, SPEAKS)
    server = script(folder / "server", *begins, SERVER)
    tools = {
        "asker": {"executable": speaker, "args": ["asks"], "driver": "claude"},
        "thinker": {"executable": thinker, "driver": "claude"},
    }
    specialists = {
        "apollo": {"model": "openai/m1", "mcp_servers": ["kid"]},
        "athena": {"model": "cli:thinker"},
    }
    servers = {"kid": {"command": [server]}}
    config = {"tools": tools, "specialists": specialists, "mcp_servers": servers}
    machine.run("shutdown")
    (machine.folder / "config.yaml").write_text(json.dumps(config))
    machine.environment |= {"OPENAI_BASE_URL": f"{provider.url}/v1", "OPENAI_API_KEY": "k"}
    provider.script(default=Script(chunks=("ok",)))
    turn = machine.start("asker", "clean up")
    request = pending(machine)
    out, child = folder / "told", script(folder / "child", ASKS, OWNERS)
    path = f"/api/v2/sessions/{request['session_id']}/permissions/{request['request_id']}"
    port = machine.status()["url"].rsplit(":", 1)[1]
    programs = (str(machine.bin / "aish"), str(machine.bin / "rhetor"))
    words = [sys.executable, "-I", "-S", child, str(machine.folder), port, str(out), *programs, "r1", path]
    (folder / "words").write_text(json.dumps(words))
    token = machine.rhetor("token").stdout
    said = machine.run("apollo" if parent == "mcp server" else "athena", "hello")
    assert (said.returncode, said.stdout) == (0, "ok\n"), said.stderr
    deadline = time.monotonic() + SECONDS
    while not out.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    codes, answers, tokens, approvals = json.loads(out.read_text())
    assert (codes, answers) == ([403] * 8, [403, 403])
    assert tokens == [[2, ""]] * 5
    assert approvals == ["No pending permission requests\n", 3, 3]
    assert pending(machine) == request
    assert (machine.rhetor("token").stdout, len(token)) == (token, 65)
    assert machine.run("deny", "r1").returncode == 0
    turn.communicate(timeout=SECONDS)


def pending(machine: Machine) -> dict[str, Any]:
    """The pending request, as soon as there is one."""
    deadline = time.monotonic() + SECONDS
    while not (found := json.loads(machine.run("approve", "--json").stdout)):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return dict(found[0])


# a connection that is opened while the hub is stopped, by a process that is gone before the hub accepts it
REUSES = """
def appear(name):
    while not os.path.exists(told + name):
        time.sleep(0.005)
open(told + ".ready", "w").close()
appear(".go")
opener = os.fork()
if opener == 0:
    link = opened("unix")
    opener = os.getpid()
    if os.fork():
        os._exit(0)
    while os.path.exists(f"/proc/{opener}"):
        time.sleep(0.001)
    with open(told + ".gone.new", "w") as file:
        file.write(str(opener))
    os.rename(told + ".gone.new", told + ".gone")
    tell(ask("unix", "POST", "/api/auth/code", link))
    os._exit(0)
os.waitpid(opener, 0)
time.sleep(600)
"""


def test_a_process_that_gets_the_id_of_a_programs_process_lends_it_no_rights(shared: Machine) -> None:
    last = Path("/proc/sys/kernel/ns_last_pid")
    if not os.access(last, os.W_OK):
        lacking("the id of the next process cannot be set")
    hub, code = shared.hub_pid(), REUSES
    out = shared.folder.parent / "told"
    port = shared.status()["url"].rsplit(":", 1)[1]
    argv = [sys.executable, "-I", "-S", "-c", ASKS + code, str(shared.folder), port, str(out)]
    made = shared.run("ci-tool", "-n", "kid", "--detach", "--", *argv)
    assert made.returncode == 0, made.stderr
    ready, go = out.with_name("told.ready"), out.with_name("told.go")
    appear(ready)
    os.kill(hub, signal.SIGSTOP)
    try:
        go.write_text("")
        opener = int(appear(out.with_name("told.gone")).read_text())
        owners = with_id(last, opener)
    finally:
        os.kill(hub, signal.SIGCONT)
    try:
        status, body = json.loads(appear(out).read_text())[0]
        assert [status, body["code"]] == REFUSED
    finally:
        owners.kill()
        owners.wait()


def appear(path: Path) -> Path:
    deadline = time.monotonic() + SECONDS
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.01)
    return path


def with_id(last: Path, pid: int) -> subprocess.Popen[bytes]:
    """A process of the owner with this id."""
    for _ in range(100):  # another process may be started in between
        last.write_text(str(pid - 1))
        process = subprocess.Popen(["sleep", "600"])
        if process.pid == pid:
            return process
        process.kill()
        process.wait()
    raise AssertionError(f"no process got the id {pid}")
