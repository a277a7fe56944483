"""SIGTERM and SIGHUP while the shell waits for an answer: they end the wait first, and then the process.

The module `signal` takes too long to import, so this one uses `_signal`.
"""

import _signal  # type: ignore[import-not-found]  # typeshed does not have it

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

_ENDING = (_signal.SIGTERM, _signal.SIGHUP)


class Terminated(BaseException):
    """The process received SIGTERM or SIGHUP. When everything is closed, `end` ends it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    def end(self) -> int:
        """End this process with the signal. Return its exit code if that does not work."""
        import os

        _signal.signal(self.number, _signal.SIG_DFL)
        os.kill(os.getpid(), self.number)
        return 128 + self.number


class Signals:
    """While they are caught, SIGTERM and SIGHUP raise `Terminated`. Signals that are ignored (`nohup`) or
    have another handler stay as they are."""

    def __init__(self) -> None:
        self._caught: list[int] = []

    def catch(self) -> None:
        try:
            for number in _ENDING:
                if _signal.getsignal(number) == _signal.SIG_DFL:
                    _signal.signal(number, _raise)
                    self._caught.append(number)
        except ValueError:
            pass  # not the main thread, which alone receives signals

    def restore(self) -> None:
        while self._caught:
            _signal.signal(self._caught.pop(), _signal.SIG_DFL)


def _raise(number: int, frame: "FrameType | None") -> None:
    raise Terminated(number)
