"""Percentiles of measurements."""

from __future__ import annotations

from collections.abc import Sequence


def percentile(seconds: Sequence[float], share: float) -> float:
    """Return the value below which `share` (0 to 1) of the measurements are."""
    return sorted(seconds)[int((len(seconds) - 1) * share)]


def milliseconds(seconds: Sequence[float]) -> str:
    """Return p50 and p99 as text, in milliseconds."""
    return " · ".join(f"{percentile(seconds, share) * 1000:.2f}" for share in (0.5, 0.99)) + " ms"
