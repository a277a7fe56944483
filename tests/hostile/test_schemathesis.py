"""Schemathesis, with all its phases and checks, finds nothing wrong with the OpenAPI page."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.e2e.home import BIN
from tests.hostile.running import RunningHub, at_a_port
from tests.hostile.test_description import OWNERS, generated_from
from tests.scale import FULL, scaled

pytestmark = pytest.mark.long

# what `make test` sends requests to: a body with a choice, a name in the path, a fixed path
SLICE = ("/api/mcp-servers", "/api/v2/routes/{name}", "/api/sessions/active")
# Ids of what exists; Schemathesis finds the others in responses. 410 rejects an invalid request too, if its
# cursor is lost. A message to a session that was paused would wait until the session is resumed, and so would
# one that a budget limits.
PINNED = """
[checks.negative_data_rejection]
expected-statuses = ["400", "401", "403", "404", "405", "406", "409", "410", "415", "422", "429", "5xx"]

[[operations]]
include-path = "/api/v2/sessions/{{id}}/message"
headers = {{ "Prefer" = "respond-async" }}

[[operations]]
include-path-regex = '/ai/\\{{id\\}}'
parameters = {{ "path.id" = "apollo" }}

[[operations]]
include-path-regex = '\\{{peer\\}}'
parameters = {{ "path.peer" = "apollo" }}

[[operations]]
include-path-regex = '/budgets/'
parameters = {{ "path.name" = "caller.nobody" }}

[[operations]]
include-path-regex = '/plans/\\{{id\\}}'
parameters = {{ "path.id" = "{plan}" }}
"""
# `accepts_valid_requests` does the same, but knows the hub's rules
REPLACED = "positive_data_acceptance"
HOOKS = {
    "SCHEMATHESIS_HOOKS": "tests.hostile.schemathesis_checks",
    "PYTHONPATH": str(Path(__file__).parents[2]),
}
SECONDS_FOR_ALL = 3600.0


def test_schemathesis_finds_nothing(hub: RunningHub, tmp_path: Path) -> None:
    token = str(hub.session.headers["authorization"])
    run(hub, hub.url, tmp_path, f"Authorization: {token}", paths=() if FULL else SLICE)


@pytest.mark.skipif(not FULL, reason="test_description.py has a few requests of the owner")
def test_schemathesis_finds_nothing_as_the_owner(hub: RunningHub, tmp_path: Path) -> None:
    """The operations that are forbidden to a client with the token. They need none."""
    paths = [label.split(" ")[1] for label in sorted(OWNERS)]
    excluded = f"{REPLACED},ignored_auth"
    with at_a_port(hub.socket) as url:
        without = "--generation-with-security-parameters=false"
        run(hub, url, tmp_path, "Host: localhost", without, excluded=excluded, paths=paths)


def run(
    hub: RunningHub,
    url: str,
    folder: Path,
    header: str,
    *options: str,
    excluded: str = REPLACED,
    paths: Sequence[str],
) -> None:
    """Run `st` over the paths; over all if there are none. `excluded`: checks that are left out."""
    page = folder / "page.json"
    page.write_text(json.dumps(generated_from()))
    config = folder / "schemathesis.toml"
    config.write_text(PINNED.format(plan=hub.plan_id))
    command = [
        *(str(BIN / "st"), f"--config-file={config}", "run", str(page), f"--url={url}"),
        *("-H", header, "--no-color", "--continue-on-failure", "--request-timeout=20"),
        *("--checks=all", f"--exclude-checks={excluded}"),
        *("--phases=examples,coverage,fuzzing,stateful" if FULL else "--phases=coverage",),
        *("--generation-deterministic", f"--max-examples={scaled(30, 1)}"),
        *options,
        *(f"--include-path={path}" for path in paths),
    ]
    ended = subprocess.run(
        command,
        env={**os.environ, **HOOKS},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=SECONDS_FOR_ALL,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert hub.ask("POST", "/api/v2/ai/apollo/message", json={"content": "hi"}).status_code == 200
