"""What goes wrong between the hub and a wrapped program, named by its condition."""

from __future__ import annotations

from rhetor.errors import RhetorError, TurnFailure


class HostLost(TurnFailure):
    """The host of the program is gone without a word: killed, or the machine was started anew."""

    code = "peer_lost"

    def __init__(self, host_id: str) -> None:
        super().__init__("the program was lost: the process that keeps it is gone", host=host_id)


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
