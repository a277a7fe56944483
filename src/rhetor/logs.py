"""The hub's log: one JSON object per line, on stderr. JSON escapes the newlines in messages."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message", "taskName"}


class JsonLines(logging.Formatter):
    """Formats a record as an object with `at`, `level`, `logger`, `event` and the keys of `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {
            "at": at,
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        line |= {key: value for key, value in vars(record).items() if key not in _STANDARD}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def start(level: str = "INFO") -> None:
    """Send the log messages of all loggers, from `level` on, to stderr."""
    output = logging.StreamHandler(sys.stderr)
    output.setFormatter(JsonLines())
    logging.basicConfig(level=level, handlers=[output], force=True)
    # these log a line for each call to a provider, which the event log already records
    for noisy in ("httpx2", "httpcore2", "openai", "anthropic", "uvicorn.error"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
