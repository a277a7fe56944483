"""A thread with an event loop, for what a shell keeps up while its own thread waits for a person. What runs
there it refuses to know.
"""

import asyncio
import threading
from contextlib import AsyncExitStack
from time import monotonic
from typing import Self, TypeVar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Coroutine
    from contextlib import AbstractAsyncContextManager
    from typing import Any

Given = TypeVar("Given")
_GOODBYE_SECONDS = 1.0


class Background:
    """Within the `with` the loop runs; with it all that runs there ends."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._is_up = threading.Event()
        self._thread = threading.Thread(target=self._run, name="aish background", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._is_up.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self._living.cancel)
        self._thread.join(_GOODBYE_SECONDS)  # a daemon: one that hangs does not hold the shell

    def begin(self, work: "Coroutine[Any, Any, None]", name: str) -> None:
        """Let that run beside the shell. What it raises ends all that runs here, so it raises nothing."""
        self.loop.call_soon_threadsafe(lambda: self._tasks.create_task(work, name=name))

    def wait(self, work: "Coroutine[Any, Any, Given]", deadline: float | None = None) -> Given:
        """What the work, which is done there, gives or raises. Whoever stops waiting has stopped it.

        Raises:
            TimeoutError: `deadline` (on `time.monotonic`) is over.
            KeyboardInterrupt: the user does not wait any more.
        """
        doing = asyncio.run_coroutine_threadsafe(work, self.loop)
        try:
            return doing.result(None if deadline is None else max(deadline - monotonic(), 0.0))
        finally:
            doing.cancel()

    async def keep(self, held: "AbstractAsyncContextManager[Given]") -> Given:
        """Enter it, to be left when the loop ends."""
        return await self._held.enter_async_context(held)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
            try:
                runner.run(self._live())
            except asyncio.CancelledError:
                pass  # that is how it ends

    async def _live(self) -> None:
        living = asyncio.current_task()
        assert living is not None
        self._living = living
        async with AsyncExitStack() as self._held, asyncio.TaskGroup() as self._tasks:
            self._is_up.set()
            await asyncio.Event().wait()
