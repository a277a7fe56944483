"""The errors that occur between the hub and a program under a host."""

from __future__ import annotations

from rhetor.errors import HostSilent as HostSilent
from rhetor.errors import RhetorError, TurnFailure


class HostLost(TurnFailure):
    """The hub can no longer reach the program. Unless `detail` gives another reason, its host was killed or
    the machine was restarted."""

    code = "peer_lost"

    def __init__(self, host_id: str, detail: str = "the program was lost: its host process is gone") -> None:
        super().__init__(detail, host=host_id)


class InvalidHostAnswer(HostLost):
    """The host is running, but sends bytes that do not follow its protocol."""

    def __init__(self, host_id: str, reason: object) -> None:
        super().__init__(host_id, f"the program was lost: its host sent an invalid answer: {reason}")


class OutputUnreadable(HostLost):
    """The reader of the program's output failed; `error` is what ended it."""

    def __init__(self, host_id: str, error: Exception) -> None:
        super().__init__(host_id, f"the program's output cannot be read: {type(error).__name__}: {error}")


class HostRefused(TurnFailure):
    """The host has rejected a request: the nonce is wrong, or the request is invalid."""

    code = "host_refused"

    def __init__(self, host_id: str, reason: str) -> None:
        super().__init__(f"the program's host rejected the request: {reason}", host=host_id, reason=reason)


class ProgramOver(TurnFailure):
    """The program has ended. `data` has its exit code, or the signal that ended it, if known."""

    code = "program_over"

    def __init__(self, host_id: str, code: int | None, signal: int | None) -> None:
        how = f"by signal {signal}" if signal is not None else f"with code {code}"
        super().__init__(f"the program has ended {how}", host=host_id, exit_code=code, signal=signal)


class StdinClosed(TurnFailure):
    """The program's input is closed, by `close_stdin` or by the program itself."""

    code = "stdin_closed"

    def __init__(self, host_id: str) -> None:
        super().__init__("the program no longer reads input", host=host_id)


class HostIdTaken(RhetorError):
    """A folder for this host id already exists. Find its host, or forget it."""

    code, status = "conflict", 409

    def __init__(self, host_id: str) -> None:
        super().__init__(f"the host {host_id} already exists", host=host_id)


class ProgramAlive(RhetorError):
    """The host cannot be forgotten, because its program is still running."""

    code, status = "conflict", 409

    def __init__(self, host_id: str) -> None:
        super().__init__(f"the program of host {host_id} is still running; end it first", host=host_id)
