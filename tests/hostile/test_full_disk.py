"""The disk of a running hub is full: the hub rejects messages, keeps reading, and recovers by itself."""

from __future__ import annotations

import errno
import time
from pathlib import Path

import pytest
import requests
from tests.e2e.home import Machine
from tests.hostile.disk import small_disk
from tests.hostile.running import RunningHub, running_hub

MESSAGE = "/api/v2/ai/apollo/message"


def fill(disk: Path) -> Path:
    """Fill the disk with one file; return it."""
    file = disk / "ballast"
    with file.open("wb", buffering=0) as ballast:
        while True:
            try:
                ballast.write(bytes(4096))
            except OSError as error:
                assert error.errno == errno.ENOSPC
                return file


def send(hub: RunningHub, content: str) -> requests.Response:
    return hub.ask("POST", MESSAGE, json={"content": content})


def questions(hub: RunningHub) -> list[str]:
    found = hub.ask("GET", "/api/v2/history?limit=1000").json()["history"]
    return [exchange["message"] for exchange in reversed(found)]


def until_refused(hub: RunningHub, taken: list[str]) -> requests.Response:
    """Send until the hub rejects a message; add the accepted ones to `taken`."""
    for number in range(2000):
        content = f"{number} " + "x" * 4000
        answer = send(hub, content)
        if answer.status_code == 503:
            return answer
        assert answer.status_code == 200
        taken.append(content)
    raise AssertionError("the disk did not fill up")


@pytest.mark.long
@pytest.mark.alone
def test_a_full_disk_rejects_messages_and_loses_nothing_until_there_is_space(
    tmp_path: Path,
) -> None:
    with small_disk(tmp_path / "disk", "6m") as folder, running_hub(folder / "home") as hub:
        taken: list[str] = [f"{number} before" for number in range(3)]
        assert [send(hub, content).status_code for content in taken] == [200] * 3
        ballast = fill(folder)
        refused = until_refused(hub, taken)
        problem = refused.json()
        assert refused.headers["content-type"] == "application/problem+json"
        assert (problem["code"], problem["retryable"]) == ("store_refused", True)
        assert refused.headers["retry-after"] == "1"
        shell = Machine(folder / "home").run("apollo", "hi")
        assert (shell.returncode, shell.stdout, "Traceback" in shell.stderr) == (1, "", False)
        assert hub.ask("GET", "/api/v2/ai").status_code == 200
        assert set(taken) <= set(questions(hub))
        assert _slowest_health(hub) < 0.1
        ballast.unlink()
        assert send(hub, "after").status_code == 200
        assert set(questions(hub)) >= {*taken, "after"}
        whole = questions(hub)
    assert len(whole) == len(set(whole))


def _slowest_health(hub: RunningHub) -> float:
    """Return the second longest time of 100 health checks, in seconds."""
    times = []
    for _ in range(100):
        began = time.perf_counter()
        assert hub.ask("GET", "/healthz").status_code == 200
        times.append(time.perf_counter() - began)
    return sorted(times)[-2]
