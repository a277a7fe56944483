"""Times that a user writes, and how long ago something was."""

from aish import exits
from aish.exits import Failure

_UNITS = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_AGES = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def parse_time(text: str) -> str:
    """Convert `7d`, `12h`, `2026-11-01` or an RFC 3339 time to an RFC 3339 time in UTC.

    Raises:
        Failure: the text is none of these.
    """
    from datetime import UTC, datetime, timedelta

    number, unit = text[:-1], text[-1:]
    if unit in _UNITS and number.isdecimal() and len(number) < 7:
        return (datetime.now(UTC) - timedelta(seconds=int(number) * _UNITS[unit])).isoformat()
    try:
        return datetime.fromisoformat(text).astimezone(UTC).isoformat()
    except (ValueError, OverflowError):
        raise Failure(f"invalid time {text!r}; write 7d, 12h or 2026-11-01", exits.USAGE) from None


def age(at: str) -> str:
    """Return how long ago an RFC 3339 time was, in its largest unit: `5 min`."""
    from datetime import UTC, datetime

    seconds = max(0, int((datetime.now(UTC) - datetime.fromisoformat(at)).total_seconds()))
    size, unit = next((each for each in _AGES if seconds >= each[0]), _AGES[-1])
    return f"{seconds // size} {unit}"
