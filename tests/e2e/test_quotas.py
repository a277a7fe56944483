"""Usage limits of coding agents, with the installed programs: pauses that are shown, answered and survive
the hub, and turns that another agent takes over. The agents are scripts with the protocol of Claude Code."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from datetime import datetime
from typing import Any

import pytest
from tests.e2e.home import SECONDS, Machine

pytestmark = pytest.mark.long

# `limit N` meets a limit that resets in N seconds, once for each such message; every answer lists what the
# agent was told since it started
AGENT = f"""#!{sys.executable}
import json, os, re, sys, time
def tell(**message):
    sys.stdout.write(json.dumps(message) + "\\n")
    sys.stdout.flush()
folder, heard = os.path.dirname(os.path.abspath(sys.argv[0])), []
for line in sys.stdin:
    message = json.loads(line)
    if message["type"] == "control_request":
        tell(type="control_response", response={{"subtype": "success", "request_id": message["request_id"]}})
    if message["type"] != "user":
        continue
    said = message["message"]["content"][0]["text"]
    heard.append(said)
    tell(type="system", subtype="init", session_id="c1", model="m")
    tell(**message, isReplay=True)
    wanted = re.search(r"limit (\\d+)", said)
    mark = os.path.join(folder, "met-" + wanted[1]) if wanted else None
    if wanted and os.path.basename(sys.argv[0]) == "first" and not os.path.exists(mark):
        open(mark, "w").close()
        at = int(time.time()) + int(wanted[1])
        words = "You've hit your limit"
        tell(type="rate_limit_event", rate_limit_info={{"status": "rejected", "resetsAt": at}})
        notice = {{"model": "<synthetic>", "content": [{{"type": "text", "text": words}}]}}
        tell(type="assistant", error="rate_limit", message=notice)
        tell(type="result", subtype="success", is_error=True, api_error_status=429, result=words)
        continue
    answer = json.dumps(heard)
    tell(type="assistant", message={{"content": [{{"type": "text", "text": answer}}]}})
    tell(type="result", subtype="success", is_error=False, result=answer, num_turns=1, session_id="c1")
"""


def configure(machine: Machine, on_pause: str) -> None:
    """Configure two agents: `first` meets limits, `second` does not."""
    machine.folder.mkdir(exist_ok=True)
    tools: dict[str, Any] = {}
    for name in ("first", "second"):
        program = machine.folder / name
        program.write_text(AGENT)
        program.chmod(0o755)
        tools[name] = {"executable": str(program), "driver": "claude", "cwd": str(machine.folder)}
    tools["first"]["quota"] = {"on_pause": on_pause}
    (machine.folder / "config.yaml").write_text(json.dumps({"tools": tools}))


def request_of(machine: Machine) -> dict[str, Any]:
    """Wait for a pending request, and return it."""
    deadline = time.monotonic() + SECONDS
    while not (found := json.loads(machine.run("approve", "--json").stdout)):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return dict(found[0])


def events(machine: Machine, session_id: str) -> list[dict[str, Any]]:
    exported = machine.run("sessions", "export", session_id, "--format", "json").stdout
    return list(json.loads(exported)["events"])


def until_completed(machine: Machine, session_id: str) -> list[dict[str, Any]]:
    """Wait until the session's last event is a complete answer, and return all its events."""
    deadline = time.monotonic() + SECONDS
    while (found := events(machine, session_id))[-1]["type"] != "turn.completed":
        assert time.monotonic() < deadline, found
        time.sleep(0.1)
    return found


def seconds_of(time: str) -> float:
    return datetime.fromisoformat(time).timestamp()


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "stopped"])
def test_a_pause_continues_within_two_seconds_of_its_time_under_the_next_hub(
    machine: Machine, stop: signal.Signals
) -> None:
    configure(machine, "continue")
    turn = machine.start("first", "limit 6")
    request = request_of(machine)
    [peer] = [p for p in json.loads(machine.run("list", "json").stdout) if p["name"] == "first"]
    assert peer["status"] == "blocked"
    [listed] = [line for line in machine.run("list").stdout.splitlines() if line.startswith("first ")]
    assert " paused " in listed
    explained = machine.run("explain", "first").stdout
    assert "paused by its usage limit" in explained and "then it continues by itself" in explained
    if stop is signal.SIGKILL:
        machine.kill_hub()
    else:
        os.kill(machine.hub_pid(), stop)
        machine.wait_for_end()
    assert machine.run("list").returncode == 0  # starts the next hub
    listening = time.time()
    _, err = turn.communicate(timeout=SECONDS)
    assert b"the turn is still paused, and the next hub continues it: aish explain first" in err
    found = until_completed(machine, request["session_id"])
    assert json.loads(found[-1]["data"]["text"]) == ["limit 6", "limit 6"]
    [paused] = [e for e in found if e["type"] == "quota.paused"]
    [answered] = [e for e in found if e["type"] == "permission.answered"]
    assert (answered["data"]["option_id"], answered["data"]["by"]) == ("now", "reset")
    resets_at = seconds_of(paused["data"]["resets_at"])
    # on a busy machine, the next hub may start after that time
    assert resets_at <= seconds_of(answered["at"]) < max(resets_at, listening) + 2
    assert sum(e["type"] == "turn.completed" for e in found) == 1


