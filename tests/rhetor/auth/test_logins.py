"""Codes and logins of browsers: how long they are valid, and with what they end."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rhetor.auth.credentials import ByCookie, ByToken, is_granted
from rhetor.auth.logins import COOKIE_SECONDS, Logins
from rhetor.auth.one_time_codes import CODE_SECONDS, MOST_OF_SUBJECT, Codes, Requested, written
from rhetor.auth.tokens import TokenFile, rotate_token
from rhetor.domain.identity import HUB, Grant, Login
from rhetor.domain.principal import ALL, READ
from rhetor.errors import LoginExpired, Unauthenticated

HOST = "c0ffee.localhost"
ME = Requested("me", ALL)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def logged_in(logins: Logins, requested: Requested = ME, host: str = HOST) -> tuple[str, Login]:
    cookie, login = logins.begin(requested, host, "127.0.0.1:5", "Firefox\n")
    logins.identities.logins[login.digest] = login
    logins.keep(login, requested.is_granted)
    return cookie, login


def test_a_code_works_once_within_a_minute() -> None:
    clock = Clock()
    codes = Codes(clock)
    first, late = codes.issue(ME), codes.issue(ME)
    assert codes.find(first) == codes.use(first) == ME
    assert (codes.find(first), codes.use(first)) == (None, None)
    clock.now += CODE_SECONDS
    assert codes.use(late) is None
    assert codes.use("") is None


def test_a_code_can_be_typed_in_lower_case_with_hyphens_and_with_letters_that_look_alike() -> None:
    codes = Codes()
    code = codes.issue(ME)
    assert re.fullmatch("[0-9A-HJKMNP-TV-Z]{16}", code)
    assert re.fullmatch("(.{4}-){3}.{4}", written(code))
    for text in (written(code), code.lower(), written(code).replace("-", " ")):
        assert codes.find(text) == ME
    assert codes.find(code.replace("0", "o").replace("1", "l")) == ME
    assert codes.find(code[:-1]) is None


def test_many_codes_of_one_caller_do_not_replace_those_of_another() -> None:
    codes = Codes()
    mine, first = codes.issue(ME), codes.issue(Requested("anna", ALL))
    for _ in range(MOST_OF_SUBJECT):
        codes.issue(Requested("anna", ALL))
    assert (codes.find(mine), codes.find(first), len(codes)) == (ME, None, MOST_OF_SUBJECT + 1)


def test_a_code_that_is_issued_just_after_the_token_changed_opens_nothing(tmp_path: Path) -> None:
    tokens, codes = TokenFile(tmp_path / "token"), Codes()
    granted = is_granted(ByToken(tokens))
    code = codes.issue(Requested("me", ALL, is_granted=granted))
    other = codes.issue(Requested("me", ALL, is_granted=is_granted(None)))
    assert granted()
    rotate_token(tmp_path / "token")
    assert (codes.use(code), bool(codes.use(other))) == (None, True)


def test_a_login_is_valid_for_twelve_hours_at_the_host_to_which_its_cookie_belongs() -> None:
    clock = Clock()
    logins = Logins(clock=clock, now=lambda: 5_000)
    cookie, login = logged_in(logins)
    assert logins.used_at(login) is None
    assert (logins.of(cookie, HOST), logins.of(cookie, "box.local"), logins.of("x", HOST)) == (
        login,
        None,
        None,
    )
    assert (logins.used_at(login), login.user_agent, cookie in str(login)) == (5_000, "Firefox", False)
    credential = ByCookie(logins, login)
    clock.now += COOKIE_SECONDS - 1
    assert credential.fault() is None
    clock.now += 1
    assert isinstance(credential.fault(), LoginExpired)
    assert logins.of(cookie, HOST) is None


def test_a_login_that_was_ended_is_no_longer_valid() -> None:
    logins = Logins()
    cookie, login = logged_in(logins)
    del logins.identities.logins[login.digest]
    fault = ByCookie(logins, login).fault()
    assert isinstance(fault, Unauthenticated)
    assert not isinstance(fault, LoginExpired)
    assert logins.of(cookie, HOST) is None


def test_a_login_ends_with_the_token_that_requested_it() -> None:
    logins, is_valid = Logins(), True
    cookie, login = logged_in(logins, Requested("anna", frozenset({READ}), is_granted=lambda: is_valid))
    assert (logins.of(cookie, HOST), login.scopes) == (login, (READ,))
    is_valid = False
    assert logins.of(cookie, HOST) is None
    assert isinstance(ByCookie(logins, login).fault(), Unauthenticated)


@pytest.mark.parametrize("by_grant", [True, False])
def test_a_login_of_an_earlier_process_ends_with_the_token_that_requested_it(by_grant: bool) -> None:
    logins = Logins(clock=lambda: 1.0, now=lambda: 1_000)
    known, digest = logins.identities, "old"
    known.hub_token = lambda: digest
    grant = Grant("g_1", "me", (READ,), 0, 2_000, 600)
    known.grants["g_1"] = grant
    cookie, login = logins.begin(
        Requested("me", ALL, parent="g_1" if by_grant else f"{HUB}old"), HOST, "127.0.0.1:5", ""
    )
    known.logins[login.digest] = login
    assert logins.of(cookie, HOST) == login
    digest = "new"
    assert (logins.of(cookie, HOST) is None) is not by_grant
    known.grants.clear()
    assert logins.of(cookie, HOST) is None


def test_a_login_that_a_page_requested_ends_no_later_than_that_of_the_page() -> None:
    logins = Logins(now=lambda: 1_000)
    _, login = logged_in(logins)
    _, child = logged_in(logins, Requested("me", ALL, by=login.id, until=2_000))
    assert (child.expires, child.by) == (2_000, login.id)
    code = logins.codes.issue(Requested("me", ALL, by=login.id))
    assert logins.find_code(code)
    del logins.identities.logins[login.digest]
    assert logins.find_code(code) is None


def test_what_is_known_of_ended_logins_is_forgotten() -> None:
    logins = Logins()
    for _ in range(3):
        cookie, login = logged_in(logins)
        logins.of(cookie, HOST)
        del logins.identities.logins[login.digest]
    logged_in(logins)
    assert [len(kept) for kept in (logins._ends, logins._granted, logins._used)] == [1, 1, 0]
