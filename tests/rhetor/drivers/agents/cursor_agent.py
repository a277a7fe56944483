"""A program that imitates `cursor-agent -p --output-format stream-json` by its documentation. It answers as
the message says, without a model, and keeps its chats in its home."""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

CHATS = Path(os.environ["HOME"]) / "chats"


def tell(**said: Any) -> None:
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


def told(role: str, words: str) -> dict[str, Any]:
    return {"role": role, "content": [{"type": "text", "text": words}]}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("-p", action="store_true", required=True)
    parser.add_argument("--output-format", choices=["stream-json"], required=True)
    parser.add_argument("--resume", default="")
    parser.add_argument("message")
    asked = parser.parse_args()
    chat = asked.resume or f"chat-{os.getpid()}"
    file = CHATS / chat
    earlier = json.loads(file.read_text()) if file.exists() else []
    tell(type="system", subtype="init", session_id=chat, model="auto", cwd=str(Path.cwd()))
    tell(type="user", message=told("user", asked.message), session_id=chat)
    answer = {"fail": fail, "wait": wait, "run": run}.get(asked.message, echo)(chat)
    CHATS.mkdir(exist_ok=True)
    file.write_text(json.dumps([*earlier, asked.message]))
    answer += f", earlier {earlier}"
    tell(type="assistant", message=told("assistant", answer), session_id=chat)
    tell(type="result", subtype="success", is_error=False, result=answer, session_id=chat)
    if asked.message == "linger":
        time.sleep(600)


def echo(chat: str) -> str:
    return f"pid {os.getpid()}"


def fail(chat: str) -> str:
    sys.exit("a warning\nno credit is left")


def wait(chat: str) -> str:
    """Wait until the program or its child is ended."""
    child = subprocess.Popen(["sleep", "600"])
    tell(type="assistant", message=told("assistant", f"{os.getpid()} {child.pid}"), session_id=chat)
    child.wait()
    return " done"


def run(chat: str) -> str:
    call: dict[str, Any] = {"shellToolCall": {"args": {"command": "ls"}}}
    tell(type="tool_call", subtype="started", call_id="c1", tool_call=call, session_id=chat)
    call["shellToolCall"]["result"] = {"success": {"stdout": "a\n"}}
    tell(type="tool_call", subtype="completed", call_id="c1", tool_call=call, session_id=chat)
    return "a is there"


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    main()
