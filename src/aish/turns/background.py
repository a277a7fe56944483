"""A thread with an event loop, for connections that the shell keeps while its main thread waits for input."""

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

Result = TypeVar("Result")
_CLOSE_TIMEOUT = 1.0  # seconds


class Background:
    """An event loop in a thread, which runs within the `with`. Everything that runs on it ends with it."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._is_up = threading.Event()
        self._thread = threading.Thread(target=self._run, name="aish background", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._is_up.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self._main.cancel)
        self._thread.join(_CLOSE_TIMEOUT)  # a daemon thread: if it hangs, the shell exits anyway

    def start(self, work: "Coroutine[Any, Any, None]", name: str) -> None:
        """Run the work as a task. It must not raise: an exception ends every task of the loop."""
        self.loop.call_soon_threadsafe(lambda: self._tasks.create_task(work, name=name))

    def wait(self, work: "Coroutine[Any, Any, Result]", deadline: float | None = None) -> Result:
        """Run the work on the loop, and return its result or raise its exception. If the wait ends early, the
        work is cancelled.

        Raises:
            TimeoutError: the `deadline` (on `time.monotonic`) has passed.
            KeyboardInterrupt: the user pressed Ctrl-C.
        """
        future = asyncio.run_coroutine_threadsafe(work, self.loop)
        try:
            return future.result(None if deadline is None else max(deadline - monotonic(), 0.0))
        finally:
            future.cancel()

    async def enter(self, context: "AbstractAsyncContextManager[Result]") -> Result:
        """Enter an asynchronous context, which is left when the loop ends."""
        return await self._contexts.enter_async_context(context)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
            try:
                runner.run(self._live())
            except asyncio.CancelledError:
                pass  # `__exit__` ends the loop this way

    async def _live(self) -> None:
        main = asyncio.current_task()
        assert main is not None
        self._main = main
        async with AsyncExitStack() as self._contexts, asyncio.TaskGroup() as self._tasks:
            self._is_up.set()
            await asyncio.Event().wait()
