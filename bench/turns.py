"""Turns as a hub writes them, for logs that benchmarks read."""

from __future__ import annotations

from rhetor.domain.event import (
    MessageAccepted,
    OutputDelta,
    Payload,
    TurnCompleted,
    TurnStarted,
    UsageReported,
)


def turn_events(number: int, peer: str, question: str, answer: str, usage: UsageReported) -> list[Payload]:
    """Return the events of a turn that has answered a question and reported its usage."""
    return [
        MessageAccepted(f"m_{number}", "user", question),
        TurnStarted(peer),
        OutputDelta(answer),
        usage,
        TurnCompleted(f"m_{number}", answer, "stop", None, usage.cost, 1.0),
    ]
