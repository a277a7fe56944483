"""What goes wrong between the hub and a wrapped program, named by its condition."""

from __future__ import annotations

from rhetor.errors import RhetorError, TurnFailure


class HostLost(TurnFailure):
    """Nothing more can be learned of the program. If no other reason is given, its host was killed or the
    machine was restarted."""

    code = "peer_lost"

    def __init__(self, host_id: str, detail: str = "the program was lost: its host process is gone") -> None:
        super().__init__(detail, host=host_id)


class InvalidHostAnswer(HostLost):
    """The host is there, but sends bytes that are not its protocol."""

    def __init__(self, host_id: str, reason: object) -> None:
        super().__init__(host_id, f"the program was lost: its host sent an invalid answer: {reason}")


class OutputUnreadable(HostLost):
    """The reader of the program's output failed; `error` is what ended it."""

    def __init__(self, host_id: str, error: Exception) -> None:
        super().__init__(host_id, f"the program's output cannot be read: {type(error).__name__}: {error}")


class HostRefused(TurnFailure):
    """The host takes no such request from this caller: a wrong nonce, or one that makes no sense."""

    code = "host_refused"

    def __init__(self, host_id: str, reason: str) -> None:
        super().__init__(f"the host of the program refuses: {reason}", host=host_id, reason=reason)


class ProgramOver(TurnFailure):
    """The program has ended; `data` has its code or the signal that ended it, where known."""

    code = "program_over"

    def __init__(self, host_id: str, code: int | None, signal: int | None) -> None:
        how = f"by signal {signal}" if signal is not None else f"with code {code}"
        super().__init__(f"the program has ended {how}", host=host_id, exit_code=code, signal=signal)


class StdinClosed(TurnFailure):
    """The program's input was closed: by `close_stdin`, or by the program."""

    code = "stdin_closed"

    def __init__(self, host_id: str) -> None:
        super().__init__("the program takes no input any more", host=host_id)


class HostIdTaken(RhetorError):
    """There is a folder for this id already: find its host, or forget it."""

    code, status = "conflict", 409

    def __init__(self, host_id: str) -> None:
        super().__init__(f"there is a host {host_id} already", host=host_id)


class ProgramAlive(RhetorError):
    """What is to be forgotten still runs."""

    code, status = "conflict", 409

    def __init__(self, host_id: str) -> None:
        super().__init__(f"the program of {host_id} still runs: end it first", host=host_id)
