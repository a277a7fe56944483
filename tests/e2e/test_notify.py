"""Notifications with the installed programs: real servers, kills of the hub, and `aish notify`."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.home import SECONDS, Machine
from tests.e2e.test_quotas import configure as configure_agents
from tests.e2e.test_quotas import request_of
from tests.provider.process import ProviderProcess
from tests.provider.script import Failure as ProviderFault
from tests.provider.script import Script, Usage

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


phone = receiver  # another one


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


TYPES = ("permission.asked", "turn.failed", "peer.stuck", "budget", "quota.paused", "turn.completed")


def test_each_kind_of_recipient_is_told_of_each_type_and_what_failed_is_repeated(
    machine: Machine, receiver: Receiver, phone: Receiver, provider: ProviderProcess, tmp_path: Path
) -> None:
    heard = {name: tmp_path / name for name in ("teller", "notify-send")}
    asker = tmp_path / "asker"
    asker.write_text(AGENT)
    (tmp_path / "bin").mkdir()
    for name, what in (("teller", 'cat >> "$F"'), ("notify-send", 'echo "$*" >> "$F"')):
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\nF='{heard[name]}'\n{what}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    asker.chmod(0o755)
    machine.environment["PATH"] = f"{tmp_path}/bin:{machine.environment['PATH']}"
    configure_agents(machine, "ask")
    agents = json.loads((machine.folder / "config.yaml").read_text())["tools"]
    machine.environment["BOX_KEY"] = "sesame"
    on = {"on": TYPES, "after": 4}
    configure(
        machine,
        {"kind": "ntfy", "url": phone.url, **on},
        {**hook(receiver), **on},
        {"kind": "command", "command": [str(tmp_path / "bin" / "teller")], **on},
        {"kind": "desktop", **on},
        providers={"box": {"base_url": f"{provider.url}/v1", "api_key_env": "BOX_KEY"}},
        models={"default": "box/m", "agents": []},
        budgets={"peer.athena": {"tokens_per_day": 10}},
        tools={**agents, "asker": {"driver": "claude", "executable": str(asker), "cwd": "~"}},
    )
    del machine.environment["RHETOR_MODELS__DEFAULT"]
    provider.script(
        *(Script(failure=ProviderFault(401)), Script(chunks=("Late.",), first_delay=4.1)),
        default=Script(chunks=("Fine.",), usage=Usage(6, 4)),
    )
    phone.statuses, receiver.statuses = [500], [503]
    assert machine.run("apollo", "fail").returncode == 1
    assert machine.run("apollo", "take long").stdout == "Late.\n"
    assert machine.run("apollo", "be quick").stdout == "Fine.\n"  # nobody is told of this
    assert machine.run("athena", "spend it").stdout == "Fine.\n"
    for words in (("athena", "again"), ("first", "limit 3600"), ("asker", "hi")):
        turn = machine.start(*words)
        request = request_of(machine)
        option = next(each["option_id"] for each in request["options"] if each["option_id"] != "continue")
        assert machine.run("approve", request["request_id"], option).returncode == 0
        turn.communicate(timeout=SECONDS)
    assert machine.run("ci-tool", "-n", "box", "--", "cat").returncode == 0
    program = json.loads(machine.run("explain", "box", "--json").stdout)["pid"]
    host = int(Path(f"/proc/{program}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(host, signal.SIGSTOP)
    try:
        assert "stuck" in machine.run("explain", "box").stdout
        wanted = {
            *(("turn.failed", "apollo"), ("turn.completed", "apollo"), ("budget", "athena")),
            *(("quota.paused", "first"), ("permission.asked", "asker"), ("peer.stuck", "box")),
        }
        until(lambda: {(told["type"], told["peer"]) for told in receiver.told} == wanted)
    finally:
        os.kill(host, signal.SIGCONT)
    budgets = [told["text"] for told in receiver.told if told["type"] == "budget"]
    assert len(budgets) == 2 and budgets[1].startswith("athena is paused: 100% ")
    # the first attempt failed, and the second one has the same id
    ids = [told["id"] for told in receiver.told]
    assert (len(ids), len(set(ids)), receiver.told[0]["type"]) == (8, 7, "turn.failed")
    assert ids.count(ids[0]) == 2

    until(lambda: len(phone.heard) == 8)
    assert {headers["title"] for headers, _ in phone.heard} == {
        *("Turn failed", "Turn completed", "Budget", "Usage limit", "Permission asked", "Peer stuck"),
    }
    texts = sorted(told["text"] for told in receiver.told[1:])
    assert sorted(body.decode() for _, body in phone.heard[1:]) == texts
    for name, text_of in (
        ("teller", lambda line: json.loads(line)["text"]),
        ("notify-send", lambda line: line.removeprefix("--app-name=aish -- aish ")),
    ):
        lines = until(lambda: (found := heard[name].read_text().splitlines())[6:] and found)  # noqa: B023
        assert sorted(map(text_of, lines)) == texts
    assert not any("secret-plans" in text or "spend it" in text for text in texts)

    tested = machine.run("notify", "test")
    assert tested.returncode == 0
    assert [line.split(":")[0] for line in tested.stdout.splitlines()] == [
        *("✓ ntfy", "✓ webhook", "✓ command", "✓ desktop"),
    ]
    machine.end()
    machine.wait_for_end()
    found = outcomes(machine)
    assert [attempt for kind, _, attempt in found if kind == "notification.failed"] == [1, 1]
    sent = [attempt for kind, _, attempt in found if kind == "notification.sent"]
    assert (len(sent), sent.count(2)) == (4 * 8, 2)
