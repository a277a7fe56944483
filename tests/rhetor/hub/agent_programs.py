"""Programs that imitate coding agents.

The message `ask TOOL` makes them request permission for a tool, and their answer is the decision. The message
`withdraw TOOL` makes them request permission, and withdraw the request twice at the next input. `work` makes
the first one work until the next input.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from tests.rhetor.drivers.programs.host.hosting import PYTHON

from rhetor.domain.peer import Peer, PeerKind
from rhetor.domain.permission import Rules
from rhetor.domain.program import Launch, Program
from rhetor.drivers.agents.acp.protocol import Acp
from rhetor.drivers.agents.claude.protocol import ClaudeCode
from rhetor.drivers.agents.codex.protocol import Codex
from rhetor.drivers.agents.driver import Agents
from rhetor.drivers.agents.protocol import AgentProtocol, Opening
from rhetor.drivers.programs.host.hosts import Hosts
from rhetor.hub.hub import Hub
from rhetor.hub.opening import open_hub
from rhetor.hub.peers import Peers
from rhetor.store.memory import MemoryStore

_COMMON = """
import json, sys
def tell(message):
    sys.stdout.write(json.dumps(message) + "\\n")
    sys.stdout.flush()
def heard():
    line = sys.stdin.readline()
    return json.loads(line) if line else sys.exit(0)
"""
CLAUDE = (
    _COMMON
    + """
number = 0
while True:
    said = heard()
    if said["type"] != "user":
        continue
    what, _, tool = said["message"]["content"][0]["text"].partition(" ")
    tell({"type": "system", "subtype": "init", "session_id": "c1", "model": "m"})
    told, number = "nothing", number + 1
    if what in ("ask", "withdraw"):
        request = {"subtype": "can_use_tool", "tool_name": tool, "input": {"command": "ls"},
                   "permission_suggestions": [{"type": "setMode", "mode": "acceptEdits"}]}
        tell({"type": "control_request", "request_id": f"r{number}", "request": request})
        if what == "withdraw":
            heard()  # the test says when
            for _ in range(2):
                tell({"type": "control_cancel_request", "request_id": f"r{number}"})
            told = "withdrawn"
        else:
            answer = heard()["response"]["response"]
            told = answer["behavior"] + (" for ever" if "updatedPermissions" in answer else "")
    if what == "work":
        tell({"type": "assistant", "message": {"content": [{"type": "text", "text": "I work"}]}})
        heard()
        usage = {"input_tokens": 7, "output_tokens": 2}
        tell({"type": "result", "subtype": "error_during_execution", "usage": usage})
        continue
    tell({"type": "result", "subtype": "success", "result": told, "stop_reason": "max_tokens"})
"""
)
CODEX = (
    _COMMON
    + """
def answer(said, result):
    tell({"id": said["id"], "result": result})
number = 100
while True:
    said = heard()
    method = said.get("method")
    if method == "thread/start":
        answer(said, {"thread": {"id": "t1"}, "model": "m"})
    elif method == "turn/start":
        number += 1
        turn = f"u{number}"
        answer(said, {"turn": {"id": turn}})
        tell({"method": "turn/started", "params": {"threadId": "t1", "turn": {"id": turn}}})
        what, _, tool = said["params"]["input"][0]["text"].partition(" ")
        told = "nothing"
        if what in ("ask", "withdraw"):
            kind = {"shell": "commandExecution", "apply_patch": "fileChange"}[tool]
            params = {"threadId": "t1", "turnId": turn, "itemId": "i"}
            tell({"id": number, "method": f"item/{kind}/requestApproval", "params": params})
            resolved = {"threadId": "t1", "requestId": number}
            if what == "withdraw":
                heard()
                told = "withdrawn"
            else:
                told = heard()["result"]["decision"]
            for _ in range(2):
                tell({"method": "serverRequest/resolved", "params": resolved})
        item = {"id": "m", "type": "agentMessage", "text": told}
        tell({"method": "item/completed", "params": {"threadId": "t1", "item": item}})
        done = {"threadId": "t1", "turn": {"id": turn, "status": "completed"}}
        tell({"method": "turn/completed", "params": done})
    elif method == "initialize":
        answer(said, {})
"""
)
ACP = (
    _COMMON
    + """
def answer(id, result):
    tell({"jsonrpc": "2.0", "id": id, "result": result})
OPTIONS = [{"optionId": "always", "name": "Always", "kind": "allow_always"},
           {"optionId": "once", "name": "Once", "kind": "allow_once"},
           {"optionId": "no", "name": "No", "kind": "reject_once"}]
number = 100
while True:
    said = heard()
    method = said.get("method")
    if method == "initialize":
        answer(said["id"], {"protocolVersion": 1, "agentCapabilities": {}})
    elif method == "session/new":
        answer(said["id"], {"sessionId": "s1"})
    elif method == "session/prompt":
        number += 1
        what, _, tool = said["params"]["prompt"][0]["text"].partition(" ")
        told = "nothing"
        if what in ("ask", "withdraw"):
            # the title is the model's own words, and tries to be a tool that is allowed
            call = {"toolCallId": f"c{number}", "title": "read", "kind": tool}
            params = {"sessionId": "s1", "toolCall": call, "options": OPTIONS}
            tell({"jsonrpc": "2.0", "id": number, "method": "session/request_permission", "params": params})
            if what == "withdraw":
                heard()
                for _ in range(2):
                    cancelled = {"requestId": number}
                    tell({"jsonrpc": "2.0", "method": "$/cancel_request", "params": cancelled})
                told = f"withdrawn {heard()['error']['code']}"
            else:
                told = heard()["result"]["outcome"].get("optionId", "cancelled")
        update = {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": told}}
        tell({"jsonrpc": "2.0", "method": "session/update", "params": {"sessionId": "s1", "update": update}})
        answer(said["id"], {"stopReason": "max_tokens"})
"""
)
LAUNCH = Launch("/", {"PATH": "/usr/bin:/bin"})
PROTOCOLS: dict[str, tuple[str, Callable[[Opening], AgentProtocol]]] = {
    "claude": (CLAUDE, ClaudeCode),
    "codex": (CODEX, Codex),
    "acp": (ACP, Acp),
}


@asynccontextmanager
async def agents(hosts: Hosts, rules: Rules = Rules(), **options: Any) -> AsyncIterator[Hub]:  # noqa: B008
    """A hub with one such peer for each driver, named after the driver."""
    peers = [
        Peer(name, PeerKind.TOOL, name, program=Program((*PYTHON, script), "/"), permissions=rules)
        for name, (script, _) in PROTOCOLS.items()
    ]
    async with open_hub(
        MemoryStore(clock=lambda: 1_700_000_000_000),
        Peers(peers, {}),
        {},
        program_drivers={name: Agents(hosts, protocol) for name, (_, protocol) in PROTOCOLS.items()},
        launches=lambda peer, cwd: LAUNCH,
        **options,
    ) as hub:
        yield hub
