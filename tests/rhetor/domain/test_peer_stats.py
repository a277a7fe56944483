"""Recent statistics of a peer."""

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


def test_a_peer_without_turns_has_no_statistics() -> None:
    stats = PeerStats()
    assert (stats.success_rate, stats.avg_response_time, stats.cost_per_1k_tokens) == (None, None, None)


def test_rates_and_times_are_means_over_the_turns() -> None:
    stats = after(answered(1.0), answered(3.0), FAILED, FAILED)
    assert (stats.success_rate, stats.avg_response_time) == (0.5, 2.0)


def test_turns_interrupted_by_a_person_do_not_count() -> None:
    assert after(TurnCancelled("me"), TurnInterrupted("because")) == PeerStats()


def test_the_cost_covers_only_turns_with_a_known_price() -> None:
    stats = after(answered(1, "0.002"), answered(1, None, 10**6), answered(1, "0.004"))
    assert stats.cost_per_1k_tokens == "0.003000"


def test_old_turns_lose_weight() -> None:
    stats = after(FAILED, FAILED).after(answered(1.0), HALF_LIFE_MS)
    assert stats.success_rate == pytest.approx(0.5)


def test_equal_scores_are_ordered_by_success_rate_then_response_time() -> None:
    peers = [peer(name, Capability("x", 0.9)) for name in ("a", "b", "c", "d")]
    peer_statistics = {
        "a": after(FAILED, answered(0.1)),
        "b": after(answered(2.0)),
        "c": after(answered(1.0)),
    }
    order = [m.peer.name for m in rank(peers, "x", 0.5, lambda name: peer_statistics.get(name, PeerStats()))]
    assert order == ["c", "b", "d", "a"]
