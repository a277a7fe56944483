"""The drivers of programs, by their names in the configuration: of a hub, and of a machine that joins."""

from __future__ import annotations

from pathlib import Path

from rhetor.drivers.agents.driver import Agents
from rhetor.drivers.agents.protocols import PROTOCOLS
from rhetor.drivers.programs.driver import Programs, in_terminal, on_pipes
from rhetor.drivers.programs.places import Places
from rhetor.drivers.programs.terminal.shells import MarkedShells


def program_drivers(folder: Path, places: Places) -> dict[str, Programs | Agents]:
    """Return the drivers. `folder`: of the process's state; `places`: where programs run."""
    shells = MarkedShells(folder / "startup")
    return {
        "stdio": Programs(places, on_pipes, "pipes"),
        "terminal": Programs(places, in_terminal, "pty", shells),
        **{driver: Agents(places, protocol) for driver, protocol in PROTOCOLS.items()},
    }
