"""With encryption at rest, a canary goes everywhere in a hub, and is in no file of the state folder: while it
runs, after the hub and a host were killed or aborted, and after a restart."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.canary import places
from tests.e2e.home import SECONDS, Machine
from tests.e2e.test_coding_agents import COMMON
from tests.e2e.test_programs import PYTHON, wrapped
from tests.e2e.test_sessions import run_ok
from tests.e2e.test_sockets import ask, connected, read
from tests.provider.process import ProviderProcess
from tests.provider.script import Failure, Script
from tests.scale import FULL

from rhetor.drivers.programs.host.folder import HostFolder

CANARY = "canary7f3aXyZ"
HEARS = "import sys\nfor line in sys.stdin: print('heard', line, end='', flush=True)"
# asks whether to do what it was asked, and says what the answer was
ASKS = (
    COMMON
    + """
for line in sys.stdin:
    message = json.loads(line)
    if message["type"] == "user":
        said = message["message"]["content"][0]["text"].strip().splitlines()[-1]
        tell(type="system", subtype="init", session_id="c1", model="m")
        options = [{"label": said + " yes", "description": said}, {"label": "no", "description": ""}]
        question = {"question": said, "header": said, "multiSelect": False, "options": options}
        request = {"subtype": "can_use_tool", "tool_name": "AskUserQuestion"}
        request["input"] = {"questions": [question]}
        tell(type="control_request", request_id="r1", request=request)
    elif message["type"] == "control_response":
        said = json.dumps(message["response"]["response"]["updatedInput"]["answers"])
        tell(type="result", subtype="success", is_error=False, result=said, num_turns=1)
