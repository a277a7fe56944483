"""The token file, and what happens to callers when the token is replaced."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from rhetor.auth.credentials import ByCookie, ByToken, is_granted
from rhetor.auth.logins import COOKIE_SECONDS, Login, Logins
from rhetor.auth.tokens import TokenFile, load_token, rotate_token
from rhetor.domain.principal import ALL, READ
from rhetor.errors import InvalidSettings, LoginExpired, Unauthenticated


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


def test_a_code_that_is_issued_just_after_the_token_changed_opens_nothing(tmp_path: Path) -> None:
    tokens, logins = TokenFile(tmp_path / "token"), Logins()
    granted = is_granted(ByToken(tokens))
    code, other = (logins.issue(Login("me", ALL, "token", each)) for each in (granted, is_granted(None)))
    assert granted()
    rotate_token(tmp_path / "token")
    assert (logins.redeem(code), bool(logins.redeem(other))) == (None, True)


ME = Login("me", ALL)


def test_a_login_is_valid_until_it_expires_or_is_revoked() -> None:
    now = 100.0
    logins = Logins(lambda: now)
    cookies = [logins.redeem(logins.issue(ME)) for _ in range(2)]
    first, second = (ByCookie(logins, cookie) for cookie in cookies if cookie)
    now += COOKIE_SECONDS - 1
    assert first.fault() is None
    now += 1
    assert isinstance(first.fault(), LoginExpired)
    logins.issue(ME)  # this removes expired logins
    assert isinstance(second.fault(), LoginExpired)
    third = ByCookie(logins, logins.redeem(logins.issue(ME)) or "")
    unused = logins.issue(ME)
    logins.end_all()
    assert isinstance(third.fault(), Unauthenticated)
    assert not isinstance(third.fault(), LoginExpired)
    assert logins.redeem(unused) is None


def test_a_login_belongs_to_the_caller_that_requested_it_and_ends_with_its_token() -> None:
    logins, is_granted = Logins(), True
    login = Login("anna", frozenset({READ}), is_granted=lambda: is_granted)
    cookie, unused = logins.redeem(logins.issue(login)) or "", logins.issue(login)
    assert logins.of(cookie) == login
    assert ByCookie(logins, cookie).fault() is None
    is_granted = False
    assert logins.of(cookie) is None
    assert logins.redeem(unused) is None
    assert isinstance(ByCookie(logins, cookie).fault(), Unauthenticated)


def test_many_logins_of_one_caller_do_not_replace_those_of_another() -> None:
    logins = Logins()
    first, mine = [logins.redeem(logins.issue(ME)) or "" for _ in range(2)]
    anna = Login("anna", ALL)
    for _ in range(300):
        logins.redeem(logins.issue(anna))
    assert logins.of(first) == logins.of(mine) == ME
    for _ in range(255):
        logins.redeem(logins.issue(ME))
    assert (logins.of(first), logins.of(mine)) == (None, ME)
