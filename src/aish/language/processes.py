"""Runs programs of the user, connected by pipes. `/bin/sh -c` runs each one with the text of its stage.

They run in the shell's folder, environment and process group, so the terminal treats them like the shell.
"""

import os
from signal import SIG_IGN, SIGCONT, SIGINT, SIGPIPE, SIGQUIT, SIGSTOP, SIGTERM, signal

from aish import exits
from aish.exits import Failure
from aish.output import STDOUT, say
from aish.turns.input import STDIN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_SHELL = "/bin/sh"
_SIGNAL_STATUS = 128  # sh adds this to the signal that killed its command
_LAST_SIGNAL = 64
_SHOWN_CHARACTERS = 60


class Programs:
    """Running programs. `stdin` and `stdout` are descriptors of the caller, which closes them. `arguments`:
    the values of `$0`, `$1` and so on in the texts."""

    def __init__(
        self,
        texts: "Sequence[str]",
        stdin: int = STDIN,
        stdout: int = STDOUT,
        arguments: "Sequence[str]" = (),
    ) -> None:
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
                self._running.append(_spawn(text, reads, writes, arguments))
        finally:
            for descriptor in own:
                os.close(descriptor)

    def wait(self) -> int:
        """Wait until all programs have exited. Meanwhile, Ctrl-C goes to the programs, as in every shell.

        Return 0, or 1 after printing which program failed, or 130 if the user stopped one.
        """
        previous = signal(SIGINT, SIG_IGN)
        try:
            statuses = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in self._running]
        finally:
            signal(SIGINT, previous)
        self._running = []
        codes = [_exit_code(text, status) for text, status in zip(self._texts, statuses, strict=True)]
        return next((code for code in codes if code), exits.DONE)

    def stop(self) -> None:
        """Terminate the programs and their descendants, before their input ends and looks complete.

        They are suspended before they get SIGTERM, so that none of them starts another process meanwhile, and
        no shell continues with its next command because the one before it has ended.
        """
        stopped: list[int] = []
        while fresh := [pid for pid in _with_descendants(self._running) if pid not in stopped]:
            _signal_all(fresh, SIGSTOP)
            stopped += fresh
        _signal_all(stopped, SIGTERM)
        _signal_all(stopped, SIGCONT)

    def reap(self) -> None:
        """Wait for the programs after `stop`, and ignore their exit codes."""
        for pid in self._running:
            os.waitpid(pid, 0)
        self._running = []


def _with_descendants(pids: "Sequence[int]") -> list[int]:
    """Return the processes and their descendants; without `/proc`, only the processes themselves."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc") if os.path.isdir("/proc") else ():  # noqa: PTH112, PTH208
        if name.isdigit() and (parent := _parent(name)):
            children.setdefault(parent, []).append(int(name))
    found = list(pids)
    for pid in found:  # the list grows during the loop
        found += children.get(pid, [])
    return found


def _signal_all(pids: "Sequence[int]", number: int) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass  # the process has exited


def _parent(pid: str) -> int | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            return int(stat.read().rpartition(b")")[2].split()[1])
    except (OSError, IndexError):
        return None  # the process has just exited


def start_fed(texts: "Sequence[str]", stdout: int, arguments: "Sequence[str]" = ()) -> tuple[Programs, int]:
    """Start programs; return them and the descriptor of their input, which the caller closes."""
    reads, writes = os.pipe()
    try:
        return Programs(texts, reads, stdout, arguments), writes
    except BaseException:  # the caller gets no descriptor that it could close
        os.close(writes)
        raise
    finally:
        os.close(reads)


def _spawn(text: str, stdin: int, stdout: int, arguments: "Sequence[str]") -> int:
    actions = [
        (os.POSIX_SPAWN_DUP2, descriptor, number)
        for descriptor, number in ((stdin, STDIN), (stdout, STDOUT))
        if descriptor != number
    ]
    # Python ignores SIGPIPE, and its children would too: `cat big | head -1` would print an error
    signals = [SIGPIPE, SIGINT, SIGQUIT]
    try:
        return os.posix_spawn(
            _SHELL,
            [_SHELL, "-c", text, *arguments],
            os.environ,
            file_actions=actions,
            setsigdef=signals,
        )
    except (OSError, ValueError) as error:  # too long, too many processes, or a NUL in the text
        raise Failure(f"cannot run {_short(text)}: {getattr(error, 'strerror', error)}") from None


def _exit_code(text: str, status: int) -> int:
    number = -status if status < 0 else status - _SIGNAL_STATUS
    if status == 0 or number == SIGPIPE:
        return exits.DONE
    if number == SIGINT:
        return exits.INTERRUPTED
    was_killed = 0 < number <= _LAST_SIGNAL
    say(f"aish: {_short(text)}: " + (f"killed by signal {number}" if was_killed else f"exit status {status}"))
    return exits.FAILED


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"