def test_a_pause_is_shown_and_answered_in_the_shell(machine: Machine) -> None:
    configure(machine, "ask")
    assert machine.run("second", "hello").returncode == 0  # an agent that has answered is offered
    turn = machine.start("first", "limit 3600")
    request = request_of(machine)
    offered = [option["option_id"] for option in request["options"]]
    assert offered == ["continue", "now", "peer:second", "stop"]
    answered = machine.run("approve", request["request_id"], "now")
    assert (answered.returncode, answered.stderr) == (0, "")
    out, err = turn.communicate(timeout=SECONDS)
    assert (turn.returncode, json.loads(out)) == (0, ["limit 3600", "limit 3600"])
    assert b"aish: first is paused until " in err
    assert b"You've hit your limit" in err
    assert f"Stop: aish approve {request['request_id']} stop".encode() in err


def test_denying_the_request_of_a_pause_cancels_the_turn(machine: Machine) -> None:
    configure(machine, "continue")
    turn = machine.start("first", "limit 3600")
    denied = machine.run("deny", request_of(machine)["request_id"])
    assert (denied.returncode, denied.stderr) == (0, "")
    out, err = turn.communicate(timeout=SECONDS)
    assert (turn.returncode != 0, out) == (True, b"")
    assert b"cancelled" in err


def test_a_turn_is_handed_over_with_its_history_and_the_first_agent_is_told_what_it_missed(
    machine: Machine,
) -> None:
    configure(machine, "handover:second")
    assert json.loads(machine.run("first", "remember the heron").stdout) == ["remember the heron"]
    handed = machine.run("first", "limit 3600")
    assert handed.returncode == 0, handed.stderr
    assert "aish: second answers instead of first" in handed.stderr
    [told] = json.loads(handed.stdout)
    assert "User: remember the heron" in told and told.endswith("limit 3600")
    [session] = json.loads(machine.run("sessions", "list", "--json").stdout)
    assert machine.run("session", "fork", session["id"], "copy").returncode == 0
    [copied] = json.loads(machine.run("first", "-s=copy", "in the copy").stdout)
    assert "User: limit 3600" in copied and copied.endswith("in the copy")
    back = json.loads(machine.run("first", "and now?").stdout)
    assert back[:2] == ["remember the heron", "limit 3600"]  # its own conversation
    assert "User: limit 3600" in back[2] and "Assistant: " in back[2] and back[2].endswith("and now?")
    assert "remember the heron" not in back[2].partition("Assistant: ")[0]
    again = json.loads(machine.run("first", "what else?").stdout)
    assert again[3] == "what else?"  # it knows everything now
    started = [e["data"] for e in events(machine, session["id"]) if e["type"] == "turn.started"]
    assert [(one["peer"], one.get("instead_of")) for one in started] == [
        ("first", None),
        ("first", None),
        ("second", "first"),
        ("first", None),
        ("first", None),
    ]


def test_an_agent_that_was_removed_while_it_was_offered_is_not_called(machine: Machine) -> None:
    configure(machine, "ask")
    assert machine.run("second", "hello").returncode == 0
    turn = machine.start("first", "limit 3600")
    request = request_of(machine)
    settings = json.loads((machine.folder / "config.yaml").read_text())
    del settings["tools"]["second"]
    (machine.folder / "config.yaml").write_text(json.dumps(settings))
    assert machine.rhetor("reload").returncode == 0
    assert machine.run("approve", request["request_id"], "peer:second").returncode == 0
    again = request_of(machine)
    assert [option["option_id"] for option in again["options"]] == ["continue", "now", "stop"]
    assert machine.run("approve", again["request_id"], "now").returncode == 0
    out, err = turn.communicate(timeout=SECONDS)
    assert (turn.returncode, json.loads(out)) == (0, ["limit 3600", "limit 3600"]), err
