"""A user's machine with coding agents: the installed `aish`, a scratch home, a scripted provider."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import queue
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from tests.aish.pseudo_terminal import Terminal, at_terminal
from tests.aish.scripted import Ran, Shell
from tests.e2e.home import Machine
from tests.interop.agents import AGENTS, Agent, environment
from tests.provider.process import ProviderProcess

SECONDS = 90.0  # for steps that take a second, and for agents that pause before they call again
ENDING_SECONDS = 5.0  # for processes of an agent that were told to end
Event = dict[str, Any]


class Speaking:
    """A running `aish --json …`: the raw events of its turn as they arrive."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.events: list[Event] = []
        self._coming: queue.Queue[Event | None] = queue.Queue()
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def until(self, type: str, text: str = "") -> Event:
        """Return the next event of that type that contains the text."""
        while (event := self._next()) is not None:
            if event["type"] == type and text in json.dumps(event["data"]):
                return event
        raise AssertionError(f"no {type} came, but {[e['type'] for e in self.events]}; {self.stderr()}")

    def end(self) -> str:
        """Wait for the last event; return the type of the event that ended the turn."""
        while self._next() is not None:
            pass
        self.process.wait(SECONDS)
        ends = [e["type"] for e in self.events if e["type"].startswith("turn.")]
        return ends[-1] if ends else self.stderr()

    @property
    def answer(self) -> str:
        return answer_of(self.events)

    def stderr(self) -> str:
        assert self.process.stderr is not None
        self.process.wait(SECONDS)
        return self.process.stderr.read().decode()

    def close(self) -> None:
        """Kill it if it has not exited by itself."""
        if self.process.poll() is None:
            self.process.kill()
        self._reading.join(SECONDS)

    def _next(self) -> Event | None:
        try:
            event = self._coming.get(timeout=SECONDS)
        except queue.Empty:
            raise AssertionError(f"no event after {[e['type'] for e in self.events]}") from None
        if event is not None:
            self.events.append(event)
        return event

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._coming.put(json.loads(line))
        self._coming.put(None)


