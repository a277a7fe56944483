"""The token file, and what happens to callers when the token is replaced."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from rhetor.auth.credentials import ByToken
from rhetor.auth.tokens import TokenFile, load_token, rotate_token
from rhetor.errors import InvalidSettings, Unauthenticated


def test_a_rotated_token_is_valid_at_once_and_the_old_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "token"
    tokens, old = TokenFile(path), load_token(path)
    assert (tokens.opens(old), tokens.generation) == (True, 0)
    new = rotate_token(path)
    assert (tokens.opens(new), tokens.opens(old), tokens.generation) == (True, False, 1)
    assert load_token(path) == new
    assert (len(new), stat.S_IMODE(path.stat().st_mode), list(tmp_path.iterdir())) == (64, 0o600, [path])


def test_a_missing_or_readable_token_file_rejects_every_token(tmp_path: Path) -> None:
    path = tmp_path / "token"
    tokens, token = TokenFile(path), load_token(path)
    path.chmod(0o644)
    assert not tokens.opens(token)
    path.chmod(0o600)
    assert tokens.opens(token)
    path.unlink()
    assert not tokens.opens(token)
    assert not tokens.opens("")
    path.touch(0o600)
    path.write_text("short")
    assert not tokens.opens("short")
    path.unlink()
    assert tokens.opens(load_token(path))


def test_a_token_file_readable_by_others_prevents_the_start(tmp_path: Path) -> None:
    load_token(tmp_path / "token")
    (tmp_path / "token").chmod(0o640)
    with pytest.raises(InvalidSettings):
        TokenFile(tmp_path / "token")


def test_a_credential_is_valid_until_the_token_changes(tmp_path: Path) -> None:
    told: list[str] = []
    tokens = TokenFile(tmp_path / "token", changed=lambda: told.append("changed"))
    credential = ByToken(tokens)
    (tmp_path / "token").touch()
    assert (credential.fault(), told) == (None, [])
    rotate_token(tmp_path / "token")
    assert isinstance(credential.fault(), Unauthenticated)
    assert isinstance(credential.fault(), Unauthenticated)
    assert (ByToken(tokens).fault(), told) == (None, ["changed"])
