"""The exit codes of the shell, and the failure that carries one."""

DONE = 0
FAILED = 1
USAGE = 2
UNKNOWN = 3
DENIED = 4
UNREACHABLE = 5
SILENT = 6
TIMED_OUT = 124
INTERRUPTED = 130
# what kind of name is unknown: one of those of `aish.catalogue.completion.Names`, or the first word of a line
PEER, WORD = "PEER", "WORD"
INVALID_OPTION = "invalid_option"  # the problem of words that the grammar rejects

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
# Users' scripts read these messages, so they have no prefix.
_FIXED_WORDINGS = ("Error: ", "No AI found for capability", "team-chat requires")


class Failure(Exception):
    """The error with which a line or a command ends.

    `message` says what is wrong, `hint` what to do about it, `code` is the exit code. If the hub rejected a
    request, `status` is the HTTP status and `problem` the hub's error code. If a name is unknown, `unknown`
    is its kind and the name.
    """

    def __init__(
        self,
        message: str,
        code: int = FAILED,
        *,
        status: int = 0,
        problem: str = "",
        hint: str = "",
        unknown: tuple[str, str] = ("", ""),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.status = status
        self.problem = problem
        self.hint = hint
        self.unknown = unknown

    @property
    def line(self) -> str:
        """The message and the hint in one line."""
        return f"{self.message}; {self.hint}" if self.hint and self.hint not in self.message else self.message

    @property
    def shown(self) -> str:
        """The message as it appears on stderr. A hint that the message does not contain follows on its own
        line."""
        line = self.message if self.message.startswith(_FIXED_WORDINGS) else f"aish: {self.message}"
        return f"{line}\n{self.hint}" if self.hint and self.hint not in self.message else line


def unknown(word: str) -> Failure:
    """Return the failure for a word that is neither a command nor a peer. Users' scripts read its message."""
    return Failure(f"Error: Unknown CI or command: {word}", UNKNOWN, unknown=(WORD, word))


def exit_code(problem: str, status: int = 0) -> int:
    """Return the exit code for an error of the hub, from its code and HTTP status (0 for an event)."""
    if problem in _UNKNOWN_CODES:
        return UNKNOWN
    if problem == "timeout":
        return TIMED_OUT
    if problem in ("store_refused", "machine_offline"):  # the hub itself can be reached
        return FAILED
    return _BY_STATUS.get(status, FAILED)
