"""The hub's log: one JSON object per line, on stderr. JSON escapes the newlines in messages.

Secrets are masked. With encryption at rest, nothing is written that could quote what was said: neither the
messages of exceptions, nor the reasons of failed turns (which the event log has), nor messages of libraries.

If stderr is the log file of the hub's home, the file is replaced when it is large. What clients without a
token can cause is limited, so that it pushes nothing else out of the log.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rhetor.domain.secrets import Secrets

LOG_BYTES = 8 << 20  # of one file; the one before it is kept too
LIKE_LINES, LIKE_SECONDS = 20, 60.0  # at most so many lines of one event in so many seconds
# whatever a client sends can cause lines of these
_LIMITED = ("uvicorn", "asyncio", "websockets", "rhetor.transports", "rhetor.auth")
# whose reasons may quote a program, a model or an agent
_QUOTING = (
    "rhetor.hub.turns",
    "rhetor.hub.sessions",
    "rhetor.hub.programs",
    "rhetor.hub.plans",
    "rhetor.drivers.agents",
    "rhetor.drivers.models",
    "rhetor.drivers.model_tools",
)
_REASONS = frozenset({"reason", "why", "error"})
_PLAIN_LIBRARIES = ("asyncio", "uvicorn")  # the first lines of their messages say what happened, not to what
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message", "taskName"}


class JsonLines(logging.Formatter):
    """Formats a record as an object with `at`, `level`, `logger`, `event` and the keys of `extra`."""

    def __init__(self, secrets: Secrets | None = None, *, quotes: bool = True) -> None:
        """`quotes`: whether lines may quote what was said."""
        super().__init__()
        self._secrets = Secrets() if secrets is None else secrets
        self._quotes = quotes

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {
            "at": at.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage() if self._quotes else _without_quotes(record),
        }
        left_out = _STANDARD
        if not self._quotes and record.name.startswith(_QUOTING):
            left_out |= _REASONS
        line |= {key: value for key, value in vars(record).items() if key not in left_out}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return self._secrets.mask_json(json.dumps(line, default=str).encode()).decode()

    def formatException(self, ei: Any) -> str:
        error = ei[1]
        if self._quotes or error is None:
            return super().formatException(ei)
        return "".join(_frames(error))


def _without_quotes(record: logging.LogRecord) -> str:
    """Return the message of a record; of a library, only what is known to contain nothing else."""
    if record.name.startswith("rhetor"):
        return record.getMessage()
    if record.name.startswith(_PLAIN_LIBRARIES):
        return record.getMessage().partition("\n")[0]
    return f"a message from {record.module}:{record.lineno}"


def _frames(error: BaseException) -> Iterator[str]:
    """Yield the traceback of an error, and of those that led to it, without their messages."""
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        yield from _frames(cause)
    yield from traceback.format_tb(error.__traceback__)
    yield f"{type(error).__qualname__}\n"
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            yield from _frames(part)


class Repetition(logging.Filter):
    """Lets pass at most `LIKE_LINES` lines of one event from a logger that clients can make write, within
    `LIKE_SECONDS` seconds. The first line after that says how many were left out (`left_out`)."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.name.startswith(_LIMITED):
            return True
        now = time.monotonic()
        event = (record.name, str(record.msg))
        begun, count = self._seen.get(event, (now, 0))
        if now - begun >= LIKE_SECONDS:
            if count > LIKE_LINES:
                record.left_out = count - LIKE_LINES
            begun, count = now, 0
        self._seen[event] = (begun, count + 1)
        if len(self._seen) > 1000:  # events with a text of their own each
            self._seen.clear()
        return count < LIKE_LINES


class LogFile(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes to stderr. If that is the file `path`, the file is renamed to `path` with `.1` when it has
    `LOG_BYTES`, and stderr becomes a new one."""

    def __init__(self, path: Path) -> None:
        super().__init__(sys.stderr)
        self._path = path

    def emit(self, record: logging.LogRecord) -> None:
        super().emit(record)
        try:
            self._rotate_if_large()
        except OSError:
            self.handleError(record)

    def _rotate_if_large(self) -> None:
        ours = os.fstat(2)
        if (
            ours.st_size < LOG_BYTES
            or not self._path.exists()
            or not os.path.samestat(ours, self._path.stat())
        ):
            return
        self._path.replace(self._path.with_name(self._path.name + ".1"))
        fresh = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.dup2(fresh, 2)
        os.close(fresh)


def start(secrets: Secrets, path: Path, level: str = "INFO", *, quotes: bool = True) -> None:
    """Send the log messages of all loggers, from `level` on, to stderr. `path`: the log file of the hub.
    `quotes`: whether they may quote what was said."""
    output = LogFile(path)
    output.setFormatter(JsonLines(secrets, quotes=quotes))
    output.addFilter(Repetition())
    logging.basicConfig(level=level, handlers=[output], force=True)
    # these log a line for each call to a provider, which the event log already records
    for noisy in ("httpx2", "httpcore2", "openai", "anthropic", "uvicorn.error"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    if not quotes:
        _log_unhandled()


def start_file(secrets: Secrets, path: Path, level: str = "INFO") -> None:
    """Send the log messages of all loggers, from `level` on, to the file `path`, and leave stderr to what is
    said to a person. The file is replaced when it has `LOG_BYTES`."""
    from logging.handlers import RotatingFileHandler

    output = RotatingFileHandler(path, maxBytes=LOG_BYTES, backupCount=1, encoding="utf-8")
    output.setFormatter(JsonLines(secrets))
    logging.basicConfig(level=level, handlers=[output], force=True)
    logging.getLogger("websockets").setLevel(logging.WARNING)


def forget(path: Path) -> None:
    """Empty the log file, and remove the one before it. A hub that appends to it continues to do so."""
    path.with_name(path.name + ".1").unlink(missing_ok=True)
    with contextlib.suppress(FileNotFoundError):
        os.truncate(path, 0)


def _log_unhandled() -> None:
    """Log the errors that Python would print to stderr."""
    log = logging.getLogger(__name__)

    def in_thread(unhandled: threading.ExceptHookArgs) -> None:
        log.error("unhandled error in a thread", exc_info=unhandled.exc_value)

    def unraisable(unhandled: Any) -> None:
        log.error("unhandled error", exc_info=unhandled.exc_value)

    threading.excepthook = in_thread
    sys.unraisablehook = unraisable
