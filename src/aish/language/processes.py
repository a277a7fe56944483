"""The user's own programs: a row of them joined by pipes, each run by `/bin/sh -c` with its stage's text.

They run in this folder, environment and process group, so that a terminal treats them as the shell's own.
"""

import os
from signal import SIG_IGN, SIGCONT, SIGINT, SIGPIPE, SIGQUIT, SIGSTOP, SIGTERM, signal

from aish import exits
from aish.exits import Failure
from aish.output import STDOUT, say
from aish.turns.message import MAX_INPUT_BYTES, STDIN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_SHELL = "/bin/sh"
_BY_SIGNAL = 128  # how sh says that what it ran was ended by a signal
_LAST_SIGNAL = 64
_SHOWN_CHARACTERS = 60


class Programs:
    """Programs that run. `stdin` and `stdout` are descriptors of the caller, who closes them."""

    def __init__(self, texts: "Sequence[str]", stdin: int = STDIN, stdout: int = STDOUT) -> None:
        self._texts = texts
        self._running: list[int] = []
        own: list[int] = []
        try:
            for number, text in enumerate(texts):
                reads, writes = stdin, stdout
                if number:
                    reads = own[-1]
                if number < len(texts) - 1:
                    following, writes = os.pipe()
                    own += [writes, following]
                self._running.append(_spawn(text, reads, writes))
        finally:
            for descriptor in own:
                os.close(descriptor)

    def wait(self) -> int:
        """Until all have ended: 0, 1 where one failed (which is said), 130 where the user stopped one.

        Meanwhile Ctrl-C is for the programs, as in every shell.
        """
        previous = signal(SIGINT, SIG_IGN)
        try:
            statuses = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in self._running]
        finally:
            signal(SIGINT, previous)
        self._running = []
        codes = [_judged(text, status) for text, status in zip(self._texts, statuses, strict=True)]
        return next((code for code in codes if code), exits.DONE)

    def stop(self) -> None:
        """Ask those that run, and what they started, to end, before what they were given looks whole.

        They are halted first, and told to end while halted: so none starts another one meanwhile, and no
        shell goes on with its next command because the one before has ended.
        """
        halted: list[int] = []
        while fresh := [pid for pid in _with_descendants(self._running) if pid not in halted]:
            _signal_all(fresh, SIGSTOP)
            halted += fresh
        _signal_all(halted, SIGTERM)
        _signal_all(halted, SIGCONT)

    def reap(self) -> None:
        """Wait for those that were stopped; how they end says nothing."""
        for pid in self._running:
            os.waitpid(pid, 0)
        self._running = []


def _with_descendants(pids: "Sequence[int]") -> list[int]:
    """The processes and all that descend from them; only themselves on a system without `/proc`."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc") if os.path.isdir("/proc") else ():  # noqa: PTH112, PTH208
        if name.isdigit() and (parent := _parent(name)):
            children.setdefault(parent, []).append(int(name))
    found = list(pids)
    for pid in found:  # it grows while it is read
        found += children.get(pid, [])
    return found


def _signal_all(pids: "Sequence[int]", number: int) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass  # it has ended by itself


def _parent(pid: str) -> int | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            return int(stat.read().rpartition(b")")[2].split()[1])
    except (OSError, IndexError):
        return None  # it has just ended


def fed(texts: "Sequence[str]", stdout: int) -> tuple[Programs, int]:
    """Programs that run, and the descriptor that feeds them, which the caller closes."""
    reads, writes = os.pipe()
    try:
        return Programs(texts, reads, stdout), writes
    except BaseException:
        os.close(writes)
        raise
    finally:
        os.close(reads)


def collect(descriptor: int) -> bytes:
    """All that comes until the end, which is what a peer can be given at most and a little more."""
    pieces: list[bytes] = []
    size = 0
    while size <= MAX_INPUT_BYTES and (piece := os.read(descriptor, 65536)):
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces)


def _spawn(text: str, stdin: int, stdout: int) -> int:
    actions = [
        (os.POSIX_SPAWN_DUP2, descriptor, number)
        for descriptor, number in ((stdin, STDIN), (stdout, STDOUT))
        if descriptor != number
    ]
    # Python ignores SIGPIPE, and what is ignored stays so in children: `cat big | head -1` would complain.
    signals = [SIGPIPE, SIGINT, SIGQUIT]
    try:
        return os.posix_spawn(
            _SHELL, [_SHELL, "-c", text], os.environ, file_actions=actions, setsigdef=signals
        )
    except (OSError, ValueError) as error:  # too long, too many, or a NUL in it
        raise Failure(f"aish: {_short(text)}: {getattr(error, 'strerror', error)}") from None


def _judged(text: str, status: int) -> int:
    number = -status if status < 0 else status - _BY_SIGNAL
    if status == 0 or number == SIGPIPE:
        return exits.DONE
    if number == SIGINT:
        return exits.INTERRUPTED
    by_signal = 0 < number <= _LAST_SIGNAL
    say(f"aish: {_short(text)}: " + (f"ended by signal {number}" if by_signal else f"exit status {status}"))
    return exits.FAILED


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"
