"""When schedules are due: expressions, time zones and daylight saving time."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from rhetor.errors import Unprocessable
from rhetor.hub.schedules import timetable
from rhetor.hub.schedules.timetable import last_time, machine_zone, next_time

BERLIN = "Europe/Berlin"  # forward at 02:00 on 2026-03-29, back at 03:00 on 2026-10-25


def at(text: str, zone: str = BERLIN) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()) * 1000


def times(cron: str, begin: str, number: int, zone: str = BERLIN) -> list[str]:
    found, after = [], at(begin, zone)
    for _ in range(number):
        due = next_time(cron, zone, after)
        assert due is not None
        assert due > after
        found.append(datetime.fromtimestamp(due / 1000, ZoneInfo(zone)).isoformat()[5:])
        after = due
    return found


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("0 8 * * 1-5", ["11-30T08:00:00+01:00", "12-01T08:00:00+01:00"]),
        ("0 8 * * mon-FRI", ["11-30T08:00:00+01:00", "12-01T08:00:00+01:00"]),
        ("*/30 9-10 * * *", ["11-29T09:00:00+01:00", "11-29T09:30:00+01:00"]),
        ("15,45 0 1 jan *", ["01-01T00:15:00+01:00", "01-01T00:45:00+01:00"]),
        ("0 0 1 * 1", ["11-30T00:00:00+01:00", "12-01T00:00:00+01:00"]),  # either day, as in cron
        ("0 0 * * 7", ["12-06T00:00:00+01:00", "12-13T00:00:00+01:00"]),
        ("@daily", ["11-30T00:00:00+01:00", "12-01T00:00:00+01:00"]),
        ("@HOURLY", ["11-29T01:00:00+01:00", "11-29T02:00:00+01:00"]),
        ("@weekly", ["12-06T00:00:00+01:00", "12-13T00:00:00+01:00"]),
        ("@monthly", ["12-01T00:00:00+01:00", "01-01T00:00:00+01:00"]),
        ("@yearly", ["01-01T00:00:00+01:00", "01-01T00:00:00+01:00"]),
    ],
)
def test_expressions_mean_what_they_mean_in_cron(cron: str, expected: list[str]) -> None:
    assert times(cron, "2026-11-29T00:00:01", 2) == expected


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("30 2 * * *", ["03-28T02:30:00+01:00", "03-29T03:00:00+02:00", "03-30T02:30:00+02:00"]),
        ("0,30 2 29 3 *", ["03-29T03:00:00+02:00"]),
        ("0 * 29 3 *", ["03-29T00:00:00+01:00", "03-29T01:00:00+01:00", "03-29T03:00:00+02:00"]),
    ],
)
def test_a_time_that_does_not_exist_is_due_once_after_the_gap(cron: str, expected: list[str]) -> None:
    assert times(cron, "2026-03-28T00:00:00", len(expected)) == expected


def test_a_time_that_occurs_twice_is_due_the_first_time_only() -> None:
    assert times("30 2 * * *", "2026-10-24T12:00:00", 2) == ["10-25T02:30:00+02:00", "10-26T02:30:00+01:00"]


def test_a_schedule_that_is_added_between_both_waits_for_the_next_day() -> None:
    second = at("2026-10-25T01:25:00", "UTC")  # 02:25 in Berlin, for the second time
    found = next_time("30 2 * * *", BERLIN, second)
    assert found is not None
    assert datetime.fromtimestamp(found / 1000, ZoneInfo(BERLIN)).isoformat() == "2026-10-26T02:30:00+01:00"


def test_times_that_follow_an_interval_keep_it_when_the_clocks_change() -> None:
    for begin in ("2026-03-29T00:30:00", "2026-10-25T00:30:00"):
        after = at(begin)
        for _ in range(6):
            due = next_time("0 * * * *", BERLIN, after)
            assert due is not None
            assert due - after in (3600_000, 1800_000)
            after = due


@pytest.mark.parametrize(
    ("cron", "since", "until", "expected"),
    [
        ("0 8 * * *", "2026-11-30T08:00:00", "2026-12-04T10:00:00", "2026-12-04T08:00:00"),
        ("0 8 * * *", "2026-11-30T08:00:00", "2026-11-30T08:00:00", "2026-11-30T08:00:00"),
        ("0 8 * * *", "2026-11-30T08:00:00", "2026-12-01T07:59:59", "2026-11-30T08:00:00"),
        ("30 2 * * *", "2026-03-29T03:00:00", "2026-03-29T03:00:05", "2026-03-29T03:00:00"),
    ],
)
def test_the_last_of_the_missed_times_is_found(cron: str, since: str, until: str, expected: str) -> None:
    assert last_time(cron, BERLIN, at(since), at(until)) == at(expected)


@pytest.mark.parametrize(
    "cron",
    [
        *("", "8", "* * * *", "0 0 8 * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *"),
        *(
            "* * * * 8",
            "*/0 * * * *",
            "5-1 * * * *",
            "@reboot",
            "@often",
            "a b c d e",
            "0 8 * * mon-",
            "0" * 300,
        ),
        *("0 0 31 2 *", "1,,2 * * * *", "-1 * * * *", "١ * * * *"),
    ],
)
def test_an_invalid_expression_is_rejected_and_the_message_shows_it(cron: str) -> None:
    with pytest.raises(Unprocessable, match="invalid times") as caught:
        next_time(cron, "UTC", 0)
    assert len(caught.value.detail) < 400


@pytest.mark.parametrize(
    "zone", ["", "Mars/Base", "../etc/passwd", "Europe", "/etc/localtime", "a\0b", "x" * 500]
)
def test_an_unknown_time_zone_is_rejected(zone: str) -> None:
    with pytest.raises(Unprocessable, match="unknown time zone"):
        next_time("@daily", zone, 0)


def test_the_machines_zone_is_that_of_its_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TZ", ":Asia/Tokyo")
    assert machine_zone() == "Asia/Tokyo"
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")  # a rule, which is not a name
    monkeypatch.setattr(timetable, "_LOCALTIME", tmp_path / "usr/share/zoneinfo/America/New_York")
    monkeypatch.setattr(timetable, "_TIMEZONE", tmp_path / "missing")
    assert machine_zone() == "America/New_York"
    monkeypatch.setattr(timetable, "_LOCALTIME", tmp_path / "localtime")
    (tmp_path / "timezone").write_text("Africa/Cairo\n")
    monkeypatch.setattr(timetable, "_TIMEZONE", tmp_path / "timezone")
    assert machine_zone() == "Africa/Cairo"
    monkeypatch.setattr(timetable, "_TIMEZONE", tmp_path / "missing")
    assert machine_zone() == "UTC"
