"""Coding agents as peers of a real hub: late text of an answer, turns that an agent starts by itself, and
questions that a person answers. The agents are scripts with the protocols of real ones."""

from __future__ import annotations

import http.client
import json
import random
import socket
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.home import SECONDS, Machine

COMMON = f"""#!{sys.executable}
import json, sys, threading, time
def tell(**message):
    sys.stdout.write(json.dumps(message) + "\\n")
    sys.stdout.flush()
def later(seconds, *calls):
    def run():
        for call in calls:
            call()
    threading.Timer(seconds, run).start()
"""
# each answers a message with "<answer to MESSAGE>". `tail`: the end of the answer arrives a moment later;
# `late`: long after; `background`: it starts a turn by itself; `die`: it exits
CLAUDE = (
    COMMON
    + """
def init():
    tell(type="system", subtype="init", session_id="c1", model="m")
def whole(text):
    tell(type="assistant", message={"content": [{"type": "text", "text": text}]})
def result(text="", turns=1):
    tell(type="result", subtype="success", is_error=False, result=text, num_turns=turns, session_id="c1")
def of_itself():
    init()
    whole("said in the background")
    result("said in the background")
resumed = "--resume" in sys.argv
for line in sys.stdin:
    message = json.loads(line)
    if message["type"] != "user":
        continue
    said = message["message"]["content"][0]["text"]
    if resumed:
        resumed = False
        init()
        whole("an old result")
        result("an old result")
        time.sleep(0.3)
    init()
    tell(**message, isReplay=True)
    whole(f"<answer to {said}>")
    result("x")
    if said == "late":
        later(0.6, lambda: whole(" the tail"))
    if said == "background":
        later(0.2, of_itself)
    if said == "die":
        sys.exit()
"""
)
CODEX = (
    COMMON
    + """
def of(turn_id, method, **params):
    tell(method=method, params={"threadId": "t1", "turnId": turn_id} | params)
def begin(turn):
    of(turn, "turn/started", turn={"id": turn})
def whole(turn, text):
    of(turn, "item/completed", item={"id": f"i{time.monotonic()}", "type": "agentMessage", "text": text})
def end(turn):
    of(turn, "turn/completed", turn={"id": turn, "status": "completed"})
number = 0
for line in sys.stdin:
    message = json.loads(line)
    method = message.get("method")
    if method == "turn/start":
        said, number = message["params"]["input"][0]["text"], number + 1
        turn = f"u{number}"
        tell(id=message["id"], result={"turn": {"id": turn}})
        begin(turn)
        whole(turn, f"<answer to {said}>")
        end(turn)
        if said == "late":
            later(0.6, lambda turn=turn: whole(turn, " the tail"))
        if said == "background":
            later(0.2, lambda: begin("b"), lambda: whole("b", "said in the background"), lambda: end("b"))
    elif "id" in message:
        tell(id=message["id"], result={"thread": {"id": "t1"}, "model": "m"})
"""
)
ACP = (
    COMMON
    + """
def chunk(text):
    update = {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": text}}
    tell(jsonrpc="2.0", method="session/update", params={"sessionId": "s1", "update": update})
for line in sys.stdin:
    message = json.loads(line)
    method, id = message.get("method"), message.get("id")
    if method == "initialize":
        tell(jsonrpc="2.0", id=id, result={"protocolVersion": 1, "agentCapabilities": {}})
    elif method == "session/new":
        tell(jsonrpc="2.0", id=id, result={"sessionId": "s1"})
    elif method == "session/prompt":
        said = message["params"]["prompt"][0]["text"]
        chunk(f"<answer to {said}>")
        tell(jsonrpc="2.0", id=id, result={"stopReason": "end_turn"})
        if said == "tail":  # the next request waits meanwhile, or the chunk comes from another task
            time.sleep(0.3)
            chunk(" one")
            later(0.1, lambda: chunk(" two"))
        if said in ("late", "background"):
            later(0.6, lambda: chunk(" the tail" if said == "late" else "said in the background"))
    elif id is not None:
        tell(jsonrpc="2.0", id=id, error={"code": -32601, "message": "Method not found"})
"""
)
# `NAME HOLD TAIL`: the answer comes after HOLD seconds, and its end after TAIL seconds more, in the next turn
NUMBERED = (
    COMMON
    + """
def chunk(text, id):
    update = {"sessionUpdate": "agent_message_chunk", "messageId": id}
    update["content"] = {"type": "text", "text": text}
    tell(jsonrpc="2.0", method="session/update", params={"sessionId": "s1", "update": update})
def answer(id, name, tail):
    chunk(f"<answer to {name}>", f"m{id}")
    tell(jsonrpc="2.0", id=id, result={"stopReason": "end_turn"})
    later(tail, lambda: chunk(f" the tail of {name}", f"m{id}"))
for line in sys.stdin:
    message = json.loads(line)
    method, id = message.get("method"), message.get("id")
    if method == "initialize":
        tell(jsonrpc="2.0", id=id, result={"protocolVersion": 1, "agentCapabilities": {}})
    elif method == "session/new":
        tell(jsonrpc="2.0", id=id, result={"sessionId": "s1"})
    elif method == "session/prompt":
        name, hold, tail = message["params"]["prompt"][0]["text"].split()
        later(float(hold), lambda id=id, name=name, tail=float(tail): answer(id, name, tail))
    elif id is not None:
        tell(jsonrpc="2.0", id=id, error={"code": -32601, "message": "Method not found"})
"""
)
ASKS = (
    COMMON
    + """
def asked(text, *labels, several=False):
    options = [{"label": label, "description": ""} for label in labels]
    return {"question": text, "header": text, "multiSelect": several, "options": options}
for line in sys.stdin:
    message = json.loads(line)
    if message["type"] == "user":
        tell(type="system", subtype="init", session_id="c1", model="m")
        questions = [asked("Colour?", "Red", "Blue"), asked("Sizes?", "S", "L", several=True)]
        request = {"subtype": "can_use_tool", "tool_name": "AskUserQuestion"}
        request["input"] = {"questions": questions}
        tell(type="control_request", request_id="r1", request=request)
    elif message["type"] == "control_response":
        said = json.dumps(message["response"]["response"]["updatedInput"]["answers"])
        tell(type="result", subtype="success", is_error=False, result=said, num_turns=1)
"""
)
CODEX_ASKS = (
    COMMON
    + """
def of(method, **params):
    tell(method=method, params={"threadId": "t1", "turnId": "u1"} | params)
def asked(text, *labels):
    options = [{"label": label, "description": ""} for label in labels]
    return {"id": text.lower(), "header": text, "question": text + "?", "options": options or None}
for line in sys.stdin:
    message = json.loads(line)
    method = message.get("method")
    if method == "turn/start":
        tell(id=message["id"], result={"turn": {"id": "u1"}})
        of("turn/started", turn={"id": "u1"})
        questions = [asked("Colour", "Red", "Blue"), asked("Name")]
        params = {"threadId": "t1", "turnId": "u1", "itemId": "i1", "questions": questions}
        tell(id=0, method="item/tool/requestUserInput", params=params)
    elif method is None:
        of("serverRequest/resolved", requestId=0)
        text = json.dumps(message["result"]["answers"])
        of("item/completed", item={"id": "i2", "type": "agentMessage", "text": text})
        of("turn/completed", turn={"id": "u1", "status": "completed"})
    elif "id" in message:
        tell(id=message["id"], result={"thread": {"id": "t1"}, "model": "m"})
"""
)
AGENTS = {"claude": CLAUDE, "codex": CODEX, "acp": ACP}