class House:
    """A home with the agents `kinds`. `close` stops the hub and all of their processes."""

    def __init__(self, folder: Path, provider: ProviderProcess, kinds: tuple[Agent, ...] = AGENTS) -> None:
        self.home = folder / "home"
        self.state = self.home / "state"
        self.work = folder / "work"
        self.provider = provider
        for made in (self.home, self.state, self.work):
            made.mkdir(mode=0o700)
        for agent in AGENTS:
            agent.prepare(self.home, provider.url)
        self.environment = environment(self.home, provider.url, self._executables(folder / "bin", kinds))
        self.configure({agent.name: agent.settings for agent in kinds if agent.settings})
        self.machine = Machine(self.state)
        self._pids: set[int] = set()

    @staticmethod
    def _executables(bin: Path, kinds: tuple[Agent, ...]) -> tuple[Path, ...]:
        """Create a folder with only what agents need: node, and git if installed."""
        bin.mkdir()
        for program in ("node", "git"):
            if found := shutil.which(program):
                (bin / program).symlink_to(found)
        return (*(agent.bin for agent in kinds), bin)

    def configure(self, tools: dict[str, Any], **sections: Any) -> None:
        """Write the configuration: the entries of agents, and other sections."""
        whole = json.loads(json.dumps({"tools": tools, **sections}))
        (self.state / "config.yaml").write_text(yaml.safe_dump(whole))

    def aish(self, *words: str, folder: Path | None = None) -> Ran:
        """Run `aish` to its end, in the folder `work` by default."""
        return self._shell(folder)(*words)

    def say(self, *words: str) -> Ran:
        """Run `aish`, which must succeed."""
        ran = self.aish(*words)
        assert ran.code == 0, (ran, self.log())
        return ran

    @contextlib.contextmanager
    def speaking(self, *words: str) -> Iterator[Speaking]:
        """Run `aish --json` with these arguments for the block."""
        with self._shell().running("--json", *words) as process:
            turn = Speaking(process)
            try:
                yield turn
            finally:
                turn.close()

    @contextlib.contextmanager
    def at_terminal(self, *words: str, columns: int = 120) -> Iterator[Terminal]:
        """Run `aish` with these arguments at a terminal for the block."""
        with at_terminal(
            self._shell(), *words, term="xterm-256color", columns=columns, echo=True
        ) as terminal:
            yield terminal

    def held(self, agent: Agent, turn: Speaking, words: str, gate: str) -> Event:
        """Wait until the model of a turn has sent these words and waits at the gate; return an event of the
        turn, which contains the words if the agent streams."""
        if agent.streams:
            return turn.until("output.delta", words)
        started = turn.until("turn.started")
        self.provider.reached(gate)
        return started

    def tool(self, agent: Agent) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.say("tools", "status", agent.name, "--json").out)
        return found

    def pid(self, agent: Agent) -> int:
        pid = int(self.tool(agent)["pid"])
        self._pids.add(pid)
        return pid

    def open_requests(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.say("approve", "--json").out)
        return found

    def asked(self, agent: Agent) -> list[Any]:
        """Return the bodies of the agent's requests to its model, each as text."""
        return [json.dumps(call["body"]) for call in self.provider.calls() if agent.asks(call)]

    def kill_hub(self) -> None:
        """Kill the hub like a power failure, and wait until nothing listens: its threads may exit later."""
        self.machine.kill_hub()
        deadline = time.monotonic() + SECONDS
        while _listens(self.state / "hub.sock"):
            assert time.monotonic() < deadline, "something still listens"

    def turn(self, session_id: str, turn_id: str) -> list[Event]:
        """Wait for the end of a turn; return all its events from the log."""
        events: list[Event] = []
        for event in self.follow(session_id):
            if event["turn_id"] != turn_id:
                continue
            events.append(event)
            if event["type"] in ("turn.completed", "turn.failed", "turn.cancelled", "turn.interrupted"):
                return events
        raise AssertionError(f"the stream ended after {[event['type'] for event in events]}")

    def follow(self, session_id: str) -> Iterator[Event]:
        """Yield the events of a session from its beginning, then new ones as they arrive."""
        with self._events(session_id, "text/event-stream") as answer:
            for line in answer:
                if line.startswith(b"data: "):
                    yield json.loads(line[6:])

    def events(self, session_id: str) -> list[Event]:
        """Return the events that are in the log now."""
        with self._events(session_id, "application/json") as answer:
            found: list[Event] = json.loads(answer.read())["events"]
            return found

    def exported(self) -> list[Event]:
        """Return all events of the log, those of every caller."""
        ran = self.machine.rhetor("export", "--plain")
        assert ran.returncode == 0, ran
        return [json.loads(line) for line in ran.stdout.splitlines()]

    def post(self, path: str, body: Any) -> Any:
        """Send a request over REST, which must succeed; return the answer."""
        connection = _Local(str(self.state / "hub.sock"))
        try:
            headers = {"Content-Type": "application/json"}
            connection.request("POST", path, json.dumps(body), headers)
            answer = connection.getresponse()
            content = answer.read()
            assert answer.status == 200, content
            return json.loads(content)
        finally:
            connection.close()

    @contextlib.contextmanager
    def _events(self, session_id: str, accept: str) -> Iterator[http.client.HTTPResponse]:
        connection = _Local(str(self.state / "hub.sock"))
        try:
            path = f"/api/v2/sessions/{session_id}/events"
            connection.request("GET", path, headers={"Accept": accept})
            answer = connection.getresponse()
            assert answer.status == 200, answer.read()
            yield answer
        finally:
            connection.close()

    def log(self) -> str:
        path = self.state / "hub.log"
        return path.read_text()[-2000:] if path.exists() else ""

    def close(self) -> list[int]:
        """Stop everything; return the processes that remain."""
        if (self.state / "hub.sock").exists():
            for tool in json.loads(self.say("tools", "list", "--json").out):
                if tool.get("pid"):
                    self._pids.add(int(tool["pid"]))
                    self.aish("tools", "terminate", tool["name"])
            self.aish("shutdown")
        end = time.monotonic() + ENDING_SECONDS
        while (left := left_of(self.home)) and time.monotonic() < end:
            time.sleep(0.05)
        return left

    def _shell(self, folder: Path | None = None) -> Shell:
        shell = Shell(self.state, folder or self.work)
        shell.environment = self.environment
        return shell


def answer_of(events: list[Event]) -> str:
    return "".join(
        e["data"]["text"] for e in events if e["type"] == "output.delta" and e["data"]["channel"] == "answer"
    )


def left_of(home: Path) -> list[int]:
    """Return the processes whose HOME this is."""
    mark, found = f"HOME={home}".encode(), []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
    return found


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as trial:
        try:
            trial.connect(str(path))
        except ConnectionError:
            return False
    return True


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


class _Local(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(SECONDS)
        self.sock.connect(self._path)
