"""When a schedule is due: cron expressions, time zones and daylight saving time.

cronsim follows the cron of Debian. A fixed time of day that is skipped when the clocks go forward is due
right after the gap, and one that occurs twice when they go back is due the first time only. Expressions whose
minute or hour begins with `*` follow the time that really passes.
"""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rhetor.errors import Unprocessable

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
FIELDS = 5
MOST_CHARACTERS = 200
_LOCALTIME, _TIMEZONE = Path("/etc/localtime"), Path("/etc/timezone")
_HOW = 'use five fields such as "0 8 * * 1-5" (minute, hour, day, month, weekday), or @daily'


def next_time(cron: str, zone: str, after: int) -> int | None:
    """Return the first due time after a time; None if there is none within 50 years. Both are Unix times in
    milliseconds.

    Raises:
        Unprocessable: the expression or the time zone is invalid.
    """
    from cronsim import CronSim, CronSimError  # on first use: most hubs have no schedules

    expression = _expression(cron)
    begin = datetime.fromtimestamp(after // 1000, zone_of(zone))
    try:
        for found in CronSim(expression, begin):
            at = int(found.timestamp()) * 1000
            if at > after:  # of a time that occurs twice, the first one may be past
                return at
    except CronSimError as error:
        raise Unprocessable(f"invalid times {cron!r}: {str(error).lower()}; {_HOW}", field="cron") from None
    return None


def last_time(cron: str, zone: str, since: int, until: int) -> int:
    """Return the last due time from the due time `since` to `until`. All are Unix times in milliseconds."""
    from cronsim import CronSim

    end = datetime.fromtimestamp(until // 1000 + 1, zone_of(zone))
    found = next(CronSim(_expression(cron), end, reverse=True), None)
    # going back, cronsim does not find a time that was moved because it does not exist
    return since if found is None else max(since, int(found.timestamp()) * 1000)


def zone_of(name: str) -> ZoneInfo:
    """Return the time zone with this name.

    Raises:
        Unprocessable: there is none.
    """
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown, not a name, or a folder of names
        hint = "use a name such as Europe/Berlin or UTC"
        raise Unprocessable(f"unknown time zone {name[:100]!r}; {hint}", field="timezone") from None


def machine_zone() -> str:
    """Return the name of this machine's time zone; UTC if it has none."""
    for name in _machine_zones():
        try:
            zone_of(name)
        except Unprocessable:
            continue
        return name
    return "UTC"


def _machine_zones() -> list[str]:
    found = [os.environ.get("TZ", "").removeprefix(":")]
    try:
        found.append(str(_LOCALTIME.resolve()).partition("zoneinfo/")[2])
        found.append(_TIMEZONE.read_text(encoding="utf-8").strip())
    except (OSError, UnicodeDecodeError):
        pass
    return [name for name in found if name]


def _expression(cron: str) -> str:
    words = cron.lower().split()
    if len(words) == 1 and words[0] in NICKNAMES:
        return NICKNAMES[words[0]]
    if words[:1] == ["@reboot"]:
        raise Unprocessable("invalid times '@reboot': a schedule runs at times of day", field="cron")
    if len(words) != FIELDS or len(cron) > MOST_CHARACTERS:
        raise Unprocessable(f"invalid times {cron[:MOST_CHARACTERS]!r}; {_HOW}", field="cron")
    return cron
