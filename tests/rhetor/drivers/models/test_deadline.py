"""The time that a turn has: what runs out, when, and what a cancellation means."""

import asyncio
from typing import Any

import pytest

from rhetor.drivers.models.deadline import Interrupted, OutOfPatience, Patience, Timeouts

pytestmark = pytest.mark.anyio

SOON, LATE = 0.02, 30.0  # seconds; the tests wait for what is SOON, and would fail if they waited for LATE


async def forever() -> None:
    await asyncio.Event().wait()


async def phase_of(patience: Patience) -> str:
    with pytest.raises(OutOfPatience) as over:
        await patience.wait(forever())
    return over.value.phase


async def test_the_first_wait_ends_with_its_time() -> None:
    with Patience(Timeouts(first_chunk=SOON, idle=LATE, total=LATE)) as patience:
        assert await phase_of(patience) == "first_chunk"


async def test_after_a_sign_of_life_the_shorter_time_holds() -> None:
    with Patience(Timeouts(first_chunk=LATE, idle=SOON, total=LATE)) as patience:
        await patience.wait(asyncio.sleep(0))
        patience.alive()
        assert await phase_of(patience) == "idle"


async def test_waits_without_a_sign_of_life_add_up() -> None:
    times = Timeouts(first_chunk=4 * SOON, idle=LATE, total=LATE)
    with Patience(times) as patience, pytest.raises(OutOfPatience):
        for _ in range(1000):
            await patience.wait(asyncio.sleep(SOON))


async def test_the_total_holds_however_lively_the_other_side_is() -> None:
    times = Timeouts(first_chunk=LATE, idle=LATE, total=4 * SOON)
    with Patience(times) as patience, pytest.raises(OutOfPatience, match="total"):
        for _ in range(1000):
            await patience.wait(asyncio.sleep(SOON))
            patience.alive()


async def test_each_call_has_its_own_time_for_the_first_chunk() -> None:
    with Patience(Timeouts(first_chunk=4 * SOON, idle=LATE, total=LATE)) as patience:
        for _ in range(3):
            patience.call()
            await patience.wait(asyncio.sleep(2 * SOON))
        assert await phase_of(patience) == "first_chunk"
        patience.call()
        await patience.wait(asyncio.sleep(0))


async def test_a_call_after_an_idle_one_waits_for_its_first_chunk_again() -> None:
    with Patience(Timeouts(first_chunk=SOON, idle=LATE, total=LATE)) as patience:
        patience.alive()
        await patience.wait(asyncio.sleep(0))
        patience.call()
        assert await phase_of(patience) == "first_chunk"


async def test_a_pause_is_bounded_by_the_total_alone() -> None:
    with Patience(Timeouts(first_chunk=SOON, idle=SOON, total=6 * SOON)) as patience:
        await patience.pause(asyncio.sleep(2 * SOON))
        assert 0 < patience.left < 5 * SOON
        with pytest.raises(OutOfPatience, match="total"):
            await patience.pause(forever())
        assert patience.left <= 0
        patience.call()
        with pytest.raises(OutOfPatience, match="total"):
            await patience.wait(asyncio.sleep(0))


async def test_interrupting_ends_a_pause_and_no_call_goes_on_after_it() -> None:
    with Patience(Timeouts()) as patience:
        asyncio.get_running_loop().call_soon(patience.interrupt)
        with pytest.raises(Interrupted):
            await patience.pause(forever())
        patience.call()
        with pytest.raises(Interrupted):
            await patience.wait(forever())


async def test_time_between_waits_is_the_readers_own() -> None:
    with Patience(Timeouts(first_chunk=4 * SOON, idle=LATE, total=LATE)) as patience:
        await patience.wait(asyncio.sleep(0))
        await asyncio.sleep(6 * SOON)
        await patience.wait(asyncio.sleep(0))
        assert await phase_of(patience) == "first_chunk"


async def test_interrupting_ends_the_wait_and_every_later_one() -> None:
    with Patience(Timeouts()) as patience:
        asyncio.get_running_loop().call_soon(patience.interrupt)
        for _ in range(2):
            with pytest.raises(Interrupted):
                await patience.wait(forever())


async def test_a_cancellation_from_outside_goes_first() -> None:
    with Patience(Timeouts()) as patience:
        waiting = asyncio.create_task(patience.wait(forever()))
        await asyncio.sleep(0)
        patience.interrupt()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting


@pytest.mark.parametrize("answer", ["another error", "nothing"])
async def test_what_an_awaitable_makes_of_its_cancellation_does_not_stay_with_the_task(answer: str) -> None:
    async def stubborn() -> str:
        try:
            await forever()
        except asyncio.CancelledError as error:
            if answer == "another error":
                raise OSError("cut") from error
        return "went on"

    async def waiting(patience: Patience) -> Any:
        task = asyncio.current_task()
        assert task is not None
        try:
            return await patience.wait(stubborn()), task.cancelling()
        except Interrupted:
            return "interrupted", task.cancelling()

    with Patience(Timeouts()) as patience:
        task = asyncio.create_task(waiting(patience))
        await asyncio.sleep(0)
        patience.interrupt()
        assert await task == ("interrupted" if answer == "another error" else "went on", 0)
