"""How a run of the shell ends: its exit codes, and the failure that carries one."""

DONE = 0
FAILED = 1
USAGE = 2
UNKNOWN = 3
DENIED = 4
UNREACHABLE = 5
TIMED_OUT = 124
INTERRUPTED = 130

_UNKNOWN_CODES = ("unknown_peer", "no_capable_peer", "unknown_team", "not_found")
_BY_STATUS = {
    400: USAGE,
    401: DENIED,
    403: DENIED,
    410: FAILED,
    413: USAGE,
    422: USAGE,
    503: UNREACHABLE,
    504: TIMED_OUT,
}


class Failure(Exception):
    """A line or a command ends here. The message is for a person; `code` is the exit code.

    `status` and `problem` are the hub's answer, where it was the hub that refused.
    """

    def __init__(self, message: str, code: int = FAILED, *, status: int = 0, problem: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.status = status
        self.problem = problem

    @property
    def shown(self) -> str:
        """The message as it stands on stderr. Wordings that others' scripts read stay as they are."""
        as_it_is = self.message.startswith(("aish:", "Error:", "No ", "team-chat "))
        return self.message if as_it_is else f"aish: {self.message}"


def unknown(word: str) -> Failure:
    """Neither a command nor a peer (scripts of others read these words)."""
    return Failure(f"Error: Unknown CI or command: {word}", UNKNOWN)


def exit_code(problem: str, status: int = 0) -> int:
    """The exit code for an error of the hub, by its code and its HTTP status (0 within a stream)."""
    if problem in _UNKNOWN_CODES:
        return UNKNOWN
    if problem == "timeout":
        return TIMED_OUT
    if problem == "store_refused":
        return FAILED
    return _BY_STATUS.get(status, FAILED)
