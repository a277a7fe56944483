"""What the hub holds in memory: by itself, and for each session that waits for its next message."""

from __future__ import annotations

from bench.load import Plan, post, put_load
from bench.process import RunningHub, resident, running_hub
from bench.table import Figure

STEPS = (10, 100, 1_000)
WARM, AT_ONCE = 30, 5
LIMIT_KB = 30.0


def run() -> list[Figure]:
    with running_hub() as hub:
        idle = resident(hub.pid)
        _open(hub, WARM)  # what the first sessions need is loaded, and not a session's own
        before, opened = resident(hub.pid), 0
        each: dict[int, float] = {}
        for step in STEPS:
            _open(hub, step - opened)
            opened = step
            each[step] = (resident(hub.pid) - before) / step
    first = Figure("hub resident, idle", f"{idle / 1024:.0f} MB", "≤90 MB", idle / 1024 <= 90)
    return [first, *(_figure(step, kilobytes) for step, kilobytes in each.items())]


def _figure(sessions: int, each: float) -> Figure:
    what = f"a waiting session, of {sessions:,}"
    if sessions < 100:  # one page more or less is too much of so few
        return Figure(what, f"{each:.1f} KB")
    return Figure(what, f"{each:.1f} KB", f"≤{LIMIT_KB:.0f} KB", each <= LIMIT_KB)


def _open(hub: RunningHub, count: int) -> None:
    request = post("/api/v2/sessions", {"specialist_id": "apollo"})
    put_load(Plan(request, "created_at", count, AT_ONCE, unix=hub.socket))