"""
)
OFFLINE = {"RHETOR_MODELS__DEFAULT": "offline"}


class Scene:
    """A machine with a project beside its state folder."""

    def __init__(self, machine: Machine, provider: ProviderProcess, folder: Path) -> None:
        self.machine = machine
        self.provider = provider
        self.folder = folder
        self.site = folder / "site"
        self.is_sealed = True

    def run(self, *words: str) -> str:
        return run_ok(self.machine, *words)

    def require_none(self) -> None:
        """Check that no file of the state folder has the canary."""
        if self.is_sealed:
            assert places(self.machine.folder, CANARY) == []

    def configure(self, *, sealed: bool) -> None:
        self.is_sealed = sealed
        tool = {"executable": str(self.folder / "agent"), "driver": "claude", "cwd": str(self.folder)}
        config = {
            "tools": {"agent": tool},
            "encryption": {"at_rest": sealed},
            "projects": {"roots": [str(self.folder)]},
        }
        (self.machine.folder / "config.yaml").write_text(json.dumps(config))


@pytest.fixture
def scene(machine: Machine, provider: ProviderProcess, tmp_path: Path) -> Iterator[Scene]:
    provider.script(default=Script(chunks=("said ", CANARY)))
    agent = tmp_path / "agent"
    agent.write_text(ASKS)
    agent.chmod(0o755)
    machine.folder.mkdir(mode=0o700)
    machine.environment |= {
        "OPENAI_BASE_URL": f"{provider.url}/v1",
        "OPENAI_API_KEY": "k",
        "RHETOR_MODEL": "scripted",
        "RHETOR_PASSPHRASE": "correct horse",
    }
    (tmp_path / "site").mkdir()
    scene = Scene(machine, provider, tmp_path)
    scene.configure(sealed=True)
    yield scene
    machine.end_programs()


def models(scene: Scene) -> None:
    assert CANARY in scene.run("apollo", f"{CANARY} to a model")
    assert CANARY in scene.run("-c", f'apollo "{CANARY} of a plan" | athena')
    scene.run("team-chat", f"{CANARY} to all")
    scene.run("context", "stage", "numa", f"{CANARY} of a context")
    scene.run("purpose", f"{CANARY} of a purpose")
    scene.run("route", "name", "review", "numa", "apollo", "purpose", f"{CANARY} of a route", "athena")
    scene.run("route", "review", f"{CANARY} along a route")
    assert CANARY in scene.run("search", CANARY)
    assert CANARY in scene.run("history")


def failures(scene: Scene) -> None:
    body = json.dumps({"error": {"message": f"{CANARY} is too long", "type": "invalid_request_error"}})
    scene.provider.script(Script(failure=Failure(400, body=body)))
    failed = scene.machine.run("apollo", f"{CANARY} of a failure")
    assert failed.returncode != 0 and CANARY in failed.stderr
    assert "turn failed" in (scene.machine.folder / "hub.log").read_text()


def programs(scene: Scene) -> None:
    wrapped(scene.machine, "terminal", "box", "bash", "--norc")
    wrapped(scene.machine, "tool", "mirror", *PYTHON, HEARS)
    scene.run("forward", "mirror", "apollo")
    assert CANARY in scene.run("box", f"echo {CANARY} in a terminal", "-x")
    assert CANARY in scene.run("mirror", f"{CANARY} on a pipe", "-x")
    scene.run("box", "sleep 0.2 && echo unasked", "-x")


def agents(scene: Scene) -> None:
    asking = scene.machine.start("agent", f"{CANARY} for an agent", stdout=subprocess.PIPE)
    deadline = time.monotonic() + SECONDS
    while not (found := json.loads(scene.run("approve", "--json"))):
        assert time.monotonic() < deadline
    assert CANARY in json.dumps(found)
    scene.require_none()
    scene.run("approve", "r1", "--answer", f"{CANARY} for an agent={CANARY} for an agent yes")
    out, error = asking.communicate(timeout=SECONDS)
    assert CANARY in out.decode(), error


def checkpoints(scene: Scene) -> None:
    (scene.site / f"{CANARY}.txt").write_text(f"{CANARY} in a file\n" * 50)
    scene.run("project", "create", "site", str(scene.site))
    scene.run("session", "create", "work", "--tool", "apollo", "--project", "site")
    scene.run("apollo", f"{CANARY} with files", "-s=work")
    scene.run("session", "checkpoint", "work", "first")
    (scene.site / f"{CANARY}.txt").write_text(f"{CANARY} in a changed file")
    (scene.site / f"{CANARY}-new").write_text(CANARY)
    assert CANARY in scene.run("session", "diff", "work", "first")
    scene.require_none()
    scene.run("session", "restore", "work", "first", "--yes")
    assert (scene.site / f"{CANARY}.txt").read_text() == f"{CANARY} in a file\n" * 50


def blobs(scene: Scene) -> None:
    content = f"{CANARY} in binary content".encode() * 1000
    ask(scene.machine, "POST", "/api/ai/socket/groups", {"name": "poets", "members": ["apollo", "athena"]})
    with connected(scene.machine, "group:poets") as client:
        client.send(json.dumps({"type": "write", "media_type": "text/plain", "bytes": len(content)}))
        client.send(content)
        assert read(client)["content"] == content
    [kept] = [path.name for path in (scene.machine.folder / "blobs").iterdir()]
    assert ask(scene.machine, "GET", f"/api/v2/blobs/{kept}") == (200, content)


def clients(scene: Scene) -> None:
    """A client of a vendor's API, with instructions and tools of its own."""
    tool = {"name": "clock", "description": f"{CANARY} of a tool", "parameters": {"type": "object"}}
    messages = [{"role": "system", "content": f"{CANARY} of a client"}]
    for number in range(2):
        messages.append({"role": "user", "content": f"{CANARY} of message {number}"})
        body = {"model": "apollo", "messages": messages, "tools": [{"type": "function", "function": tool}]}
        status, answer = ask(scene.machine, "POST", "/v1/chat/completions", body)
        assert status == 200, answer
        messages.append(json.loads(answer)["choices"][0]["message"])
        assert CANARY in messages[-1]["content"]


def copies(scene: Scene) -> None:
    """Backups and exports that are made in the state folder itself."""
    for command in (
        ("backup", str(scene.machine.folder / "b")),
        ("export", "-o", str(scene.machine.folder / "e")),
    ):
        made = scene.machine.rhetor(*command)
        assert made.returncode == 0, made.stderr
    assert scene.machine.rhetor("check").stdout.endswith(": no findings\n")
    shown = scene.machine.rhetor("export", "--plain")
    assert CANARY in shown.stdout


SMALL: tuple[Callable[[Scene], None], ...] = (models, programs, blobs, clients)
ALL = (models, failures, programs, agents, checkpoints, blobs, clients, copies)


def hosts(machine: Machine) -> list[int]:
    found = [HostFolder(path).identity() for path in (machine.folder / "hosts").iterdir()]
    return [identity.host_pid for identity in found if identity is not None]


