"""The line that shows the progress of long work."""

from __future__ import annotations

QUIET_SECONDS = 2.0  # before which no line is shown


def describe(what: str, seconds: float, done: int, total: int | None, unit: str) -> str:
    """Return the line: `checkpoint  4,000 of 10,000 files  2,000/s  3 s left`."""
    if not done:
        return f"{what}  {_duration(seconds)}"
    rate = done / seconds if seconds else 0.0
    of = "" if total is None else f" of {max(total, done):,}"
    shown = f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}"
    left = "" if total is None or not rate else f"  {_duration(max(total - done, 0) / rate)} left"
    return f"{what}  {done:,}{of} {unit}  {shown}/s{left}"


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    return f"{whole // 60} min" if whole < 6000 else f"{whole // 3600} h {whole % 3600 // 60} min"
