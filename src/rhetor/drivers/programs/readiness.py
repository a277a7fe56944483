"""Decides whether a message may be typed into a program: it takes input, and runs no other command."""

from __future__ import annotations

import math
from typing import Final

import msgspec

from rhetor.drivers.programs.host.failures import HostLost, HostSilent, ProgramOver
from rhetor.drivers.programs.host.feed import Feed
from rhetor.drivers.programs.host.link import HostLink
from rhetor.drivers.programs.host.values import Reader

QUIET_SECONDS: Final = 0.6
SHARED_SECONDS: Final = 3.0  # how long the first message waits for output of one that waits for others, too
LOOK_SECONDS: Final = 0.1  # between two checks whether the program takes input
BUSY_SECONDS: Final = 60.0  # how long a message waits for what no message started
START_SECONDS: Final = 10.0  # how long the first message waits for a program of which nothing can be known


class Moment(msgspec.Struct, frozen=True):
    """What is known about a program at one moment.

    `at_prompt`: the line with the cursor is a prompt. `marks`: it marks its commands; `in_command`: the last
    mark was a beginning. `silent_for`: seconds since its last output, None if there was none. `waited`:
    seconds since the message began to wait.
    """

    reader: Reader | None
    at_prompt: bool
    marks: bool
    in_command: bool
    silent_for: float | None
    waited: float


class Readiness:
    """One program's readiness. `takes_input`: it was seen to take input, so that it can be seen when it does
    not."""

    def __init__(self) -> None:
        self.takes_input = False
        self._listened = False
        self._silent_from = math.inf  # how long a message had waited when the program first took input

    def trusted(self, reader: Reader | None) -> Reader | None:
        """Return what the program does about input; None instead of "no" if it never showed anything else."""
        if reader in ("waits", "polls", "shares"):
            self.takes_input = True
        return None if reader == "no" and not self.takes_input else reader

    async def reader(self, link: HostLink, feed: Feed) -> Reader | None:
        """Ask the host what the program does about input, as far as it can be known. If there is output to
        read, the program has something to do."""
        try:
            host = await link.status()
        except (HostLost, ProgramOver):
            return None  # its end is the next item
        except HostSilent:
            return "no"  # it may answer later
        reader = self.trusted(host.reader)
        return "no" if host.head > feed.offset and reader is not None else reader

    def reads(self, reader: Reader | None, waited: float) -> bool:
        """Return whether a program on pipes reads input, or cannot be seen to do so. `waited`: seconds since
        the message began to wait."""
        return self.trusted(reader) != "no" and (reader != "no" or waited >= START_SECONDS)

    def ready(self, moment: Moment) -> bool:
        reader = self.trusted(moment.reader)
        if reader == "waits":
            return True
        if reader == "no":
            return False
        if moment.in_command:  # a program that the command runs may be at its prompt
            return reader is not None and moment.at_prompt
        if moment.reader == "no":  # it may not have started to read yet
            return moment.waited >= START_SECONDS or (moment.marks and _quiet(moment))
        ready = moment.marks or moment.at_prompt or _quiet(moment) or self._listened
        if reader is not None and moment.silent_for is None:
            # it shows nothing before it is asked, or (as ssh) comes from another machine, whose shell starts
            self._silent_from = min(self._silent_from, moment.waited)
            silent = moment.waited - self._silent_from
            ready = ready or silent >= (SHARED_SECONDS if reader == "shares" else QUIET_SECONDS)
        self._listened = ready or moment.waited >= START_SECONDS
        return self._listened


def _quiet(moment: Moment) -> bool:
    return moment.silent_for is not None and moment.silent_for >= QUIET_SECONDS
