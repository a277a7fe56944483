"""The installed hub in its own process, over TCP with its token."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from tests.e2e.home import BIN, SECONDS, Machine

# limits that no test reaches
PROFILE = {
    "RHETOR_LIMITS__MESSAGES_PER_SECOND": "1000000",
    "RHETOR_LIMITS__MESSAGES_BURST": "1000000",
    "RHETOR_LIMITS__ATTEMPTS_PER_MINUTE": "1000000",
    "RHETOR_LIMITS__CONNECTIONS_PER_MINUTE": "1000000",
    "RHETOR_LIMITS__CONNECTIONS_AT_ONCE": "1000000",
}
LINE = re.compile(r"rhetor listening on (http://127\.0\.0\.1:\d+) ")


@dataclass(frozen=True)
class RunningHub:
    """`session` sends the token; `plan_id`: a plan that has run."""

    url: str
    session: requests.Session
    plan_id: str
    process: subprocess.Popen[str]

    def ask(self, method: str, path: str, **options: Any) -> requests.Response:
        return self.session.request(method, f"{self.url}{path}", timeout=SECONDS, **options)


@contextmanager
def running_hub(
    folder: Path, settings: Mapping[str, str] | None = None, rhetor: Sequence[str] = (f"{BIN}/rhetor",)
) -> Iterator[RunningHub]:
    """Run a hub. `settings`: environment variables; `rhetor`: the command."""
    machine = Machine(folder)
    environment = {**machine.environment, "RHETOR_MODELS__DEFAULT": "offline", **PROFILE, **(settings or {})}
    command = [*rhetor, "serve", "--port", "0"]
    with (
        subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as process,
        requests.Session() as session,
    ):
        assert process.stdout is not None
        found = LINE.match(process.stdout.readline())
        assert found is not None
        session.headers["authorization"] = f"Bearer {(folder / 'token').read_text().strip()}"
        session.trust_env = False
        planned = session.post(f"{found[1]}/api/v2/plans", json={"line": "apollo hi"}, timeout=SECONDS)
        try:
            yield RunningHub(found[1], session, planned.headers["x-plan-id"], process)
        finally:
            process.terminate()
            process.wait(SECONDS)
