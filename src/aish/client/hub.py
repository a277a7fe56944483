"""Requests to the hub over its Unix socket: HTTP/1.1, one connection per request.

This module finds the hub, starts it if none is running, and sends requests. It does not know what they mean.
The standard library's `socket` and `http.client` take longer to import than a run of the shell may last.
"""

import _socket
import os

from aish import exits
from aish.client.connection import connect
from aish.client.home import own_key, state_home
from aish.client.json_sse import decode, encode
from aish.client.response import NO_RESPONSE, Response
from aish.exits import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from aish.client.response import Stream

NO_HUB = "no_hub"  # the `problem` of a failure: no hub is running, and this client must not start one
_RETRY_PAUSE = 0.2  # seconds
_UNKNOWN = {"unknown_peer": exits.PEER, "unknown_team": "TEAM", "no_capable_peer": "CAPABILITY"}
_KINDS = {"MCP server": "SERVER", "permission request": "PERMISSION"}
_LISTED = {  # the command that lists the names of a kind
    "alias": "aish alias list",
    "budget": "aish usage --budgets",
    "forward": "aish forward list",
    "login": "aish console logins",
    "MCP server": "aish mcp list",
    "project": "aish project list",
    "recipient of notifications": "aish notify list",
    "route": "aish route list",
    "schedule": "aish schedule list",
    "session": "aish sessions list --all",
    "specialist": "aish specialist list",
}


class Binary:
    """The binary body of a request."""

    def __init__(self, content: bytes, media_type: str) -> None:
        self.content = content
        self.media_type = media_type


class Hub:
    """The hub of this user. `deadline` (on `time.monotonic`) limits every wait; None means no limit."""

    def __init__(self, home: str | None = None, *, may_start: bool = True) -> None:
        self.home = home or state_home()
        self.deadline: float | None = None
        self._may_start = may_start
        self._fingerprint = _fingerprint()

    def open(self, method: str, path: str, body: "Any" = None, *, accept: str = "") -> Response:
        """Send a request, and return the response when its head has arrived. Its status is below 400.
        `body`: a JSON value, or `Binary` content.

        Raises:
            Failure: the hub cannot be reached, or rejects the request.
        """
        response = self._send_with_retry(method, path, body, accept)
        if response.status == 409 and self._fingerprint:
            failure = response_failure(response)
            if failure.problem != "environment_differs":
                raise failure
            self._send_environment()
            response = self._send(method, path, body, accept)
        if response.status >= 400:
            raise response_failure(response)
        return response

    def stream(self, path: str, body: "Any", *, accept: str = "") -> "Stream":
        """Post a message or a plan, and return the stream of its answer's events.

        Raises:
            Failure: the hub cannot be reached, or rejects the request.
        """
        return self.open("POST", path, body, accept=accept)

    def ask(self, method: str, path: str, body: "Any" = None) -> "Any":
        """Send a request, and return the JSON value of the response, or None if it is empty.

        Raises:
            Failure: the hub cannot be reached, rejects the request, or does not answer with JSON.
        """
        response = self.open(method, path, body)
        try:
            content = response.body()
            return decode(content) if content else None
        except ValueError:
            raise Failure("the hub's answer is not valid JSON", exits.UNREACHABLE) from None
        finally:
            response.close()

    def connect(self) -> _socket.socket:
        """Return a connection to the hub. If no hub is running, start one if the client may.

        Raises:
            Failure: the hub cannot be reached or started.
        """
        try:
            return connect(self.home)
        except (FileNotFoundError, ConnectionRefusedError):
            if not self._may_start:
                raise Failure("no hub is running", exits.UNREACHABLE, problem=NO_HUB) from None
            from aish.client.start import start_hub

            return start_hub(self.home)
        except OSError as error:
            raise Failure(f"cannot reach the hub: {error.strerror}", exits.UNREACHABLE) from None

    def _send_with_retry(self, method: str, path: str, body: "Any", accept: str) -> Response:
        """Send a request, and send a GET again if the hub accepts the connection and then exits."""
        if method == "GET":
            try:
                return self._send(method, path, body, accept)
            except Failure as failure:
                if failure.problem != NO_RESPONSE:
                    raise
            import time

            time.sleep(_RETRY_PAUSE)
        return self._send(method, path, body, accept)

    def _send(self, method: str, path: str, body: "Any", accept: str) -> Response:
        connection = self.connect()
        is_binary = isinstance(body, Binary)
        content = body.content if is_binary else b"" if body is None else encode(body)
        head = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close"]
        if content:
            media_type = body.media_type if is_binary else "application/json"
            head += [f"Content-Type: {media_type}", f"Content-Length: {len(content)}"]
        if accept:
            head.append(f"Accept: {accept}")
        if key := own_key():
            head.append(f"Authorization: Bearer {key}")
        if self._fingerprint:
            head.append(f"x-rhetor-env: {self._fingerprint}")
        if model := os.environ.get("RHETOR_MODEL"):
            head.append(f"x-rhetor-model: {quote(model)}")
        try:
            connection.sendall("\r\n".join([*head, "", ""]).encode() + content)
        except ConnectionError:
            pass  # the hub rejected the request before it was complete; the response has the reason
        return Response(connection, self.deadline)

    def _send_environment(self) -> None:
        from rhetor.domain.provider_variables import provider_variables

        response = self._send("PUT", "/api/v2/environment", {"variables": provider_variables()}, "")
        if response.status >= 400:
            raise response_failure(response)
        response.close()


def quote(name: str) -> str:
    """Return the name, percent-encoded as one segment of a path."""
    plain = "-_.~"
    return "".join(
        char if char.isascii() and (char.isalnum() or char in plain) else _percent(char) for char in name
    )


def _percent(char: str) -> str:
    return "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "replace"))


def _fingerprint() -> str:
    """Return a fingerprint of this shell's provider variables; empty if it has none."""
    for name in os.environ:
        if name.startswith(("ANTHROPIC_", "OLLAMA_", "OPENAI_", "OPENROUTER_")):
            from rhetor.domain.provider_variables import fingerprint

            return fingerprint()
    return ""


def problem_failure(problem: "dict[str, Any]", status: int) -> Failure:
    """Return the failure for a problem that the hub reports, with its exit code and its hint."""
    code, detail = str(problem.get("code", "")), str(problem.get("detail", ""))
    hint, unknown = str(problem.get("hint") or ""), _unknown(code, problem)
    if code == "not_found" and not hint and (listed := _LISTED.get(str(problem.get("kind")))):
        hint = f"{listed} shows those that exist"
    if code == "unknown_peer" and "peer" in problem:
        detail = exits.unknown(unknown[1]).message
    exit_code = exits.exit_code(code, status)
    return Failure(detail, exit_code, status=status, problem=code, hint=hint, unknown=unknown)


def _unknown(code: str, problem: "dict[str, Any]") -> tuple[str, str]:
    """Return the kind of the name that the hub does not know, and the name."""
    if code == "not_found":
        kind = str(problem.get("kind"))
        return _KINDS.get(kind, kind.upper()), str(problem.get("id"))
    kind = _UNKNOWN.get(code, "")
    return (kind, str(problem.get(kind.lower(), ""))) if kind else ("", "")


def response_failure(response: Response) -> Failure:
    """Close a response whose status is 400 or above, and return the failure for it."""
    try:
        problem = decode(response.body())
    except ValueError:
        problem = None
    response.close()
    if not isinstance(problem, dict):
        problem = {"detail": f"the hub answered with status {response.status}"}
    return problem_failure(problem, response.status)
