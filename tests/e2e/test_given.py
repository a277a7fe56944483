"""Conversations of a stateless client, whose hub is killed while one of its messages waits."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from tests.e2e.home import Machine
from tests.e2e.test_sockets import UnixConnection
from tests.provider.process import ProviderProcess
from tests.provider.script import Script, ToolCall, Usage

SYSTEM = {"role": "system", "content": "Answer the client."}
CLOCK = {"type": "function", "function": {"name": "clock", "parameters": {"type": "object"}}}
PICTURE = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"


opened: list[http.client.HTTPConnection] = []


@pytest.fixture(autouse=True)
def close_connections() -> Iterator[None]:
    yield
    while opened:
        opened.pop().close()


def begin(
    machine: Machine, messages: list[Any], more: dict[str, Any] | None = None, **headers: str
) -> http.client.HTTPResponse:
    """Send a conversation, and return the response once the hub has accepted it."""
    body = {
        "model": "apollo",
        "messages": [SYSTEM, *messages],
        "tools": [CLOCK],
        "stream": True,
        **(more or {}),
    }
    connection = UnixConnection(machine)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(
        "POST", "/v1/chat/completions", json.dumps(body), {"content-type": "application/json", **named}
    )
    opened.append(connection)
    response = connection.getresponse()
    assert response.status == 200, response.read()
    return response


def chunks_of(response: http.client.HTTPResponse) -> list[dict[str, Any]]:
    lines = response.read().decode().splitlines()
    data = [line[6:] for line in lines if line.startswith("data: ") and line != "data: [DONE]"]
    return [choice["delta"] for each in data for choice in json.loads(each)["choices"]]


def text_of(response: http.client.HTTPResponse) -> str:
    return "".join(delta.get("content") or "" for delta in chunks_of(response))


def asked_of(provider: ProviderProcess) -> list[dict[str, Any]]:
    return [call["body"] for call in provider.calls() if call["path"].endswith("/chat/completions")]


@pytest.mark.long
def test_a_conversation_that_waits_survives_a_kill_of_the_hub(
    machine: Machine, provider: ProviderProcess
) -> None:
    key = {"OPENAI_BASE_URL": f"{provider.url}/v1", "OPENAI_API_KEY": "k", "RHETOR_MODEL": "scripted"}
    machine.environment |= {**key, "RHETOR_MODELS__TAKES": '{"openai/scripted": ["image"]}'}
    call, usage = ToolCall("clock", "{}", "c1"), Usage(10, 5)
    provider.script(
        Script(tool_calls=(call,), finish="tool_calls", usage=usage),
        Script(chunks=("half ", "more"), hold={1: "never"}),
        Script(chunks=("It is noon.",), usage=usage),
        Script(chunks=("Yes.",), usage=usage),
        Script(chunks=("Indeed.",), usage=usage),
    )
    machine.run("list")
    question = {"role": "user", "content": "What time is it?"}
    first = begin(machine, [question])
    session = first.getheader("x-session-id") or ""
    calls = [call for chunk in chunks_of(first) for call in chunk.get("tool_calls", ())]
    called = {**calls[0], "function": {"name": "clock", "arguments": "{}"}}
    echoed = {"role": "assistant", "content": None, "tool_calls": [{**called, "type": "function"}]}
    result = {"role": "tool", "tool_call_id": called["id"], "content": "noon"}
    running = begin(machine, [question, echoed, result])
    assert running.getheader("x-session-id") == session
    provider.reached("never")
    image = {"type": "image_url", "image_url": {"url": PICTURE}}
    waiting = [
        question,
        echoed,
        result,
        {"role": "assistant", "content": "half "},
        {"role": "user", "content": [{"type": "text", "text": "And now?"}, image]},
    ]
    accepted = begin(machine, waiting, x_session_id=session, idempotency_key="k")
    machine.kill_hub()
    assert machine.run("list").returncode == 0  # starts the next hub
    again = begin(machine, waiting, x_session_id=session, idempotency_key="k")
    assert again.getheader("x-turn-id") == accepted.getheader("x-turn-id")
    assert text_of(again) == "It is noon."
    asked = asked_of(provider)[2]
    assert [tool["function"]["name"] for tool in asked["tools"]] == ["clock"]
    assert asked["messages"][0]["content"].endswith("Answer the client.")
    kinds = [(each["role"], bool(each.get("tool_calls"))) for each in asked["messages"][1:]]
    assert kinds == [
        ("user", False),
        ("assistant", True),
        ("tool", False),
        ("assistant", False),
        ("user", False),
    ]
    assert [part["type"] for part in asked["messages"][-1]["content"]] == ["text", "image_url"]

    followed = [
        *waiting,
        {"role": "assistant", "content": "It is noon."},
        {"role": "user", "content": "Sure?"},
    ]
    last = begin(machine, followed)
    assert (last.getheader("x-session-id"), text_of(last)) == (session, "Yes.")
    shell = machine.run("apollo", "-s", session, "Really?")
    assert (shell.stdout, shell.returncode) == ("Indeed.\n", 0), shell.stderr
    told = asked_of(provider)[4]["messages"]
    assert {"role": "assistant", "content": "[Call of clock: {}]"} in told
    (listed,) = json.loads(machine.run("sessions", "list", "--json").stdout)
    assert (listed["id"], listed["summary"]["first"]) == (session, "What time is it?")
    history = machine.run("history").stdout
    assert "  > What time is it?\n  [Call of clock]\n" in history
    assert "  > [Result of clock]\n" in history
    assert "[Call of clock]" in machine.run("sessions", "export", session).stdout

    line = begin(machine, [question], {"model": "athena | apollo", "tools": []})
    assert text_of(line)
    assert "- line: athena | apollo\n" in machine.run("sessions", "show", line.headers["x-session-id"]).stdout


@pytest.mark.long
def test_a_specialist_whose_model_is_itself_ends_at_the_hop_limit(machine: Machine) -> None:
    """The hub calls itself under the name of a provider, as two hubs would that call each other."""
    machine.environment["RHETOR_MODELS__DEFAULT"] = "offline"
    machine.run("list")
    machine.end()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    del machine.environment["RHETOR_MODELS__DEFAULT"]
    token = (machine.folder / "token").read_text().strip()
    machine.environment |= {
        "OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1",
        "OPENAI_API_KEY": token,
        "RHETOR_MODEL": "apollo",
        "RHETOR_HUB__PORT": str(port),
    }
    asked = machine.run("apollo", "hello")
    assert asked.returncode != 0
    assert "9 peers" in asked.stderr
    assert len(json.loads(machine.run("sessions", "list", "--json").stdout)) == 7  # and that of the shell
