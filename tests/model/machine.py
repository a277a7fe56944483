"""A machine with the small local model, fetched once from where this machine gets its packages."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.e2e.home import SECONDS, Machine

# the tests have a HOME of their own, without the configuration and the cache of uv and pip
HOME = os.environ.get("HOME", "")
UV = Path(__file__).parents[2] / ".tools/bin"  # where make setup puts it if the PATH has none
_PACKAGES = ("PIP_", "UV_", "SSL_", "REQUESTS_CA", "XDG_CACHE", "XDG_CONFIG")


class ModelMachine(Machine):
    """A user's machine whose hub finds uv or pip, and no model but the small one."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        kept = {name: value for name, value in os.environ.items() if name.startswith(_PACKAGES)}
        path = f"{os.environ['PATH']}:{UV}"
        self.environment |= {**kept, "HOME": HOME, "PATH": path, "OLLAMA_HOST": "http://127.0.0.1:1"}

    def ask(self, *arguments: str, **more: Any) -> str:
        """Run `aish`, and return its stdout; it must succeed."""
        done = self.run(*arguments, **more)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def local_models(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.ask("models", "list", "json"))
        return found

    def model_pid(self, name: str = "smollm2") -> int | None:
        """Return the process of a model, as the hub names it."""
        return next((model["pid"] for model in self.local_models() if model["name"] == name), None)


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False
