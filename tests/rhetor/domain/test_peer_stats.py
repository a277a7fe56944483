"""What a peer was like lately."""

from __future__ import annotations

import pytest

from rhetor.domain.event import TurnCancelled, TurnCompleted, TurnEnd, TurnFailed, TurnInterrupted
from rhetor.domain.peer import Capability
from rhetor.domain.peer_stats import HALF_LIFE_MS, PeerStats
from rhetor.domain.routing import rank
from tests.scripted import peer

FAILED = TurnFailed("provider_failed", "no", True)


def answered(seconds: float, cost: str | None = None, tokens: int = 1000) -> TurnCompleted:
    usage = {"input_tokens": tokens // 2, "output_tokens": tokens - tokens // 2}
    return TurnCompleted("m", "text", "stop", usage, cost, seconds)


def after(*ends: TurnEnd, at: int = 0) -> PeerStats:
    stats = PeerStats()
    for end in ends:
        stats = stats.after(end, at)
    return stats


def test_nothing_is_known_of_a_peer_that_was_never_asked() -> None:
    stats = PeerStats()
    assert (stats.success_rate, stats.avg_response_time, stats.cost_per_1k_tokens) == (None, None, None)


def test_rates_and_times_are_means_over_the_turns() -> None:
    stats = after(answered(1.0), answered(3.0), FAILED, FAILED)
    assert (stats.success_rate, stats.avg_response_time) == (0.5, 2.0)


def test_what_a_person_ended_says_nothing_of_the_peer() -> None:
    assert after(TurnCancelled("me"), TurnInterrupted("because")) == PeerStats()


def test_a_cost_is_that_of_turns_whose_price_is_known() -> None:
    stats = after(answered(1, "0.002"), answered(1, None, 10**6), answered(1, "0.004"))
    assert stats.cost_per_1k_tokens == "0.003000"


def test_old_turns_fade() -> None:
    stats = after(FAILED, FAILED).after(answered(1.0), HALF_LIFE_MS)
    assert stats.success_rate == pytest.approx(0.5)


def test_between_equals_the_one_that_answers_goes_first_then_the_fast_one() -> None:
    peers = [peer(name, Capability("x", 0.9)) for name in ("a", "b", "c", "d")]
    peer_statistics = {
        "a": after(FAILED, answered(0.1)),
        "b": after(answered(2.0)),
        "c": after(answered(1.0)),
    }
    order = [m.peer.name for m in rank(peers, "x", 0.5, lambda name: peer_statistics.get(name, PeerStats()))]
    assert order == ["c", "b", "d", "a"]
