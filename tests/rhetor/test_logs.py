"""The hub's log: masking, rate limits and rotation."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from rhetor import logs
from rhetor.domain.secrets import Secrets

KEY = "sk-CANARY-1234567890"
WRITES = """
import logging, sys
from pathlib import Path
from rhetor import logs
from rhetor.domain.secrets import Secrets
logs.LOG_BYTES = 20_000
logs.start(Secrets(), Path(sys.argv[1]))
for number in range(300):
    logging.getLogger("rhetor.hub").info("line", extra={"number": number, "filler": "x" * 100})
    logging.getLogger("rhetor.transports.server").warning("invalid request from %s", number)
"""


def record(name: str = "rhetor.hub", event: str = "it failed", **extra: object) -> logging.LogRecord:
    made = logging.LogRecord(name, logging.WARNING, "", 0, event, None, None)
    vars(made).update(extra)
    return made


def test_a_line_is_json_in_utc_without_secrets_and_without_newlines() -> None:
    line = logs.JsonLines(Secrets([KEY])).format(record(reason=f"the key {KEY}\r\n{{forged}}"))
    assert "\n" not in line and KEY not in line
    found = json.loads(line)
    assert found["at"].endswith("Z")
    assert (found["event"], found["reason"]) == ("it failed", "the key [masked]\r\n{forged}")


def test_only_messages_about_clients_are_rate_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    repetition, now = logs.Repetition(), [0.0]
    monkeypatch.setattr("rhetor.logs.time.monotonic", lambda: now[0])
    assert sum(repetition.filter(record("uvicorn.error")) for _ in range(1000)) == logs.LIKE_LINES
    assert all(repetition.filter(record("rhetor.hub.turns")) for _ in range(1000))
    assert repetition.filter(record("uvicorn.error", "another event"))
    now[0] = logs.LIKE_SECONDS
    later = record("uvicorn.error")
    assert repetition.filter(later)
    assert vars(later)["left_out"] == 1000 - logs.LIKE_LINES


def test_a_large_log_is_rotated(tmp_path: Path) -> None:
    path = tmp_path / "hub.log"
    with path.open("ab") as stderr:
        subprocess.run([sys.executable, "-c", WRITES, path], stderr=stderr, check=True)
    assert {file.name for file in tmp_path.iterdir()} == {"hub.log", "hub.log.1"}
    texts = [(tmp_path / name).read_text() for name in ("hub.log.1", "hub.log")]
    lines = [json.loads(line) for text in texts for line in text.splitlines()]
    numbers = [line["number"] for line in lines if line["event"] == "line"]
    assert numbers == list(range(numbers[0], 300))
    assert path.stat().st_size < 21_000
    assert path.stat().st_mode & 0o777 == 0o600


def _raised() -> Exception:
    try:
        try:
            raise KeyError(KEY)
        except KeyError as error:
            raise ExceptionGroup(KEY, [ValueError(KEY)]) from error
    except ExceptionGroup as group:
        return group


def test_with_encryption_no_line_quotes_what_was_said() -> None:
    formatter = logs.JsonLines(quotes=False)
    failed = record("rhetor.hub.turns.turn_run", "turn failed", reason=f"it said {KEY}", turn="t_1")
    failed.exc_info = (ExceptionGroup, _raised(), None)
    found = json.loads(formatter.format(failed))
    assert (found["event"], found["turn"]) == ("turn failed", "t_1")
    assert [line for line in found["exception"].splitlines() if not line.startswith(" ")] == [
        "KeyError",
        "ExceptionGroup",
        "ValueError",
    ]
    assert "test_logs.py" in found["exception"]
    lines = [
        formatter.format(failed),
        formatter.format(record("asyncio", f"Task exception was never retrieved\nfuture: {KEY}")),
        formatter.format(record("mcp.client", f"Failed to validate {KEY}")),
    ]
    assert not any(KEY in line for line in lines)
    assert json.loads(lines[1])["event"] == "Task exception was never retrieved"
    kept = formatter.format(record("rhetor.store.sqlite.writer", reason="database or disk is full"))
    assert json.loads(kept)["reason"] == "database or disk is full"


def test_with_encryption_errors_that_nobody_handles_are_logged_without_quotes(tmp_path: Path) -> None:
    code = f"""
import sys, threading
from pathlib import Path
from rhetor import logs
from rhetor.domain.secrets import Secrets
logs.start(Secrets(), Path(sys.argv[1]), quotes=False)
class Unraisable:
    def __del__(self):
        raise ValueError({KEY!r})
Unraisable()
def fail():
    raise ValueError({KEY!r})
thread = threading.Thread(target=fail)
thread.start()
thread.join()
"""
    ran = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "log"], capture_output=True, text=True, check=True
    )
    events = [json.loads(line)["event"] for line in ran.stderr.splitlines()]
    assert events == ["unhandled error", "unhandled error in a thread"]
    assert KEY not in ran.stderr
