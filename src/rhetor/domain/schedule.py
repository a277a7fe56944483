"""A schedule: a line of the grammar that the hub runs at set times."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Overlap = Literal["skip", "queue"]
OVERLAPS: tuple[Overlap, ...] = ("skip", "queue")
Change = Literal["added", "replaced", "paused", "resumed", "removed"]
SCHEDULE_PEER = "hub:schedule"  # cannot collide: the name of a peer has no colon
SCHEDULE_DRIVER = "schedule"
MOST_OF_CALLER = 10_000
MOST_OF_AGENT = 100
MOST_QUEUED = 10  # runs of one schedule that wait for the one before them


class Rights(Struct, frozen=True, gc=False):
    """What a schedule may do: at most what its creator could do when it was created.

    `local`: as in `Principal`. `until`: the credential with which the rights end, as in `Grant.parent`; empty
    if they do not. `via`: the peers that the creator's message had passed through. `caller`: for whom the
    creator, a peer's program, was working; empty if for nobody.
    """

    scopes: tuple[str, ...] = ()
    local: bool = False
    until: str = ""
    via: tuple[str, ...] = ()
    caller: str = ""


class LastDue(Struct, frozen=True, gc=False):
    """The last due time, as Unix time in milliseconds. `skipped`: the code of the reason why it had no run;
    empty if it had one."""

    due: int
    skipped: str = ""


class Schedule(Struct, frozen=True, gc=False):
    """A line that runs at set times, and whose answers are in a session of its own.

    `cron`: five fields, or a nickname such as `@daily`, in the time zone `zone`. `overlap`: what happens to a
    run that is due while an earlier one is running. `session`: the name of the session, `session_id` its id.
    `cwd`: the creator's folder, for programs that run there. `due`: the next time; None if there is none,
    because the schedule is paused. `counted`: the time after which `due` is the next one. All times are Unix
    times in milliseconds.
    """

    id: str
    owner: str
    name: str
    cron: str
    zone: str
    line: str
    session: str
    session_id: str
    at: int
    overlap: Overlap = "skip"
    rights: Rights = Rights()
    cwd: str | None = None
    due: int | None = None
    counted: int = 0
    paused: bool = False
    last: LastDue | None = None
    version: int = 0

    @property
    def label(self) -> str:
        """How the audit and the messages of its runs name it."""
        return f"schedule {self.name}"
