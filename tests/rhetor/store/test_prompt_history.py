"""The history of the prompt: sealed while encryption is on, and never lost when it is switched on or off."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest
from prompt_toolkit.history import FileHistory

from rhetor.errors import SealBroken
from rhetor.store import prompt_history
from rhetor.store.prompt_history import PromptHistory
from tests.sealing import ring_in

CANARY = "canary of a prompt"


def history(folder: Path, *, active: bool = True) -> PromptHistory:
    return PromptHistory(folder, ring_in(folder), active=active)


def on_disk(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.glob("history*"))


def test_lines_are_sealed_and_read_again_in_order(tmp_path: Path) -> None:
    lines = [CANARY, "two\nlines", "", "ü"]
    for line in lines:
        history(tmp_path).add(line)
    assert history(tmp_path).lines() == lines
    assert CANARY.encode() not in on_disk(tmp_path)
    assert (tmp_path / "history.sealed").stat().st_mode & 0o777 == 0o600


def test_lines_move_when_encryption_is_switched_on_and_back_when_it_is_switched_off(tmp_path: Path) -> None:
    own = FileHistory(tmp_path / "history")
    for line in (CANARY, "two\nlines"):
        own.store_string(line)
    history(tmp_path).settle()
    assert CANARY.encode() not in on_disk(tmp_path)
    history(tmp_path).add("three")
    assert history(tmp_path).lines() == [CANARY, "two\nlines", "three"]
    history(tmp_path, active=False).settle()
    found = FileHistory(tmp_path / "history").load_history_strings()
    assert list(found) == ["three", "two\nlines", CANARY]
    assert sorted(path.name for path in tmp_path.glob("history*")) == ["history"]


def test_a_rotation_seals_the_lines_again(tmp_path: Path) -> None:
    kept = history(tmp_path)
    kept.add(CANARY)
    ring = ring_in(tmp_path)
    ring.rotate()
    later = PromptHistory(tmp_path, ring, active=True)
    later.settle()
    assert (tmp_path / "history.sealed").read_bytes()[5:9] == ring.current
    assert later.lines() == [CANARY]


def test_a_long_history_is_shortened_from_its_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prompt_history, "MAX_BYTES", 2000)
    monkeypatch.setattr(prompt_history, "KEPT_BYTES", 1000)
    kept = history(tmp_path)
    for number in range(100):
        kept.add(f"line {number}")
    lines = kept.lines()
    assert lines == [f"line {number}" for number in range(100 - len(lines), 100)]
    assert (tmp_path / "history.sealed").stat().st_size <= 2000


def test_a_line_that_was_not_written_completely_is_left_out_and_a_changed_one_is_an_error(
    tmp_path: Path,
) -> None:
    kept, file = history(tmp_path), tmp_path / "history.sealed"
    kept.add("one")
    kept.add("two")
    data = file.read_bytes()
    file.write_bytes(data[:-1])
    assert kept.lines() == ["one"]
    file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(SealBroken):
        kept.lines()


def test_a_full_disk_spoils_no_other_line(tmp_path: Path) -> None:
    kept = history(tmp_path)
    kept.add("one")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / "history.sealed").stat().st_size + 20, before[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            kept.add("two")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    kept.add("three")
    assert kept.lines() == ["one", "three"]
