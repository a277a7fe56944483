"""Time limits of a turn: which one expires, when, and what a cancellation means."""

import asyncio
from typing import Any

import pytest

from rhetor.drivers.models.deadline import Deadline, DeadlineExceeded, Interrupted, Timeouts

pytestmark = pytest.mark.anyio

SOON, LATE = 0.02, 30.0  # seconds; tests wait for SOON, and would time out if they waited for LATE


async def forever() -> None:
    await asyncio.Event().wait()


async def phase_of(deadline: Deadline) -> str:
    with pytest.raises(DeadlineExceeded) as over:
        await deadline.wait(forever())
    return over.value.phase


async def test_the_first_wait_ends_at_the_first_chunk_timeout() -> None:
    with Deadline(Timeouts(first_chunk=SOON, idle=LATE, total=LATE)) as deadline:
        assert await phase_of(deadline) == "first_chunk"


async def test_the_idle_timeout_applies_after_the_first_chunk() -> None:
    with Deadline(Timeouts(first_chunk=LATE, idle=SOON, total=LATE)) as deadline:
        await deadline.wait(asyncio.sleep(0))
        deadline.alive()
        assert await phase_of(deadline) == "idle"


async def test_output_that_is_read_without_a_wait_does_not_postpone_the_idle_timeout() -> None:
    loop = asyncio.get_running_loop()
    with Deadline(Timeouts(first_chunk=LATE, idle=SOON, total=LATE)) as deadline:
        await deadline.wait(asyncio.sleep(0))
        deadline.alive()
        await asyncio.sleep(1)  # the time of a slow reader
        deadline.alive()
        began = loop.time()
        assert await phase_of(deadline) == "idle"
        assert loop.time() - began < 0.5


async def test_waits_without_any_output_add_up() -> None:
    times = Timeouts(first_chunk=4 * SOON, idle=LATE, total=LATE)
    with Deadline(times) as deadline, pytest.raises(DeadlineExceeded):
        for _ in range(1000):
            await deadline.wait(asyncio.sleep(SOON))


async def test_the_total_timeout_applies_even_if_output_keeps_coming() -> None:
    times = Timeouts(first_chunk=LATE, idle=LATE, total=4 * SOON)
    with Deadline(times) as deadline, pytest.raises(DeadlineExceeded, match="total"):
        for _ in range(1000):
            await deadline.wait(asyncio.sleep(SOON))
            deadline.alive()


async def test_each_call_has_its_own_first_chunk_timeout() -> None:
    with Deadline(Timeouts(first_chunk=4 * SOON, idle=LATE, total=LATE)) as deadline:
        for _ in range(3):
            deadline.call()
            await deadline.wait(asyncio.sleep(2 * SOON))
        assert await phase_of(deadline) == "first_chunk"
        deadline.call()
        await deadline.wait(asyncio.sleep(0))


async def test_a_new_call_starts_with_the_first_chunk_timeout_again() -> None:
    with Deadline(Timeouts(first_chunk=SOON, idle=LATE, total=LATE)) as deadline:
        deadline.alive()
        await deadline.wait(asyncio.sleep(0))
        deadline.call()
        assert await phase_of(deadline) == "first_chunk"


async def test_a_pause_is_limited_only_by_the_total_timeout() -> None:
    with Deadline(Timeouts(first_chunk=SOON, idle=SOON, total=6 * SOON)) as deadline:
        await deadline.pause(asyncio.sleep(2 * SOON))
        assert 0 < deadline.left < 5 * SOON
        with pytest.raises(DeadlineExceeded, match="total"):
            await deadline.pause(forever())
        assert deadline.left <= 0
        deadline.call()
        with pytest.raises(DeadlineExceeded, match="total"):
            await deadline.wait(asyncio.sleep(0))


async def test_interrupting_ends_a_pause_and_any_later_call() -> None:
    with Deadline(Timeouts()) as deadline:
        asyncio.get_running_loop().call_soon(deadline.interrupt)
        with pytest.raises(Interrupted):
            await deadline.pause(forever())
        deadline.call()
        with pytest.raises(Interrupted):
            await deadline.wait(forever())


async def test_time_between_waits_does_not_count() -> None:
    with Deadline(Timeouts(first_chunk=4 * SOON, idle=LATE, total=LATE)) as deadline:
        await deadline.wait(asyncio.sleep(0))
        await asyncio.sleep(6 * SOON)
        await deadline.wait(asyncio.sleep(0))
        assert await phase_of(deadline) == "first_chunk"


async def test_interrupting_ends_the_current_and_every_later_wait() -> None:
    with Deadline(Timeouts()) as deadline:
        asyncio.get_running_loop().call_soon(deadline.interrupt)
        for _ in range(2):
            with pytest.raises(Interrupted):
                await deadline.wait(forever())


async def test_a_cancellation_takes_precedence_over_an_interrupt() -> None:
    with Deadline(Timeouts()) as deadline:
        waiting = asyncio.create_task(deadline.wait(forever()))
        await asyncio.sleep(0)
        deadline.interrupt()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting


@pytest.mark.parametrize("answer", ["another error", "nothing"])
async def test_an_interrupt_leaves_no_cancellation_request_on_the_task(answer: str) -> None:
    async def stubborn() -> str:
        try:
            await forever()
        except asyncio.CancelledError as error:
            if answer == "another error":
                raise OSError("cut") from error
        return "went on"

    async def waiting(deadline: Deadline) -> Any:
        task = asyncio.current_task()
        assert task is not None
        try:
            return await deadline.wait(stubborn()), task.cancelling()
        except Interrupted:
            return "interrupted", task.cancelling()

    with Deadline(Timeouts()) as deadline:
        task = asyncio.create_task(waiting(deadline))
        await asyncio.sleep(0)
        deadline.interrupt()
        assert await task == ("interrupted" if answer == "another error" else "went on", 0)
