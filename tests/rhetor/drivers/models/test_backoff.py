"""When a call is retried, computed without I/O."""

import pytest

from rhetor.drivers.models.cooldown import Backoff
from rhetor.errors import ProviderFailed, ProviderTimeout, ProviderUnreachable, RateLimited


@pytest.mark.parametrize("dice", [0.0, 0.5, 0.999])
def test_jitter_covers_the_full_range_which_doubles_each_time(dice: float) -> None:
    down = ProviderUnreachable("down", retryable=True)
    backoff = Backoff(retries=4, dice=lambda: dice)
    pauses = [backoff.pause(down, made) for made in range(1, 6)]
    assert pauses == [dice * 0.5, dice * 1.0, dice * 2.0, dice * 4.0, None]


def test_retry_after_is_the_shortest_pause() -> None:
    def pause(asked: float, dice: float) -> float | None:
        limited = RateLimited("slow down", retryable=True, status=429, retry_after=asked)
        return Backoff(dice=lambda: dice).pause(limited, 1)

    assert [pause(0.1, 0.5), pause(0.3, 0.5), pause(60, 0.5), pause(60.1, 0.5)] == [0.25, 0.3, 60, None]


def test_a_5xx_that_is_not_retryable_has_no_pause() -> None:
    assert Backoff().pause(ProviderFailed("used up", status=500), 1) is None


@pytest.mark.parametrize("phase", ["first_chunk", "idle", "total"])
def test_only_a_connect_timeout_is_retried(phase: str) -> None:
    backoff = Backoff(dice=lambda: 0.5)
    assert backoff.pause(ProviderTimeout("late", retryable=True, phase="connect"), 1) == 0.25
    assert backoff.pause(ProviderTimeout("late", retryable=True, phase=phase), 1) is None
