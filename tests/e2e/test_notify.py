"""Notifications with the installed programs: real servers, kills of the hub, and `aish notify`."""

from __future__ import annotations

import hashlib
import hmac
import json
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.home import SECONDS, Machine

pytestmark = pytest.mark.long
KEY = "Key-of-the-webhook-1"


class Receiver:
    """A server that keeps what it is sent. `statuses`: its next answers; then it answers with 200."""

    def __init__(self) -> None:
        receiver = self

        class Answer(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.heard.append((dict(self.headers), body))
                self.send_response(receiver.statuses.pop(0) if receiver.statuses else 200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None: ...

        self.heard: list[tuple[dict[str, str], bytes]] = []
        self.statuses: list[int] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, name="receiver").start()

    @property
    def told(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.heard]

    def end(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.end()


def configure(machine: Machine, *entries: dict[str, Any], **more: Any) -> None:
    machine.folder.mkdir(mode=0o700, exist_ok=True)
    machine.environment["RHETOR_MODELS__DEFAULT"] = "offline"
    machine.environment["HOOK_KEY"] = KEY
    (machine.folder / "config.yaml").write_text(json.dumps({"notify": entries, **more}))


def hook(receiver: Receiver, *on: str, **more: Any) -> dict[str, Any]:
    return {"kind": "webhook", "url": receiver.url, "secret_env": "HOOK_KEY", "on": list(on), **more}


def until(is_so: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + SECONDS
    while not (found := is_so()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def outcomes(machine: Machine) -> list[tuple[str, str, int]]:
    """Return the outcomes in the log: the type, the id and the attempt. No hub may be running."""
    with machine.database() as database:
        rows = database.execute("SELECT type, data FROM events WHERE type LIKE 'notification.%' ORDER BY seq")
        found = [(kind, json.loads(data)) for kind, data in rows.fetchall()]
    database.close()
    return [(kind, data["notification_id"], data["attempt"]) for kind, data in found]


def test_a_notification_that_failed_is_sent_by_the_next_hub_with_the_same_id(
    machine: Machine, receiver: Receiver
) -> None:
    configure(machine, hook(receiver, "turn.completed"))
    receiver.statuses = [500] * 2
    assert machine.run("apollo", "a private question").returncode == 0
    until(lambda: receiver.heard)
    machine.kill_hub()
    assert machine.run("list").returncode == 0  # starts the next hub
    until(lambda: not receiver.statuses and len(receiver.heard) == 3)
    assert len({told["id"] for told in receiver.told}) == 1
    headers, body = receiver.heard[-1]
    signature = hmac.new(KEY.encode(), body, hashlib.sha256).hexdigest()
    assert headers["X-Rhetor-Signature"] == f"sha256={signature}"
    assert headers["X-Rhetor-Id"] == receiver.told[0]["id"]
    assert b"private" not in body
    listed = until(lambda: [w for w in json.loads(machine.run("notify", "json").stdout) if not w["waiting"]])
    assert (listed[0]["name"], listed[0]["failing"]) == ("webhook", 0)
    machine.end()
    machine.wait_for_end()
    found = outcomes(machine)
    # the hub may have been killed before the outcome of the first attempt was in the log
    assert found[-1] in [("notification.sent", receiver.told[0]["id"], attempt) for attempt in (2, 3)]
    assert {kind for kind, _, _ in found[:-1]} == {"notification.failed"}


def test_a_hub_that_is_killed_again_and_again_loses_no_notification_and_gives_none_a_second_id(
    machine: Machine, receiver: Receiver
) -> None:
    configure(machine, hook(receiver, "turn.completed"))
    turns: set[str] = set()
    for _ in range(3):
        ran = machine.run("apollo", "hi", "--json")
        assert ran.returncode == 0, ran.stderr
        turns |= {e["turn_id"] for e in map(json.loads, ran.stdout.splitlines()) if e.get("turn_id")}
        machine.kill_hub()
    assert len(turns) == 3
    assert machine.run("list").returncode == 0
    until(lambda: {told["turn_id"] for told in receiver.told} == turns)
    assert len({told["id"] for told in receiver.told}) == 3
    machine.end()
    machine.wait_for_end()
    sent = [id for kind, id, _ in outcomes(machine) if kind == "notification.sent"]
    assert sorted(sent) == sorted({told["id"] for told in receiver.told})


AGENT = f"""#!{sys.executable}
import json, sys
def tell(**message):
    sys.stdout.write(json.dumps(message) + "\\n")
    sys.stdout.flush()
for line in sys.stdin:
    message = json.loads(line)
    if message["type"] == "control_request":
        tell(type="control_response", response={{"subtype": "success", "request_id": message["request_id"]}})
    if message["type"] == "control_response":
        tell(type="assistant", message={{"content": [{{"type": "text", "text": "done"}}]}})
        tell(type="result", subtype="success", is_error=False, result="done", num_turns=1, session_id="c1")
    if message["type"] != "user":
        continue
    tell(type="system", subtype="init", session_id="c1", model="m")
    tell(**message, isReplay=True)
    asked = {{"subtype": "can_use_tool", "tool_name": "Bash", "input": {{"command": "cat secret-plans"}}}}
    tell(type="control_request", request_id="r1", request=asked)
"""


def test_a_command_is_notified_of_a_permission_request_and_the_test_says_who_cannot_be_reached(
    machine: Machine, receiver: Receiver, tmp_path: Path
) -> None:
    agent, teller = tmp_path / "agent", tmp_path / "teller"
    agent.write_text(AGENT)
    said = tmp_path / "said"
    teller.write_text(f'#!/bin/sh\necho "$RHETOR_EVENT $RHETOR_TEXT" >> "{said}"; cat >> "{said}"\n')
    for program in (agent, teller):
        program.chmod(0o755)
    command = {"kind": "command", "command": [str(teller), "; touch x"], "on": ["permission.asked"]}
    broken = hook(receiver, "turn.failed", name="broken", url="http://127.0.0.1:1/x")
    configure(
        machine, command, broken, tools={"asker": {"driver": "claude", "executable": str(agent), "cwd": "~"}}
    )
    turn = machine.start("asker", "hi")
    text = until(lambda: said.exists() and said.read_text().count("\n") >= 2 and said.read_text())
    line, body = text.splitlines()[:2]
    assert line == "permission.asked asker asks for permission: Bash"
    assert (json.loads(body)["peer"], "secret-plans" in text) == ("asker", False)
    assert machine.run("approve").returncode == 0
    assert turn.communicate(timeout=SECONDS)[0] == b"done\n"

    tested = machine.run("notify", "test")
    assert tested.returncode == 1
    first, second = tested.stdout.splitlines()[:2]
    assert first.startswith("✓ command: delivered in 0.")
    assert second == "✗ broken (webhook): 127.0.0.1 cannot be reached: Connection refused"
    assert machine.run("notify", "test", "command").returncode == 0
    assert machine.run("notify", "test", "nobody").returncode == 3
    results = json.loads(machine.run("notify", "test", "broken", "--json").stdout)
    assert (results[0]["ok"], results[0]["name"]) == (False, "broken")
    assert "test This is a test of the notifications of rhetor" in said.read_text()
    shown = machine.rhetor("config", "show").stdout
    assert "127.0.0.1:1/(masked)" in shown and KEY not in shown

    configure(machine, {**broken, "on": ["turn.completed"]})
    assert machine.rhetor("reload").returncode == 0
    assert machine.run("apollo", "hi").returncode == 0
    doctor = until(lambda: (found := machine.run("doctor")).returncode and found.stdout)
    assert "broken: failing: 127.0.0.1 cannot be reached" in doctor
    assert "try it with: aish notify test broken" in doctor
    missing = {"kind": "desktop", "on": ["budget"]}
    configure(machine, missing)
    assert machine.rhetor("reload").returncode == 0
    if shutil.which("notify-send") is None:
        found = machine.run("doctor")
        assert "desktop: failing: no program notify-send on the PATH of the hub; install" in found.stdout
        assert found.returncode == 1
    assert KEY not in (machine.folder / "hub.log").read_text()
    configure(machine)
    assert machine.rhetor("reload").returncode == 0
    empty = machine.run("notify", "test")
    assert (empty.returncode, empty.stdout) == (1, "")
    assert "no notifications are configured" in empty.stderr
    assert machine.run("notify").stdout.startswith("No notifications; ")