def agent(machine: Machine, driver: str, script: str | None = None) -> None:
    """Configure an agent as the peer `agent`."""
    machine.folder.mkdir(exist_ok=True)
    program: Path = machine.folder / "agent"
    program.write_text(AGENTS[driver] if script is None else script)
    program.chmod(0o755)
    tool = {"executable": str(program), "driver": driver, "cwd": str(machine.folder)}
    (machine.folder / "config.yaml").write_text(json.dumps({"tools": {"agent": tool}}))


def ask(machine: Machine, message: str) -> str:
    answered = machine.run("agent", message)
    assert answered.returncode == 0, answered.stderr
    return answered.stdout.removesuffix("\n")


def history(machine: Machine) -> list[tuple[str, str]]:
    """Return all messages and their answers, oldest first."""
    return [(one["message"], one["response"]) for one in lines(machine, "history", "json")]


def lines(machine: Machine, *command: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(machine.run(*command).stdout)
    return found


def session(machine: Machine) -> dict[str, Any]:
    [found] = json.loads(machine.run("sessions", "list", "--json").stdout)
    exported = machine.run("sessions", "export", found["id"], "--format", "json").stdout
    return dict(json.loads(exported))


def until(machine: Machine, message: str, answer: str) -> None:
    """Wait until the history has this answer to the message."""
    deadline = time.monotonic() + SECONDS
    while dict(history(machine))[message] != answer:
        assert time.monotonic() < deadline, history(machine)
        time.sleep(0.1)


@pytest.mark.long
@pytest.mark.parametrize("driver", AGENTS)
def test_text_that_an_agent_sends_after_a_turn_belongs_to_that_turn(machine: Machine, driver: str) -> None:
    agent(machine, driver)
    assert ask(machine, "late") == "<answer to late>"
    until(machine, "late", "<answer to late> the tail")
    assert ask(machine, "background") == "<answer to background>"
    gap = "" if driver == "acp" else "\n\n"
    until(machine, "background", f"<answer to background>{gap}said in the background")
    assert ask(machine, "next") == "<answer to next>"
    found = session(machine)
    assert [message["content"] for message in found["messages"]] == [
        "late",
        "<answer to late> the tail",
        "background",
        f"<answer to background>{gap}said in the background",
        "next",
        "<answer to next>",
    ]
    accepted = [event for event in found["events"] if event["type"] == "message.accepted"]
    turns = {event["turn_id"]: event["data"] for event in accepted}
    hits = lines(machine, "search", "answer", "--json")
    assert sorted(turns[hit["turn_id"]]["content"] for hit in hits) == ["background", "late", "next"]
    [tail] = lines(machine, "search", "tail", "--json")
    assert turns[tail["turn_id"]]["content"] == "late"


def test_text_after_the_end_of_a_prompt_is_part_of_the_answer(
    machine: Machine,
) -> None:
    agent(machine, "acp")
    assert ask(machine, "tail") == "<answer to tail> one two"
    assert ask(machine, "next") == "<answer to next>"


@pytest.mark.long
def test_the_tail_of_an_answer_that_arrives_in_a_later_turn_belongs_to_its_own(machine: Machine) -> None:
    agent(machine, "acp", NUMBERED)
    timings = random.Random(12)
    asked = [
        f"{name} {timings.uniform(0.2, 0.5):.2f} {timings.uniform(0.3, 1.5):.2f}"
        for name in ("one", "two", "three", "four", "five")
    ]
    for message in asked:
        answer, _, tail = ask(machine, message).partition(" the tail of ")
        name = message.split()[0]
        assert (answer, tail or name) == (f"<answer to {name}>", name)  # a tail may arrive before the end
    for message in asked:
        name = message.split()[0]
        until(machine, message, f"<answer to {name}> the tail of {name}")


def test_an_old_result_of_a_resumed_agent_does_not_answer_another_message(machine: Machine) -> None:
    agent(machine, "claude")
    assert ask(machine, "die") == "<answer to die>"
    assert ask(machine, "one") == "<answer to one>"
    assert ask(machine, "two") == "<answer to two>"
    until(machine, "die", "<answer to die>\n\nan old result")
    assert [answer for _, answer in history(machine)][1:] == ["<answer to one>", "<answer to two>"]


def test_a_message_to_an_agent_that_is_not_logged_in_fails_before_the_agent_is_started(
    machine: Machine,
) -> None:
    program = machine.folder / "bin" / "claude"
    program.parent.mkdir(parents=True)
    program.write_text(COMMON + "open('started', 'w').close()\n" + CLAUDE.removeprefix(COMMON))
    program.chmod(0o755)
    tool = {"executable": str(program), "driver": "claude", "cwd": str(machine.folder)}
    tools = {"agent": {**tool, "env": {"HOME": str(machine.folder)}}}
    (machine.folder / "config.yaml").write_text(json.dumps({"tools": tools}))
    how = "log in with: claude auth login"
    refused = machine.run("agent", "hello")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == f"aish: agent is not logged in\n{how}\n"
    piped = machine.run("-c", 'agent "hello" | apollo')
    assert (piped.returncode, piped.stdout) == (1, "")
    assert piped.stderr.endswith(f"agent is not logged in\n{how}\n")
    assert not (machine.folder / "started").exists()
    assert how in machine.run("doctor").stdout
    (machine.folder / ".claude").mkdir()
    (machine.folder / ".claude" / ".credentials.json").write_text('{"claudeAiOauth": {}}')
    assert ask(machine, "hello") == "<answer to hello>"
    assert (machine.folder / "started").exists()


class Local(http.client.HTTPConnection):
    """A connection to the hub of a machine."""

    def __init__(self, machine: Machine) -> None:
        super().__init__("localhost", timeout=SECONDS)
        self._path = str(machine.folder / "hub.sock")

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


def post(machine: Machine, path: str, body: dict[str, Any]) -> int:
    return posted(machine, path, body)[0]


def posted(machine: Machine, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    link = Local(machine)
    link.request("POST", path, json.dumps(body), {"content-type": "application/json"})
    response = link.getresponse()
    answer = json.loads(response.read())
    link.close()
    return response.status, answer


def request_of(machine: Machine) -> dict[str, Any]:
    """Wait for a pending request, and return it."""
    deadline = time.monotonic() + SECONDS
    while not (found := json.loads(machine.run("approve", "--json").stdout)):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return dict(found[0])


@pytest.mark.long
@pytest.mark.parametrize("place", ["shell", "rest"])
def test_questions_of_an_agent_can_be_answered_from_the_shell_or_over_rest(
    machine: Machine, place: str
) -> None:
    agent(machine, "claude", ASKS)
    turn = machine.start("agent", "ask me")
    request = request_of(machine)
    path = f"/api/v2/sessions/{request['session_id']}/permissions/{request['request_id']}"
    ids = [question["id"] for question in request["questions"]]
    assert machine.run("approve", "r1").returncode == 2
    if place == "shell":
        answered = machine.run("approve", "r1", "--answer", "Colour?=blue", "--answer", "Sizes?=L,S")
        assert (answered.returncode, answered.stderr) == (0, "")
    else:
        for refused in ({"option_id": "answer"}, {"answers": {ids[0]: ["Blue"]}}, {}):
            assert post(machine, path, refused) == 422
        assert post(machine, path, {"answers": {ids[0]: ["Blue"], ids[1]: ["L", "S"]}}) == 200
    out, err = turn.communicate(timeout=SECONDS)
    assert (turn.returncode, json.loads(out)) == (0, {"Colour?": "Blue", "Sizes?": "L, S"})
    assert b"Colour? (Red, Blue); Sizes? (S, L; one or more)" in err
    [done] = [e["data"] for e in session(machine)["events"] if e["type"] == "permission.answered"]
    assert (done["option_id"], done["answers"]) == (None, {ids[0]: ["Blue"], ids[1]: ["L", "S"]})


# the fake agent, its two questions with a right answer to each, and what the agent gets
ASKING = [
    (
        "claude",
        ASKS,
        {"Colour?": ["Red", "Blue"], "Sizes?": ["S", "L"]},
        ["Colour?=blue", "Sizes?=L,S"],
        {"Colour?": "Blue", "Sizes?": "L, S"},
    ),
    (
        "codex",
        CODEX_ASKS,
        {"Colour": ["Red", "Blue"], "Name": []},
        ["colour=blue", "2=Ann=B, C"],
        {"colour": {"answers": ["Blue"]}, "name": {"answers": ["Ann=B, C"]}},
    ),
]


@pytest.mark.long
@pytest.mark.parametrize(("driver", "script", "asked", "given", "got"), ASKING, ids=["claude", "codex"])
@pytest.mark.parametrize("way", ["shell", "rest"])
def test_wrong_answers_are_rejected_with_the_valid_ones_and_right_ones_reach_the_agent(
    machine: Machine,
    way: str,
    driver: str,
    script: str,
    asked: dict[str, list[str]],
    given: list[str],
    got: dict[str, Any],
) -> None:
    agent(machine, driver, script)
    turn = machine.start("agent", "ask me")
    request = request_of(machine)
    questions = {q["header"]: [option["label"] for option in q["options"]] for q in request["questions"]}
    assert questions == asked
    ids = [question["id"] for question in request["questions"]]
    id = request["request_id"]
    path = f"/api/v2/sessions/{request['session_id']}/permissions/{id}"
    if way == "shell":
        wrong = {
            f"{ids[0]}=Green": "choose from: Red, Blue",
            "Weight=1": ", ".join(ids),
            f"{ids[0]}=Red": ids[1],
        }
        for answer, names in wrong.items():
            refused = machine.run("approve", id, "--answer", answer)
            assert (refused.returncode, refused.stdout) == (2, "")
            assert names.casefold() in refused.stderr.casefold()
        answers = [word for each in given for word in ("--answer", each)]
        answered = machine.run("approve", *answers)
        assert (answered.returncode, "Colour" in answered.stderr) == (0, True)
    else:
        for rejected, names in (
            ({ids[0]: ["Green"]}, "choose from: Red, Blue"),
            ({"Weight": ["1"]}, f"its questions are: {', '.join(ids)}"),
            ({ids[0]: ["Red"]}, f"no answer to {ids[1]}"),
        ):
            status, error = posted(machine, path, {"answers": rejected})
            assert (status, error["code"], names in error["detail"]) == (422, "unprocessable", True)
        right = {
            ids[0]: ["Blue"],
            ids[1]: ["L", "S"] if asked["Sizes?" if driver == "claude" else "Name"] else given[1][2:],
        }
        assert post(machine, path, {"answers": right}) == 200
    out, _ = turn.communicate(timeout=SECONDS)
    assert (turn.returncode, json.loads(out)) == (0, got)
