"""Peers that say a key in two pieces. Each message to them is the number of characters in the first piece.

The key is written into the scripts, so that none of them gets it from its environment.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.provider.script import Failure, Script, ToolCall

COMMON = """#!{python}
import json, re, sys, time
KEY = {key!r}
def tell(**message):
    sys.stdout.write(json.dumps(message) + "\\n")
    sys.stdout.flush()
def cut(said):
    number = int(re.findall(r"\\d+", said)[-1])
    return KEY[:number], KEY[number:]
"""
CLAUDE = """
def event(**what):
    tell(type="stream_event", event=what, session_id="c1")
for line in sys.stdin:
    message = json.loads(line)
    if message["type"] != "user":
        continue
    first, rest = cut(message["message"]["content"][0]["text"])
    tell(type="system", subtype="init", session_id="c1", model="m")
    tell(**message, isReplay=True)
    event(type="message_start", message={"id": "m1"})
    for index, kind in enumerate(("thinking", "text")):
        event(type="content_block_start", index=index, content_block={"type": kind, kind: ""})
        for piece in ("it is ", first, rest, " ok"):
            event(type="content_block_delta", index=index, delta={"type": f"{kind}_delta", kind: piece})
        event(type="content_block_stop", index=index)
    text = f"it is {KEY} ok"
    tool = {"type": "tool_use", "id": "t1", "name": "Bash", "input": {"command": f"echo {KEY}"}}
    tell(type="assistant", message={"content": [{"type": "text", "text": text}, tool]})
    result = {"type": "tool_result", "tool_use_id": "t1", "content": f"{KEY}\\n"}
    tell(type="user", message={"role": "user", "content": [result]})
    for piece in (first, rest + "\\n"):
        sys.stderr.write(piece); sys.stderr.flush(); time.sleep(0.002)
    sys.stdout.write(f"no JSON: {KEY}\\n"); sys.stdout.flush()
    tell(type="result", subtype="success", is_error=False, result=text, session_id="c1")
"""
CODEX = """
def of(turn_id, method, **params):
    tell(method=method, params={"threadId": "t1", "turnId": turn_id, **params})
number = 0
for line in sys.stdin:
    message = json.loads(line)
    if message.get("method") == "turn/start":
        number += 1
        turn = f"u{number}"
        first, rest = cut(message["params"]["input"][0]["text"])
        tell(id=message["id"], result={"turn": {"id": turn}})
        of(turn, "turn/started", turn={"id": turn})
        ran = {"id": f"c{number}", "type": "commandExecution", "command": "env"}
        of(turn, "item/started", item=ran)
        for piece in (first, rest):
            of(turn, "item/commandExecution/outputDelta", itemId=f"c{number}", delta=piece)
        of(turn, "item/completed", item={**ran, "aggregatedOutput": KEY})
        for piece in ("it is ", first, rest, " ok"):
            of(turn, "item/agentMessage/delta", itemId=f"i{number}", delta=piece)
        item = {"id": f"i{number}", "type": "agentMessage", "text": f"it is {KEY} ok"}
        of(turn, "item/completed", item=item)
        of(turn, "turn/completed", turn={"id": turn, "status": "completed"})
    elif "id" in message:
        tell(id=message["id"], result={"thread": {"id": "t1"}, "model": "m"})
"""
ACP = """
def update(**what):
    tell(jsonrpc="2.0", method="session/update", params={"sessionId": "s1", "update": what})
for line in sys.stdin:
    message = json.loads(line)
    method, id = message.get("method"), message.get("id")
    if method == "initialize":
        tell(jsonrpc="2.0", id=id, result={"protocolVersion": 1, "agentCapabilities": {}})
    elif method == "session/new":
        tell(jsonrpc="2.0", id=id, result={"sessionId": "s1"})
    elif method == "session/prompt":
        first, rest = cut(message["params"]["prompt"][0]["text"])
        update(sessionUpdate="tool_call", toolCallId="t", title=f"echo {KEY}", kind="execute",
               rawInput={"k": KEY})
        shown = {"type": "content", "content": {"type": "text", "text": KEY}}
        update(sessionUpdate="tool_call_update", toolCallId="t", status="completed", content=[shown])
        for kind in ("agent_thought_chunk", "agent_message_chunk"):
            for piece in ("it is ", first, rest, " ok"):
                update(sessionUpdate=kind, content={"type": "text", "text": piece})
        tell(jsonrpc="2.0", id=id, result={"stopReason": "end_turn"})
    elif id is not None:
        tell(jsonrpc="2.0", id=id, error={"code": -32601, "message": "Method not found"})
