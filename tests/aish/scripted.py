"""A scripted hub, and a shell that runs against it as a real process."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

Script: TypeAlias = Callable[[socket.socket], None]

PROVIDER_PREFIXES = ("ANTHROPIC_", "OLLAMA_", "OPENAI_", "OPENROUTER_", "RHETOR_")
TIMEOUT = 60.0
APOLLO = "POST /api/v2/ai/apollo/stream"
SESSION = {"x-session-id": "s_1", "x-turn-id": "t_1"}


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: Mapping[str, str]
    body: Any


class ScriptedHub:
    """Listens in `home`. Each request is answered by the next script for its route, the last one for ever."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.requests: list[Request] = []
        self._scripts: defaultdict[str, deque[Script]] = defaultdict(deque)
        self._arrived = threading.Condition()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(home / "hub.sock"))
        self._listener.listen(64)
        self._accepting = threading.Thread(target=self._serve, daemon=True)
        self._accepting.start()

    def on(self, route: str, *scripts: Script | bytes) -> None:
        """Set the scripts of a route such as `POST /path`. Bytes are sent unchanged."""
        self._scripts[route].extend(s if callable(s) else _sending(s) for s in scripts)

    def replace(self, route: str, script: bytes) -> None:
        """Set the only script of a route."""
        self._scripts[route] = deque([_sending(script)])

    def wait_for(self, route: str) -> Request:
        """Wait for the first request for a route, and return it."""
        with self._arrived:
            found = self._arrived.wait_for(lambda: self._found(route), TIMEOUT)
        assert found, f"no request for {route} among {[(r.method, r.path) for r in self.requests]}"
        return found

    def bodies(self, route: str) -> list[Any]:
        """Return the bodies sent to a route; messages without their `cwd`, which `folders` returns."""
        found = [r.body for r in self.requests if f"{r.method} {r.path}" == route]
        if route.endswith(("/message", "/stream", "/plans")):
            return [{key: value for key, value in body.items() if key != "cwd"} for body in found]
        return found

    def folders(self, route: str) -> list[Any]:
        return [r.body.get("cwd") for r in self.requests if f"{r.method} {r.path}" == route]

    def close(self) -> None:
        if not self._accepting.is_alive():
            return
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes the accepting thread
        self._accepting.join()
        self._listener.close()

    def _found(self, route: str) -> Request | None:
        return next((r for r in self.requests if f"{r.method} {r.path}" == route), None)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            request = _read(connection)
            if request is None:
                return
            route = f"{request.method} {request.path}"
            with self._arrived:
                scripts = self._scripts[route] or deque([_sending(_default(route))])
                script = scripts.popleft() if len(scripts) > 1 else scripts[0]
                self.requests.append(request)
                self._arrived.notify_all()
            script(connection)


def _default(route: str) -> bytes:
    """Return the response to a request without a script."""
    if route == "GET /api/v2/aliases":
        return answer({"aliases": []})
    return problem(404, "not_found", f"no {route}")


def _sending(data: bytes) -> Script:
    return lambda connection: connection.sendall(data)


def _read(connection: socket.socket) -> Request | None:
    """Read a request; None if the client only checked that the hub is listening."""
    with connection.makefile("rb") as reader:
        begin = reader.readline().decode()
        if not begin:
            return None
        method, path, _ = begin.split(" ")
        headers: dict[str, str] = {}
        while line := reader.readline().strip():
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        size = int(headers.get("content-length", 0))
        return Request(method, path, headers, json.loads(reader.read(size)) if size else None)


def answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> bytes:
    body = json.dumps(value).encode()
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {text}" for name, text in (headers or {}).items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def problem(status: int, code: str, detail: str, **data: Any) -> bytes:
    return answer({**data, "status": status, "code": code, "detail": detail}, status)


def stream_head(headers: Mapping[str, str] | None = None) -> bytes:
    lines = ["HTTP/1.1 200 OK", "Content-Type: text/event-stream", "Transfer-Encoding: chunked"]
    lines += [f"{name}: {text}" for name, text in (headers or {}).items()]
    return "\r\n".join([*lines, "", ""]).encode()


def frame(value: Mapping[str, Any]) -> bytes:
    """Return one event of a stream as one chunk."""
    event = b"id: e:1\ndata: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(event), event)


END = b"0\r\n\r\n"


def stream(*events: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> bytes:
    return stream_head(headers) + b"".join(map(frame, events)) + END


def content(text: str, **more: Any) -> dict[str, Any]:
    return {"type": "content", "data": text, "specialist_id": "apollo", **more}


DONE = {"type": "done", "specialist_id": "apollo"}


def says(*texts: str, headers: Mapping[str, str] | None = None) -> bytes:
    """Return a complete answer of a peer in these pieces."""
    return stream(*map(content, texts), DONE, headers=headers)


def event(type: str, step: str | None = None, **data: Any) -> dict[str, Any]:
    """Return a raw event of a plan's stream."""
    data = {"step": step, **data} if type.startswith("step.") else data
    return {"type": type, "plan_id": "p_1", "step": step, "turn_id": "t_1", "data": data}


def plan(*events: Mapping[str, Any], steps: Sequence[Mapping[str, Any]], status: str = "completed") -> bytes:
    begin, end = event("plan.started", steps=list(steps)), event("plan.ended", status=status)
    return stream(begin, *events, end, headers={"x-plan-id": "p_1"})


def spoken(step: str, peer: str, *texts: str) -> list[dict[str, Any]]:
    """Return all events of a successful step in a plan's stream."""
    started = event("step.started", step, peer=peer, session_id=None, turn_id="t_1")
    deltas = [event("output.delta", step, text=text, channel="answer") for text in texts]
    return [started, *deltas, event("step.done", step, text="".join(texts))]


def environment(home: Path, **more: str) -> dict[str, str]:
    """Return this process's environment without variables that would change the results."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(PROVIDER_PREFIXES)}
    kept.pop("NO_COLOR", None)
    return {**kept, "TZ": "UTC", "RHETOR_HOME": str(home), **more}


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str


class Shell:
    """Runs `aish` as a process, with `home` as its state folder and `folder` as its working directory."""

    def __init__(self, home: Path, folder: Path) -> None:
        self.home = home
        self.folder = folder
        self.environment = environment(home)

    def __call__(self, *words: str, given: str | bytes = "", env: Mapping[str, str] | None = None) -> Ran:
        data = given if isinstance(given, bytes) else given.encode()
        ended = subprocess.run(
            self.command(*words),
            input=data,
            capture_output=True,
            cwd=self.folder,
            env={**self.environment, **(env or {})},
            timeout=TIMEOUT,
        )
        return Ran(ended.returncode, ended.stdout.decode(), ended.stderr.decode())

    @contextlib.contextmanager
    def running(self, *words: str, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
        """Run a shell, which is killed at the end of the block if it has not exited."""
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = subprocess.Popen(
            self.command(*words), cwd=self.folder, env=self.environment, **{**pipes, **options}
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()
            process.communicate()

    @staticmethod
    def command(*words: str) -> list[str]:
        return [sys.executable, "-m", "aish", *words]
