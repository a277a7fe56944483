"""What recipients are told of events."""

from __future__ import annotations

import pytest

from rhetor.domain import event as ev
from rhetor.domain.notification import TEXT_LENGTH, notice_of, short
from rhetor.domain.questions import Question


@pytest.mark.parametrize(
    ("payload", "about", "text"),
    [
        (
            ev.PermissionAsked("r", "Bash", {"command": "ls"}, ()),
            "permission.asked",
            "bob asks for permission: Bash",
        ),
        (
            ev.PermissionAsked("r", "ask", {}, (), None, (Question("q", "Which?", "Which?", ()),)),
            "permission.asked",
            "bob has a question",
        ),
        (
            ev.TurnFailed("rate_limited", "slow down", True),
            "turn.failed",
            "bob failed (rate_limited): slow down",
        ),
        (ev.PeerStatusChanged("bob", "stuck", "no output"), "peer.stuck", "bob is stuck: no output"),
        (
            ev.QuotaPaused("2026-01-01T00:00:00.000Z", "full"),
            "quota.paused",
            "bob has reached its limit: full",
        ),
        (
            ev.BudgetReached("global", "usd_per_day", "5", "4", 0.8, "x", "note"),
            "budget",
            "80% of usd_per_day is used in the budget global",
        ),
        (
            ev.BudgetReached("global", "usd_per_day", "5", "5", 1.0, "x", "ask"),
            "budget",
            "bob is paused: 100% of usd_per_day is used in the budget global",
        ),
        (
            ev.BudgetReached("global", "usd_per_day", "5", "5", 1.0, "x", "fallback", "eve"),
            "budget",
            "eve answers instead of bob: 100% of usd_per_day is used in the budget global",
        ),
        (ev.TurnCompleted("m", "secret", "stop", seconds=59.4), "turn.completed", "bob is done after 59 s"),
        (ev.TurnCompleted("m", "secret", "stop", seconds=600), "turn.completed", "bob is done after 10 min"),
        (
            ev.TurnCompleted("m", "secret", "stop", seconds=3900),
            "turn.completed",
            "bob is done after 1 h 5 min",
        ),
    ],
)
def test_an_event_becomes_a_short_text(payload: ev.Payload, about: str, text: str) -> None:
    notice = notice_of(payload, "bob")
    assert notice is not None
    assert (notice.about, notice.text) == (about, text)
    assert "secret" not in str(notice) and "command" not in notice.data


@pytest.mark.parametrize(
    "payload", [ev.PeerStatusChanged("bob", "busy", ""), ev.OutputDelta("hi"), ev.TurnCancelled("me")]
)
def test_other_events_cause_no_notification(payload: ev.Payload) -> None:
    assert notice_of(payload, "bob") is None


def test_a_text_is_one_line_without_control_characters_and_not_too_long() -> None:
    assert short(" two\n\x1b[31mlines\x00\u202e ") == "two [31mlines"
    assert short("x" * TEXT_LENGTH) == "x" * TEXT_LENGTH
    assert short("x" * (TEXT_LENGTH + 1)) == "x" * (TEXT_LENGTH - 1) + "…"
