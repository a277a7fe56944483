"""The log of unexpected errors: whole without encryption, and without what the user wrote with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from aish.client.unexpected import unexpected

CANARY = "canary of an error"


def _raised() -> Exception:
    try:
        raise ValueError(CANARY)
    except ValueError as error:
        return error


@pytest.mark.parametrize("is_sealed", [False, True])
def test_the_log_quotes_the_user_only_without_encryption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_sealed: bool
) -> None:
    monkeypatch.setenv("RHETOR_HOME", str(tmp_path))
    if is_sealed:
        (tmp_path / "history.sealed").touch()
    assert CANARY in unexpected(_raised()).shown
    log = (tmp_path / "aish.log").read_text()
    assert "test_unexpected.py" in log and "ValueError" in log
    assert (CANARY in log) != is_sealed
