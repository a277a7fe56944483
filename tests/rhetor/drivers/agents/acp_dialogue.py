"""A conversation over ACP, replayed from a recording or made up."""

import json
from pathlib import Path
from typing import Any

from rhetor.domain.output import Plain
from rhetor.drivers.agents.acp.protocol import Acp
from rhetor.drivers.agents.protocol import Decoded, Opening
from tests.rhetor.drivers.agents.replay import METHODS

DATA = Path(__file__).parents[3] / "data" / "agents"
CWD = "/home/user/work"
RECORDINGS = [
    f"{agent}_{kind}" for agent in ("opencode", "gemini") for kind in ("turns", "resume", "fork", "model")
]
ONCE = {"optionId": "once", "name": "Allow once", "kind": "allow_once"}
Step = dict[str, Any]


def steps(name: str) -> list[Step]:
    return [json.loads(line) for line in (DATA / f"acp_{name}.jsonl").read_text().splitlines()]


def opening(name: str) -> Opening:
    """How the conversation of a recording was opened."""
    agent, _, kind = name.partition("_")
    if kind == "turns":
        return Opening(CWD)
    if kind == "model":
        return Opening(CWD, model="stub/other" if agent == "opencode" else "gemini-2.5-pro")
    opened = (step["read"].get("result", {}) for step in steps(f"{agent}_turns") if "read" in step)
    session_id = next(result["sessionId"] for result in opened if "sessionId" in result)
    return Opening(CWD, {"session_id": session_id, "prompts": 8, "open": True}, fork=kind == "fork")


class Dialogue:
    """A protocol, with all that it wrote and all its outputs, in order."""

    def __init__(self, opening: Opening) -> None:
        self.protocol = Acp(opening)
        self.written: list[Any] = []
        self.outputs: list[Plain] = []
        self.ends: list[str] = []

    def do(self, name: str, *arguments: Any) -> list[Any]:
        self.settle()
        return self.write(getattr(self.protocol, METHODS.get(name, name))(*arguments))

    def write(self, lines: tuple[bytes, ...]) -> list[Any]:
        """Write lines; a barrier after the end of a prompt is answered at once, as real agents do."""
        written = [json.loads(line) for line in lines]
        for barrier in [one for one in written if str(one.get("id")).startswith("end-")]:
            written.remove(barrier)
            self.hear(id=barrier["id"], error={"code": -32601, "message": "Method not found"})
        self.written += written
        return written

    def decode(self, line: bytes) -> Decoded:
        return self.take(self.protocol.decode(line))

    def settle(self) -> None:
        """Let the pause after which the protocol settles pass."""
        if self.protocol.settle_after is not None:
            self.take(self.protocol.settle())

    def take(self, heard: Decoded) -> Decoded:
        self.write(heard.writes)
        self.outputs += heard.outputs
        if heard.ended:
            done = "done" if heard.finish_reason == "stop" else heard.finish_reason
            self.ends.append(
                done if heard.failure is None else f"{heard.failure.code}: {heard.failure.detail}"
            )
        return heard

    def hear(self, **message: Any) -> Decoded:
        return self.decode(json.dumps({"jsonrpc": "2.0"} | message).encode())

    def update(self, kind: str, **fields: Any) -> Decoded:
        params = {"sessionId": "s", "update": {"sessionUpdate": kind, **fields}}
        return self.hear(method="session/update", params=params)

    def ready(self, can: dict[str, Any] | None = None, **result: Any) -> "Dialogue":
        """Send the first message of a new conversation, and let the agent become ready."""
        self.do("open")
        self.do("say", "hello")
        self.hear(id="initialize", result={"protocolVersion": 1, "agentCapabilities": can or {}})
        self.hear(id="session", result={"sessionId": "s", **result})
        return self

    def ask(self, id: Any, options: list[Any] | None = None) -> Decoded:
        params = {
            "toolCall": {"toolCallId": "c", "title": "rm x", "kind": "execute"},
            "options": [ONCE] if options is None else options,
        }
        return self.hear(id=id, method="session/request_permission", params=params)


def done(dialogue: Dialogue, number: int, **result: Any) -> None:
    dialogue.hear(id=f"prompt-{number}", **(result or {"result": {"stopReason": "end_turn"}}))
    dialogue.settle()
