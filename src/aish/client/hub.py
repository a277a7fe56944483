"""The hub over its Unix socket: one connection a request, HTTP/1.1 by hand.

It finds the hub, starts it where none runs, and sends requests; what they mean it refuses to know. `socket`,
`http.client` and the like cost more than the whole run of the shell may.
"""

import _socket
import os

from aish import exits
from aish.client.connection import connect
from aish.client.home import state_home
from aish.client.json_sse import decode, encode
from aish.client.response import UNANSWERED, Answer
from aish.exits import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from aish.client.response import Stream

NO_HUB = "no_hub"  # the `problem` of a failure: none runs, and none was to be started
_DYING_SECONDS = 0.2


class Hub:
    """The hub of this user. `deadline` (on `time.monotonic`) bounds every wait for an answer, None waits."""

    def __init__(self, home: str | None = None, *, may_start: bool = True) -> None:
        self.home = home or state_home()
        self.deadline: float | None = None
        self._may_start = may_start
        self._fingerprint = _fingerprint()

    def open(self, method: str, path: str, body: "Any" = None, *, accept: str = "") -> Answer:
        """Send a request; the answer's head is read and its status is below 400.

        Raises:
            Failure: the hub cannot be reached or refuses.
        """
        answer = self._answered(method, path, body, accept)
        if answer.status == 409 and self._fingerprint:
            refused = failure_of(answer)
            if refused.problem != "environment_differs":
                raise refused
            self._hand_over_environment()
            answer = self._send(method, path, body, accept)
        if answer.status >= 400:
            raise failure_of(answer)
        return answer

    def stream(self, path: str, body: "Any", *, accept: str = "") -> "Stream":
        """Post what peers are to answer; what they say, as it comes.

        Raises:
            Failure: the hub cannot be reached or refuses.
        """
        return self.open("POST", path, body, accept=accept)

    def ask(self, method: str, path: str, body: "Any" = None) -> "Any":
        """Send a request; its answer as a JSON value, None where it is empty.

        Raises:
            Failure: the hub cannot be reached, refuses, or answers no JSON.
        """
        answer = self.open(method, path, body)
        try:
            content = answer.body()
            return decode(content) if content else None
        except ValueError:
            raise Failure("the hub's answer is not JSON", exits.UNREACHABLE) from None
        finally:
            answer.close()

    def connect(self) -> _socket.socket:
        """A connection to the hub, which is started where none runs and it may be.

        Raises:
            Failure: there is none.
        """
        try:
            return connect(self.home)
        except (FileNotFoundError, ConnectionRefusedError):
            if not self._may_start:
                raise Failure("No hub is running", exits.UNREACHABLE, problem=NO_HUB) from None
            from aish.client.start import start_hub

            return start_hub(self.home)
        except OSError as error:
            raise Failure(f"the hub cannot be reached: {error.strerror}", exits.UNREACHABLE) from None

    def _answered(self, method: str, path: str, body: "Any", accept: str) -> Answer:
        """A hub that was killed may take connections for a moment yet; what only asks is then asked again."""
        if method == "GET":
            try:
                return self._send(method, path, body, accept)
            except Failure as failure:
                if failure.problem != UNANSWERED:
                    raise
            import time

            time.sleep(_DYING_SECONDS)
        return self._send(method, path, body, accept)

    def _send(self, method: str, path: str, body: "Any", accept: str) -> Answer:
        connection = self.connect()
        content = b"" if body is None else encode(body)
        head = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close"]
        if content:
            head += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
        if accept:
            head.append(f"Accept: {accept}")
        if self._fingerprint:
            head.append(f"x-rhetor-env: {self._fingerprint}")
        try:
            connection.sendall("\r\n".join([*head, "", ""]).encode() + content)
        except ConnectionError:
            pass  # refused while it was sent (too large): the answer says why
        return Answer(connection, self.deadline)

    def _hand_over_environment(self) -> None:
        from rhetor.domain.provider_variables import provider_variables

        answer = self._send("PUT", "/api/v2/environment", {"variables": provider_variables()}, "")
        if answer.status >= 400:
            raise failure_of(answer)
        answer.close()


def quote(name: str) -> str:
    """A name as one segment of a path."""
    plain = "-_.~"
    return "".join(
        char if char.isascii() and (char.isalnum() or char in plain) else _percent(char) for char in name
    )


def _percent(char: str) -> str:
    return "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "replace"))


def _fingerprint() -> str:
    """Which provider variables this shell has, without their values; empty where it has none."""
    for name in os.environ:
        if name.startswith(("ANTHROPIC_", "OLLAMA_", "OPENAI_", "OPENROUTER_", "RHETOR_MODEL")):
            from rhetor.domain.provider_variables import fingerprint

            return fingerprint()
    return ""


def refusal(problem: "dict[str, Any]", status: int) -> Failure:
    """What a problem of the hub says, and the exit code for it."""
    code, detail = str(problem.get("code", "")), str(problem.get("detail", ""))
    if code == "unknown_peer" and "peer" in problem:
        failure = exits.unknown(str(problem["peer"]))
        failure.status, failure.problem = status, code
        return failure
    return Failure(detail, exits.exit_code(code, status), status=status, problem=code)


def failure_of(answer: Answer) -> Failure:
    try:
        problem = decode(answer.body())
    except ValueError:
        problem = None
    answer.close()
    if not isinstance(problem, dict):
        problem = {"detail": f"the hub answered {answer.status}"}
    return refusal(problem, answer.status)
