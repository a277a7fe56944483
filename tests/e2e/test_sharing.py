"""Two people on one hub, with tokens of `rhetor token issue`: what they share, and what they do not see."""

from __future__ import annotations

import json
import signal
import time
import urllib.error
import urllib.request
from typing import Any

import pytest
from tests.e2e.home import SECONDS, Machine
from tests.e2e.test_life import ended, running


class Person:
    """A caller over TCP, with an issued token."""

    def __init__(self, machine: Machine, name: str, scopes: str) -> None:
        issued = machine.rhetor("token", "issue", name, "--scopes", scopes)
        assert issued.returncode == 0, issued
        self._machine, self._token = machine, issued.stdout.strip()

    def open(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        data = None if body is None else json.dumps(body).encode()
        known = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json", **headers}
        url = f"{self._machine.status()['url']}{path}"
        return urllib.request.urlopen(urllib.request.Request(url, data, known, method=method), timeout=60)

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        try:
            with self.open(method, path, body) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, json.loads(refused.read())


@pytest.mark.long
def test_a_session_is_shared_with_another_person_until_the_share_is_taken_back(machine: Machine) -> None:
    hub = running(machine, "--port", "0")
    bert, anna = Person(machine, "bert", "read,send,approve"), Person(machine, "anna", "read,send")
    opened = {"specialist_id": "apollo", "context_window": 4}
    session = bert.ask("POST", "/api/v2/sessions", opened)[1]["id"]
    other = bert.ask("POST", "/api/v2/sessions", opened)[1]["id"]
    path, said = f"/api/v2/sessions/{session}", {"message": "hello"}
    assert anna.ask("GET", path)[0] == 404
    assert bert.ask("POST", f"{path}/shares", {"subject": "anna", "scopes": ["send"]})[0] == 200
    hub.send_signal(signal.SIGKILL)
    hub.wait(SECONDS)
    assert hub.stdout is not None
    hub.stdout.close()
    hub = running(machine, "--port", "0")

    listed = anna.ask("GET", "/api/v2/sessions")[1]["sessions"]
    assert [(each["id"], each["owner"]) for each in listed] == [(session, "bert")]
    assert anna.ask("POST", f"{path}/message", said)[0] == 200
    assert anna.ask("GET", f"/api/v2/sessions/{other}")[0] == 404
    [message] = [m for m in bert.ask("GET", f"{path}/events")[1]["events"] if m["type"] == "message.accepted"]
    assert (message["data"]["from"], message["data"]["content"]) == ("anna", "hello")
    assert machine.run("sessions", "list").stdout == "No sessions\n"
    with anna.open("GET", f"{path}/events", Accept="text/event-stream") as stream:
        assert stream.readline()
        assert bert.ask("DELETE", f"{path}/shares/anna")[0] == 200
        taken = time.monotonic()
        rest = stream.read().decode()
        assert time.monotonic() - taken < 5
    assert json.loads(rest.rpartition("event: error\ndata: ")[2])["code"] == "not_found"
    assert anna.ask("GET", path)[0] == 404
    machine.end()
    assert ended(hub) == 0


@pytest.mark.long
def test_the_shell_says_who_shares_a_session_with_its_user(machine: Machine) -> None:
    hub = running(machine, "--port", "0")
    bert = Person(machine, "bert", "read,send")
    session = bert.ask("POST", "/api/v2/sessions", {"specialist_id": "apollo"})[1]["id"]
    assert bert.ask("POST", f"/api/v2/sessions/{session}/message", {"message": "hello"})[0] == 200
    me = json.loads(machine.run("whoami", "--json").stdout)["subject"]
    shared = bert.ask("POST", f"/api/v2/sessions/{session}/shares", {"subject": me, "scopes": ["read"]})
    assert shared[0] == 200
    assert machine.run("session", "create", "mine", "--tool", "apollo").returncode == 0
    assert machine.run("apollo", "-s=mine", "hello").returncode == 0
    lines = machine.run("sessions", "list").stdout.splitlines()
    [line] = [line for line in lines if session in line]
    assert "  shared by bert" in line
    assert sum("shared by" in line for line in lines) == 1
    machine.end()
    assert ended(hub) == 0