"""
CURSOR = """
first, rest = cut(sys.argv[-1])
said = {"role": "assistant", "content": [{"type": "text", "text": KEY}]}  # it does not cut its messages
tell(type="assistant", message=said, session_id="s")
sys.stderr.write(first); sys.stderr.flush(); sys.stderr.write(rest + "\\n"); sys.stderr.flush()
tell(type="result", subtype="success", is_error=False, result=first + rest, session_id="s")
"""
LINES = """
for line in sys.stdin:
    first, rest = cut(line)
    for output in (sys.stderr, sys.stdout):
        output.write("it is " + first); output.flush(); time.sleep(0.002)
        output.write(rest + " ok\\n"); output.flush()
"""
TERMINAL = """
while True:
    first, rest = cut(input("? "))
    sys.stdout.write("it is " + first); sys.stdout.flush(); time.sleep(0.002)
    print(rest + " ok", flush=True)
"""
SERVER = """
for line in sys.stdin:
    call = json.loads(line)
    if "id" not in call:
        continue
    sys.stderr.write(f"{KEY}\\n"); sys.stderr.flush()
    results = {
        "initialize": {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}},
                       "serverInfo": {"name": "leaky", "version": "1"}},
        "tools/list": {"tools": [{"name": "env", "description": "", "inputSchema": {"type": "object"}}]},
        "tools/call": {"content": [{"type": "text", "text": f"TOKEN={KEY}"}], "isError": False},
    }
    tell(jsonrpc="2.0", id=call["id"], result=results.get(call["method"], {}))
"""
AGENTS = {"claude": CLAUDE, "codex": CODEX, "acp": ACP, "cursor": CURSOR}
WRAPPED = {"stdio": LINES, "terminal": TERMINAL}


def write_script(folder: Path, name: str, code: str, key: str) -> str:
    """Write an executable script, and return its path."""
    path = folder / name
    path.write_text(COMMON.format(python=sys.executable, key=key) + code)
    path.chmod(0o700)
    return str(path)


def configuration(folder: Path, provider: str, key: str) -> dict[str, Any]:
    """Return the configuration of a hub with all these peers. The variable CANARY_KEY has the key."""
    tools = {
        f"my-{driver}": {
            "driver": driver,
            "executable": write_script(folder, f"{driver}.py", code, key),
            "cwd": str(folder),
        }
        for driver, code in AGENTS.items()
    }
    server = {"command": [write_script(folder, "server.py", SERVER, key)]}
    providers = {
        "chat": {"kind": "openai", "base_url": f"{provider}/v1", "api_key_env": "CANARY_KEY"},
        "messages": {"kind": "anthropic", "base_url": provider, "api_key_env": "CANARY_KEY"},
    }
    specialists = {
        "apollo": {"model": "chat/m", "mcp_servers": ["leaky"]},
        "athena": {"model": "messages/m", "mcp_servers": ["leaky"]},
    }
    return {
        "tools": tools,
        "mcp_servers": {"leaky": server},
        "providers": providers,
        "specialists": specialists,
    }


def scripts(key: str, cut: int) -> Iterator[Script]:
    """Yield what the provider answers to one message each, as many calls as the message needs."""
    arguments = json.dumps({"token": key})
    calls = (ToolCall("leaky__env", arguments, piece=max(1, cut)),)
    yield Script(reasoning=(key[:cut], key[cut:]), tool_calls=calls)
    yield Script(reasoning=(key[:cut], key[cut:]), chunks=("it is ", key[:cut], key[cut:], " ok"))
    yield Script(failure=Failure(400, body=json.dumps({"error": {"message": f"invalid key {key}"}})))
    yield Script(chunks=("it is ", key[:cut], key[cut:]), cut_after=2 + (cut % 2))
