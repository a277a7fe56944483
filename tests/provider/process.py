"""The provider as a child process, controlled through HTTP routes, for end-to-end tests and benchmarks."""

import subprocess
import sys
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from tests.provider.script import Script

_ROOT = Path(__file__).parents[2]


class ProviderProcess:
    """Runs `python -m tests.provider` with these arguments for the `with` block."""

    def __init__(self, *arguments: str) -> None:
        self._command = [sys.executable, "-m", "tests.provider", *arguments]
        self.url = ""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True, cwd=_ROOT)
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().removeprefix("listening on ").strip()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdout is not None
        self._process.terminate()
        self._process.wait()
        self._process.stdout.close()

    def script(self, *scripts: Script, default: Script | None = None) -> None:
        """Put scripts at the end of the queue, and set the default answer for when it is empty."""
        self._call("POST", "/_script", {"queue": scripts, "default": default})

    def calls(self) -> list[dict[str, Any]]:
        """Return all calls so far: number, path, headers, body, outcome."""
        calls: list[dict[str, Any]] = msgspec.json.decode(self._call("GET", "/_requests"))
        return calls

    def forget(self) -> None:
        """Clear the recorded calls and the queue."""
        self._call("DELETE", "/_requests")

    def begin_anew(self) -> None:
        """Forget everything, like a new process."""
        self._call("DELETE", "/_script")

    def reached(self, gate: str) -> None:
        """Wait until an answer has reached the gate."""
        self._call("GET", f"/_gates/{gate}")

    def release(self, gate: str) -> None:
        """Open the gate."""
        self._call("POST", f"/_gates/{gate}")

    def _call(self, method: str, path: str, body: object = None) -> bytes:
        data = None if body is None else msgspec.json.encode(body)
        request = urllib.request.Request(self.url + path, data=data, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            content: bytes = answer.read()
        return content
