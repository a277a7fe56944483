"""Counters of the APIs."""

from __future__ import annotations

from rhetor.errors import TooSlow
from rhetor.transports.server.counters import Tally


def test_an_unknown_error_code_is_counted_as_other() -> None:
    tally = Tally()
    for code in (TooSlow.code, "provider_failed", "made up", "made up too"):
        tally.fault("sse", code)
    tally.end("ws", TooSlow.code)
    assert tally.errors == {
        ("sse", "too_slow"): 1,
        ("sse", "provider_failed"): 1,
        ("sse", "other"): 2,
        ("ws", "too_slow"): 1,
    }
    assert tally.closed == {("ws", "too_slow"): 1}
