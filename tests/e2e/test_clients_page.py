"""The client of docs/how-to/clients.md, unchanged, while its hub is killed and stopped."""

from __future__ import annotations

import re
import signal
import threading
from pathlib import Path
from queue import Queue
from typing import Any

import pytest
from tests.e2e.home import SECONDS, Machine
from tests.e2e.restartable import RestartableHub

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "clients.md"
(PROGRAM,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.long
def test_the_client_loses_no_event_when_the_hub_is_killed_or_stopped(machine: Machine) -> None:
    names: dict[str, Any] = {}
    exec(PROGRAM, names)
    hub_process = RestartableHub(machine)
    session = hub_process.post("sessions", {"specialist_id": "apollo"})["id"]
    told: Queue[Any] = Queue()

    def listen() -> None:
        try:
            for event in names["follow"](hub_process.url, hub_process.token, session):
                told.put(event)
        except Exception as error:  # noqa: BLE001  # the test reads it
            told.put(error)

    threading.Thread(target=listen, daemon=True).start()
    seen: list[dict[str, Any]] = []
    for signum in (signal.SIGKILL, signal.SIGTERM, None):
        hub_process.post(f"sessions/{session}/message", {"message": f"before {signum}"})
        while not seen or seen[-1]["type"] != "turn.completed":
            event = told.get(timeout=SECONDS)
            assert isinstance(event, dict), event
            seen.append(event)
        if signum is not None:
            seen.append({"seq": 0, "type": "hub restarted"})
            hub_process.restart(signum)
    events = [event for event in seen if event["seq"]]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    said = [event["data"]["content"] for event in events if event["type"] == "message.accepted"]
    assert [text.split()[1] for text in said] == [str(s) for s in (signal.SIGKILL, signal.SIGTERM, None)]
    hub_process.end()


@pytest.mark.long
def test_a_lost_cursor_raises_lost(machine: Machine) -> None:
    names: dict[str, Any] = {}
    exec(PROGRAM, names)
    hub_process = RestartableHub(machine)
    session = hub_process.post("sessions", {"specialist_id": "apollo"})["id"]
    with pytest.raises(names["Lost"]):
        next(names["follow"](hub_process.url, hub_process.token, session, f"{'0' * 32}:1"))
    hub_process.end()