def wait_for_new_key(machine: Machine) -> None:
    """Wait until all files are sealed with the current key."""
    current = bytes.fromhex(json.loads((machine.folder / "keys.json").read_text())["current"])
    envelopes = [
        path
        for name in ("blobs/*", "hosts/*/key", "checkpoints/*.pack")
        for path in machine.folder.glob(name)
    ]
    assert len(envelopes) > 4
    deadline = time.monotonic() + SECONDS
    while any(path.exists() and path.read_bytes()[1:5] != current for path in envelopes):
        assert time.monotonic() < deadline
    packs = machine.folder.glob("checkpoints/*.pack")
    assert {path.read_bytes()[1:5] for path in packs} == {current}


@pytest.mark.long
def test_what_was_said_is_in_no_file(scene: Scene) -> None:
    for step in SMALL:
        step(scene)
        scene.require_none()
    scene.machine.kill_hub()
    scene.require_none()
    assert CANARY in scene.run("history")
    scene.require_none()


@pytest.mark.long
@pytest.mark.skipif(not FULL, reason="`make test-long` runs it")
def test_what_was_said_is_in_no_file_whatever_happens(scene: Scene) -> None:
    for step in ALL:
        step(scene)
        scene.require_none()
    assert scene.machine.rhetor("keys", "rotate").returncode == 0
    wait_for_new_key(scene.machine)
    scene.require_none()
    assert scene.machine.rhetor("check").stdout.endswith(": no findings\n")
    for pid in hosts(scene.machine):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    scene.require_none()
    scene.machine.kill_hub()
    scene.require_none()
    assert CANARY in scene.run("history")
    assert CANARY in scene.run("search", CANARY)
    scene.require_none()
    scene.machine.end()
    scene.require_none()


@pytest.mark.long
@pytest.mark.skipif(not FULL, reason="`make test-long` runs it")
def test_what_was_stored_before_encryption_was_switched_on_is_in_no_file_soon_after(scene: Scene) -> None:
    """It also shows that the canary would be found."""
    machine = scene.machine
    scene.configure(sealed=False)
    (machine.folder / "history").write_text(f"\n# typed\n+{CANARY}\n")
    for step in (models, failures, programs, checkpoints, blobs):
        step(scene)
    found = {name.partition("/")[0].removesuffix("-wal") for name in places(machine.folder, CANARY)}
    assert found == {"hub.db", "hub.log", "hosts", "checkpoints", "blobs", "history"}
    for _ in range(2):
        machine.kill_hub()
        scene.configure(sealed=True)
        assert CANARY in scene.run("history")
        deadline = time.monotonic() + SECONDS
        while left := places(machine.folder, CANARY):
            assert time.monotonic() < deadline, left
        assert CANARY in scene.run("mirror", f"{CANARY} again", "-x")
        assert CANARY in scene.run("search", CANARY)
        assert scene.run("session", "diff", "work", "first") == "Nothing differs\n"
        [kept] = [path.name for path in (machine.folder / "blobs").iterdir()]
        assert ask(machine, "GET", f"/api/v2/blobs/{kept}")[0] == 200
        scene.require_none()


@pytest.mark.long
def test_an_aborted_hub_and_an_aborted_host_leave_no_core(scene: Scene) -> None:
    machine = scene.machine
    hub = subprocess.Popen(
        ["/bin/sh", "-c", 'ulimit -S -c "$(ulimit -H -c)"; exec "$0" serve --port 0', machine.bin / "rhetor"],
        env=machine.environment | OFFLINE,
        cwd=machine.folder,  # where a core would be
        stdout=subprocess.PIPE,
    )
    assert hub.stdout is not None and b"listening" in hub.stdout.readline()
    wrapped(machine, "terminal", "box", "bash", "--norc")
    scene.run("apollo", CANARY)
    assert CANARY in scene.run("box", f"echo {CANARY}", "-x")
    [host] = hosts(machine)
    for pid in (host, hub.pid):
        limits = Path(f"/proc/{pid}/limits").read_text()
        assert [line.split()[4] for line in limits.splitlines() if line.startswith("Max core")] <= ["1"]
        os.kill(pid, signal.SIGABRT)
    assert hub.wait(SECONDS) == -signal.SIGABRT
    hub.stdout.close()
    assert not list(machine.folder.rglob("*core*"))
    scene.require_none()
