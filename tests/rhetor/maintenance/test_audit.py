"""What `rhetor audit verify` finds in a database that somebody has changed, and what `rhetor audit show`
prints."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from rhetor.cli import main
from rhetor.domain.audit import AuditEntry, Count
from rhetor.domain.principal import Principal
from rhetor.errors import NotFound
from rhetor.hub.core.audit_chain import COUNT, KEY
from rhetor.hub.core.ids import wall_clock
from rhetor.maintenance.audit import Shown, as_text, lines, verify
from rhetor.maintenance.check import check
from rhetor.maintenance.progress import Progress
from rhetor.sealing.ring import Ring
from rhetor.store.base import random_epoch
from rhetor.store.sqlite.connection import connect
from rhetor.store.sqlite.epochs import begin_new_epochs
from rhetor.store.sqlite.sealed import sealing_of
from rhetor.store.sqlite.store import SqliteStore
from tests.rhetor.hub.auditing import CASEY, auditing
from tests.rhetor.maintenance.test_backup import opened

NUMBERS = range(1, 11)
CHANGES: dict[str, str] = {
    "at": "at + 1",
    "type": "'turn.queued'",
    "turn_id": "'t_1'",
    "step": "'one'",
    "data": "CAST(data || ' ' AS BLOB)",
    "inc": "inc + 1",
    "seq": "seq + 100",
}


async def _fill(home: Path, owner: str) -> None:
    async with opened(home) as store, auditing(store) as audit:
        await audit.begin(Principal(owner), "1.0")
        async with audit.action(Principal(owner, address="unix pid 7"), "team.create", "reviewers"):
            pass
        with pytest.raises(NotFound):
            async with audit.action(Principal(owner), "team.remove", "nobody"):
                raise NotFound("team", "nobody")
        for number in range(5):
            await audit.note(Principal(owner), "permission.answer", f"s_1/req_{number}", "allow_once")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audit")
    asyncio.run(_fill(folder / "home", "casey"))
    asyncio.run(_fill(folder / "other", "mallory"))
    return folder


@pytest.fixture
def home(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made / "home", tmp_path / "home")


def change(home: Path, *statements: str) -> None:
    with closing(sqlite3.connect(home / "hub.db", isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def found(home: Path, expected: tuple[int, str] | None = None) -> list[tuple[str, str]]:
    return [(each.kind, each.place) for each in verify(home, expected).findings]


def of_audit(seq: int | str) -> str:
    return f"inc = (SELECT id FROM incarnations WHERE stream = 'audit') AND seq = {seq}"


def test_an_audit_that_nobody_has_changed_has_no_findings(home: Path) -> None:
    done = verify(home)
    assert (done.entries, done.findings) == (len(NUMBERS), ())
    assert [f for f in check(home, Progress("check", "items")).findings if "audit" in f.place] == []


@pytest.mark.parametrize("column", CHANGES)
@pytest.mark.parametrize("number", [1, 5, 10])
def test_a_change_of_any_column_of_an_entry_is_found(home: Path, column: str, number: int) -> None:
    change(home, f"UPDATE events SET {column} = {CHANGES[column]} WHERE {of_audit(number)}")
    kind, place = found(home)[0]
    moved_away = column in ("inc", "seq")
    assert (kind, place) == ("audit_missing" if moved_away else "audit_changed", f"entry {number}")


@pytest.mark.parametrize("member", AuditEntry.__struct_fields__)
def test_a_change_of_any_member_of_an_entry_is_found(home: Path, member: str) -> None:
    with closing(sqlite3.connect(home / "hub.db", isolation_level=None)) as connection:
        query = f"SELECT data FROM events WHERE {of_audit(3)}"
        entry = msgspec.json.decode(connection.execute(query).fetchone()[0])
        entry[member] = 1 if member == "of" else entry.get(member, "")[:-1] + "x"
        altered = msgspec.json.encode(msgspec.convert(entry, AuditEntry))
        connection.execute(f"UPDATE events SET data = ? WHERE {of_audit(3)}", (altered,))
    expected = [("audit_changed", "entry 3")]
    if member == "chain":  # which the next entry continues
        expected.append(("audit_changed", "entry 4"))
    assert found(home) == expected


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (1, [("audit_missing", "entry 1")]),
        (6, [("audit_missing", "entry 6")]),
        (10, [("audit_missing", "entry 10")]),
    ],
)
def test_a_removed_entry_is_found(home: Path, number: int, expected: list[tuple[str, str]]) -> None:
    change(home, f"DELETE FROM events WHERE {of_audit(number)}")
    assert found(home) == expected


def test_a_removed_entry_whose_gap_was_closed_is_found(home: Path) -> None:
    later = [f"UPDATE events SET seq = {n - 1} WHERE {of_audit(n)}" for n in range(7, 11)]
    change(home, f"DELETE FROM events WHERE {of_audit(6)}", *later)
    moved = [("audit_moved", f"entry {number}") for number in range(7, 10)]
    assert found(home) == [("audit_changed", "entry 6"), *moved, ("audit_missing", "entry 10")]


@pytest.mark.parametrize("pair", [(4, 5), (2, 9), (1, 10)])
def test_entries_that_have_changed_places_are_found(home: Path, pair: tuple[int, int]) -> None:
    one, two = pair
    change(
        home,
        f"UPDATE events SET seq = 1000 WHERE {of_audit(one)}",
        f"UPDATE events SET seq = {one} WHERE {of_audit(two)}",
        f"UPDATE events SET seq = {two} WHERE {of_audit(1000)}",
    )
    kinds = dict(reversed([(place, kind) for kind, place in found(home)]))
    assert {f"entry {one}", f"entry {two}"} <= kinds.keys()
    assert found(home)[0] == ("audit_moved", f"entry {one}")
    assert f"the hub has written it as entry {two}" in verify(home).findings[0].detail


@pytest.mark.parametrize("number", [3, 10, 11])
def test_an_entry_of_another_hub_is_found(home: Path, made: Path, number: int) -> None:
    change(
        home,
        f"ATTACH '{made / 'other' / 'hub.db'}' AS other",
        f"DELETE FROM events WHERE {of_audit(number)}",
        f"INSERT INTO events SELECT (SELECT id FROM incarnations WHERE stream = 'audit'), {number}, at, type,"
        " turn_id, step, data FROM other.events WHERE inc = (SELECT id FROM other.incarnations"
        f" WHERE stream = 'audit') AND seq = {min(number, 10)}",
    )
    assert found(home)[0] == ("audit_changed", f"entry {number}")


def test_a_tail_that_was_cut_off_is_found_also_if_the_count_was_changed(home: Path) -> None:
    for number in (8, 9, 10):
        change(home, f"DELETE FROM events WHERE {of_audit(number)}")
    (finding,) = verify(home).findings
    assert (finding.kind, finding.detail) == ("audit_missing", "the entries 8 to 10 are missing")
    forged = msgspec.json.encode(Count(7, "0" * 64, "0" * 64)).decode()
    change(home, f"UPDATE rows SET doc = CAST('{forged}' AS BLOB) WHERE kind = '{COUNT[0]}'")
    assert found(home) == [("audit_count", "entry 7")]
    change(home, f"DELETE FROM rows WHERE kind = '{COUNT[0]}'")
    assert found(home) == [("audit_count", "entry 7")]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE incarnations SET earliest = 4 WHERE stream = 'audit'",
        "UPDATE incarnations SET present = 0 WHERE stream = 'audit'",
        "UPDATE incarnations SET stream = 's_1' WHERE stream = 'audit'",
        "INSERT INTO incarnations (stream, epoch, present) VALUES ('audit', 'x', 0)",
        f"DELETE FROM rows WHERE kind = '{KEY[0]}'",
    ],
)
def test_a_change_of_what_belongs_to_the_audit_is_found(home: Path, statement: str) -> None:
    change(home, statement)
    assert found(home) != []


def test_an_older_copy_of_the_database_is_found_with_a_note_of_the_last_entry(home: Path) -> None:
    older = shutil.copytree(home, home.parent / "older")

    async def more() -> None:
        async with opened(home) as store, auditing(store) as audit:
            await audit.note(CASEY, "team.remove", "reviewers")

    asyncio.run(more())
    note = verify(home)
    assert found(home, (note.entries, note.chain)) == []
    assert found(older, (note.entries, note.chain)) == [("audit_replaced", "entry 11")]
    asyncio.run(_fill(older, "casey"))  # it has as many entries again, but not these
    assert found(older, (note.entries, note.chain)) == [("audit_replaced", "entry 11")]


def test_the_chain_continues_after_a_restore_of_the_database(home: Path) -> None:
    with closing(connect(home / "hub.db")) as connection:
        begin_new_epochs(connection, sealing_of(connection, None), random_epoch)
    asyncio.run(_fill(home, "casey"))
    assert found(home) == []


def shown(home: Path, *, width: int | None = None, is_running: bool = False, **wanted: object) -> str:
    written: list[str] = []
    found = lines(home, Shown(**wanted), is_running=is_running)  # type: ignore[arg-type]
    as_text(found, width, written.append)
    return "".join(written)


def test_the_audit_is_shown_with_one_line_for_each_action(home: Path) -> None:
    day, *rest = shown(home, last=8).splitlines()
    assert len(day) == 10
    assert [line[9:] for line in rest][1:4] == [
        "casey        unix pid 7      done      team.create reviewers",
        "casey        -               not_found team.remove nobody",
        "casey        -               done      permission.answer s_1/req_0 (allow_once)",
    ]
    assert all(len(line) <= 80 for line in shown(home, width=80).splitlines())
    assert shown(home, last=1).splitlines()[1:] == rest[-1:]
    assert shown(home, subject="mallory") == ""
    assert len(shown(home, subject="ca*").splitlines()) == len(rest) + 1
    assert shown(home, since=1 << 50) == ""


def test_an_action_without_an_end_is_unknown_unless_the_hub_that_began_it_is_running(home: Path) -> None:
    async def begin() -> None:
        async with opened(home) as store, auditing(store) as audit:
            await audit.note(CASEY, "program.end", "box", outcome="begun")

    async def start() -> None:
        async with opened(home) as store, auditing(store) as audit:
            await audit.begin(CASEY, "1.0")

    asyncio.run(begin())
    assert "pending" in shown(home, last=1, is_running=True)
    assert "unknown" in shown(home, last=1, is_running=False)
    asyncio.run(start())
    assert "unknown" in shown(home, last=2, is_running=True)


def test_names_cannot_forge_a_line_or_control_the_terminal(home: Path) -> None:
    async def write() -> None:
        async with opened(home) as store, auditing(store) as audit:
            await audit.note(CASEY, "team.create", "a\r\n12:00:00 mallory \x1b[31m\u202e\x9b2J\x07")

    asyncio.run(write())
    assert (
        shown(home, last=1)
        .splitlines()[1]
        .endswith(r"team.create a\r\n12:00:00 mallory \x1b[31m\u202e\x9b2J\x07")
    )


def test_the_commands_report_and_exit(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RHETOR_HOME", str(home))
    assert main(["audit", "verify"]) == 0
    first, head = capsys.readouterr().out.splitlines()
    assert first == "10 entries, unchanged; the last one is"
    assert main(["audit", "verify", "--expect", head]) == 0
    assert main(["audit", "show", "-n", "1", "--json", "--since", "1h"]) == 0
    entry = msgspec.json.decode(capsys.readouterr().out.splitlines()[-1])
    assert (entry["number"], entry["subject"], entry["target"]) == (10, "casey", "s_1/req_4")
    change(home, f"UPDATE events SET at = 0 WHERE {of_audit(4)}")
    assert main(["audit", "verify"]) == 1
    out = capsys.readouterr().out
    assert out.startswith("audit_changed  entry 4  it was changed, or the hub has not written it (1970-01-01")
    assert out.endswith("10 entries: 1 finding\n")
    assert main(["audit", "verify", "--json"]) == 1
    assert msgspec.json.decode(capsys.readouterr().out)["findings"][0]["place"] == "entry 4"
    shutil.rmtree(home)
    assert main(["audit", "verify"]) == 2
    assert "hub.db does not exist" in capsys.readouterr().err


def test_a_sealed_audit_is_shown_and_verified_and_its_changes_are_found(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)

    async def fill() -> None:
        ring = Ring(home)
        store = await SqliteStore.open(home / "hub.db", clock=wall_clock, ring=ring, at_rest=True)
        async with auditing(store) as audit:
            for number in range(4):
                await audit.note(CASEY, "team.create", f"canary-{number}")
        await store.aclose()

    asyncio.run(fill())
    assert b"canary-" not in (home / "hub.db").read_bytes()
    assert verify(home).findings == ()
    assert shown(home).count("team.create canary-") == 4
    change(
        home, f"UPDATE events SET data = (SELECT data FROM events WHERE {of_audit(3)}) WHERE {of_audit(2)}"
    )
    assert found(home) == [("audit_changed", "entry 2")]
