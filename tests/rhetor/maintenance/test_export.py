"""What `rhetor export` prints."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rhetor.dialects.raw import encode
from rhetor.domain.event import MessageAccepted, OutputDelta, Position
from rhetor.domain.session import Session
from rhetor.hub.catalog.sessions import session_row
from rhetor.store.base import Draft
from rhetor.store.sqlite.store import SqliteStore
from tests.rhetor.maintenance.test_backup import opened

pytestmark = pytest.mark.anyio

SESSION = Session("s_1", "apollo", "me", 1, 1, name="work")
ODD = 'a "quote", a \u2028 line, \x00 and \U0001f600'


async def filled(home: Path) -> tuple[list[bytes], list[bytes]]:
    """Return the lines of the events of the session in its two epochs, and those of another stream."""
    home.mkdir(mode=0o700)  # noqa: ASYNC240
    clock = itertools.count(1_000_000_000_000, 1000).__next__
    store = await SqliteStore.open(home / "hub.db", clock=clock)
    first = await store.commit(
        "s_1", [Draft(MessageAccepted("m", "user", ODD), "t_1"), Draft(OutputDelta("x"), "t_1")]
    )
    lines = [encode(r) for r in await store.page("s_1", Position(first.epoch, 0))]
    other = await store.commit("p_1", [Draft(OutputDelta("y"), "t_2", "one")])
    base = "s_1", Position(first.epoch, 1)
    second = await store.commit(
        "s_1", [Draft(OutputDelta("z"), "t_3")], base=base, rows=[session_row(SESSION)]
    )
    lines += [encode(r) for r in await store.page("s_1", Position(second.epoch, 0))]
    others = [encode(r) for r in await store.page("p_1", Position(other.epoch, 0))]
    await store.aclose()
    return lines, others


def export(home: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "rhetor", "export", "--home", str(home), *arguments]
    return subprocess.run(command, env={**os.environ, "TZ": "UTC"}, capture_output=True, check=False)


@pytest.mark.long
async def test_events_are_exported_with_their_stored_bytes(tmp_path: Path) -> None:
    home = tmp_path / "home"
    lines, others = await filled(home)
    ran = export(home)
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert ran.stdout.splitlines(keepends=True) == [
        line + b"\n" for line in (*lines[:2], *others, *lines[2:])
    ]
    assert json.loads(lines[0])["data"]["content"] == ODD
    file = tmp_path / "work.jsonl"
    assert export(home, "--session", "work", "-o", str(file)).returncode == 0
    assert file.read_bytes().split(b"\n") == [*lines, b""]
    assert file.stat().st_mode & 0o777 == 0o600
    again = export(home, "-o", str(file))
    assert (again.returncode, b"exists already" in again.stderr) == (2, True)


@pytest.mark.long
async def test_events_of_a_time_or_a_stream_are_exported_alone(tmp_path: Path) -> None:
    home = tmp_path / "home"
    lines, others = await filled(home)
    at = json.loads(others[0])["at"]
    assert export(home, "--from", at).stdout.splitlines() == [*others, lines[2]]
    assert export(home, "--to", at).stdout.splitlines() == lines[:2]
    assert export(home, "--from", at, "--to", at).stdout == b""
    assert export(home, "--session", "p_1").stdout.splitlines() == others
    none = export(home, "--session", "other")
    assert (none.returncode, b"no session 'other'" in none.stderr) == (2, True)
    wrong = export(home, "--from", "yesterday")
    assert (wrong.returncode, b"write it as 2026-01-31" in wrong.stderr) == (2, True)


@pytest.mark.long
async def test_a_running_hub_is_exported(tmp_path: Path) -> None:
    async with opened(tmp_path / "home") as store:
        await store.commit("s_1", [Draft(OutputDelta("x"), "t_1")])
        assert b'"text":"x"' in export(tmp_path / "home").stdout
