"""Responses that are not stored, while their connections are open."""

from __future__ import annotations

from rhetor.domain.given import KeptWithTurn
from rhetor.transports.compatible.open_responses import MOST_OPEN, OpenResponses, OwnResponses

KEPT = KeptWithTurn({}, {})


def test_a_websocket_keeps_its_last_responses_for_its_caller_until_it_is_closed() -> None:
    everything = OpenResponses()
    own = OwnResponses(everything)
    everything.add("other", "me", KEPT)
    for n in range(MOST_OPEN + 1):
        own.add(f"t_{n}", "me", KEPT)
    assert everything.of("t_0", "me") is None
    assert everything.of("t_1", "me") == KEPT
    assert everything.of("t_1", "guest") is None
    own.drop("t_1")
    own.drop("other")  # of another connection
    assert everything.of("t_1", "me") is None
    own.close()
    assert everything.of(f"t_{MOST_OPEN}", "me") is None
    assert everything.of("other", "me") == KEPT
