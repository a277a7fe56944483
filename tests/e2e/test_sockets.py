"""Sockets of an installed hub: listed by the shell, and nothing lost when the hub is killed."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from typing import Any

from tests.e2e.home import SECONDS, Machine
from websockets.sync.client import ClientConnection, unix_connect

CONTENT = os.urandom(1 << 20)


class UnixConnection(HTTPConnection):
    def __init__(self, machine: Machine) -> None:
        super().__init__("localhost", timeout=SECONDS)
        self._path = str(machine.folder / "hub.sock")

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(SECONDS)
        self.sock.connect(self._path)


def ask(machine: Machine, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
    headers = {"content-type": "application/json"}
    with closing(UnixConnection(machine)) as connection:
        connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        with connection.getresponse() as response:
            return response.status, response.read()


@contextmanager
def connected(machine: Machine, name: str) -> Iterator[ClientConnection]:
    path = str(machine.folder / "hub.sock")
    with unix_connect(path, uri=f"ws://localhost/ws/socket/{name}", max_size=None) as client:
        yield client


def listed(machine: Machine) -> dict[str, dict[str, Any]]:
    ran = machine.run("sockets", "--json")
    assert ran.returncode == 0, ran.stderr
    return {each["socket_id"]: each for each in json.loads(ran.stdout)}


def until_waiting(machine: Machine, name: str, count: int) -> None:
    deadline = time.monotonic() + SECONDS
    while listed(machine)[name]["waiting"] != count:
        assert time.monotonic() < deadline, listed(machine)[name]


def read(client: ClientConnection) -> dict[str, Any]:
    frame: dict[str, Any] = json.loads(client.recv(SECONDS))
    if "media_type" in frame:
        frame["content"] = client.recv(SECONDS)
    return frame


def test_unread_messages_survive_a_kill_and_are_delivered_once(machine: Machine) -> None:
    machine.environment["RHETOR_MODELS__DEFAULT"] = "offline"
    machine.run("apollo", "hi")
    status, made = ask(machine, "POST", "/api/ai/socket/create", {"ai_name": "apollo"})
    assert (status, json.loads(made)["socket_id"]) == (200, "apollo-1")
    ask(machine, "POST", "/api/ai/socket/groups", {"name": "poets", "members": ["apollo", "athena"]})
    ran = machine.run("sockets")
    assert [line.split()[0] for line in ran.stdout.splitlines()] == [
        "NAME",
        "team-chat-all",
        "rhetor",
        "group:poets",
        "apollo-1",
    ]
    path = f"/api/v2/sessions/{json.loads(made)['session_id']}/message"
    for text in ("one", "two"):
        assert ask(machine, "POST", path, {"message": text})[0] == 200
    with connected(machine, "group:poets") as client:
        client.send(json.dumps({"type": "write", "media_type": "audio/wav", "bytes": len(CONTENT)}))
        client.send(CONTENT)
        assert read(client)["content"] == CONTENT
        until_waiting(machine, "group:poets", 0)
    (machine.folder / "blobs" / f"{'0' * 64}.00000000").write_bytes(b"half of the content")
    machine.kill_hub()
    assert listed(machine)["apollo-1"]["waiting"] == 2
    with connected(machine, "apollo-1") as client:
        first, second = read(client), read(client)
        assert (first["type"], second["type"], second["prev"]) == ("read", "read", first["seq"])
        assert ("one" in first["content"], "two" in second["content"]) == (True, True)
        until_waiting(machine, "apollo-1", 0)
    machine.kill_hub()
    assert listed(machine)["apollo-1"]["waiting"] == 0
    with connected(machine, "group:poets") as client:  # the content is not sent again, and still stored
        client.send(json.dumps({"type": "write", "content": "hi"}))
        assert {read(client)["ai"] for _ in range(2)} == {"apollo", "athena"}
    kept = hashlib.sha256(CONTENT).hexdigest()
    assert [path.name for path in (machine.folder / "blobs").iterdir()] == [kept]
    assert ask(machine, "GET", f"/api/v2/blobs/{kept}") == (200, CONTENT)


def test_a_line_of_the_shell_reaches_a_group_created_over_rest(machine: Machine) -> None:
    machine.environment["RHETOR_MODELS__DEFAULT"] = "offline"
    machine.run("apollo", "hi")
    ask(machine, "POST", "/api/ai/socket/groups", {"name": "poets", "members": ["apollo", "athena"]})
    for words in (("-c", 'team:poets << "hi"'), ("team:poets", "hi")):
        ran = machine.run(*words)
        assert (ran.returncode, "Apollo" in ran.stdout, "Athena" in ran.stdout) == (0, True, True), ran
    assert machine.run("team:nobody", "hi").returncode == 3
