"""Runs the programs of the table as peers of a real hub, and sends them their messages with `aish`."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.e2e.home import Machine

from .rows import Message, Row
from .servers import server_path

AT_ONCE = 12  # instances of programs
SECONDS = 60  # after which `aish` stops waiting; no message takes a third of it
START_SECONDS = 120.0
_ENVIRONMENT = {
    "TERM": "xterm-256color",
    "LC_ALL": "C.UTF-8",
    "RHETOR_MODELS__DEFAULT": "offline",
    "GIT_CONFIG_NOSYSTEM": "1",
    "npm_config_update_notifier": "false",
}
_ENDS = ("turn.completed", "turn.failed", "turn.cancelled", "turn.interrupted")


class Cell(NamedTuple):
    """What came back: the answer, its finish reason or the code of its error, stderr, the exit status."""

    answer: str
    reason: str
    stderr: str
    status: int


class Instance(NamedTuple):
    """A running program, and the messages that it gets, by their numbers in the row."""

    name: str
    row: Row
    argv: tuple[str, ...]
    messages: dict[int, Message]


def run(rows: Sequence[Row]) -> dict[str, list[Cell]]:
    """The cells of each row, by its name. The programs run side by side."""
    with tempfile.TemporaryDirectory(prefix="rt") as name, _machine(Path(name)) as machine:
        instances = [one for row in rows for one in _instances(row)]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            found = list(pool.map(lambda one: _talk(machine, Path(name) / one.name, one), instances))
    cells: dict[str, dict[int, Cell]] = {}
    for instance, answers in zip(instances, found, strict=True):
        cells.setdefault(instance.row.name, {}).update(answers)
    return {name: [of_row[number] for number in sorted(of_row)] for name, of_row in cells.items()}


@contextmanager
def _machine(folder: Path) -> Iterator[Machine]:
    folder.chmod(0o755)  # a server that does not run as root has its files here, too
    machine = Machine(folder / "hub")
    machine.environment = {**machine.environment, **_ENVIRONMENT, "PATH": server_path()}
    try:
        assert machine.run("list").returncode == 0  # starts the hub
        yield machine
    finally:
        machine.end_programs()
        machine.end()


def _instances(row: Row) -> Iterator[Instance]:
    """The row's programs: one for each message that goes to its own, and one for the others."""
    name = re.sub(r"\W+", "-", row.name.lower()).strip("-")
    messages = dict(enumerate(row.messages))
    for number, message in messages.items():
        if message.alone:
            yield Instance(f"{name}-{number}", row, message.argv or row.argv, {number: message})
    if others := {number: message for number, message in messages.items() if not message.alone}:
        yield Instance(name, row, row.argv, others)


def _talk(machine: Machine, folder: Path, one: Instance) -> dict[int, Cell]:
    folder.mkdir(mode=0o755)
    with one.row.place(folder):
        argv = [word.replace("{folder}", str(folder)) for word in one.argv]
        start = ("ci-terminal", "-n", one.name, "--detach", "--", *argv)
        began = machine.run(*start, cwd=folder, variables={"HOME": str(folder)}, timeout=START_SECONDS)
        assert began.returncode == 0, began.stderr
        return {number: _say(machine, one.name, message.text) for number, message in one.messages.items()}


def _say(machine: Machine, name: str, text: str) -> Cell:
    ran = machine.run(
        name, "-x", "--json", "--timeout", str(SECONDS), "--", text, timeout=SECONDS + START_SECONDS
    )
    events = [json.loads(line) for line in ran.stdout.splitlines()]
    deltas = [event["data"] for event in events if event["type"] == "output.delta"]
    answer = "".join(delta["text"] for delta in deltas if delta["channel"] == "answer")
    ends = [event["data"] for event in events if event["type"] in _ENDS]
    reason = next((end.get("finish_reason") or end.get("code") for end in ends), None) or "none"
    return Cell(answer, str(reason), ran.stderr, ran.returncode)
