"""Starts the program of a host, in a terminal or on three pipes of its own; resizes and signals it.

`output.py` reads its output, `input.py` writes its input, and `termination.py` ends it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import signal
import struct
import termios

from . import system
from .reader import UNKNOWN, input_of, reader
from .spec import Spec

_IUTF8 = 0o40000  # asm-generic/termbits.h; the termios module lacks it


class NotStarted(Exception):
    """The program did not start. `stage` (start, cwd or exec) failed with `errno`."""

    def __init__(self, stage: str, number: int) -> None:
        super().__init__(stage, number)
        self.stage = stage
        self.errno = number


class Program:
    """A running program and our ends of its terminal or pipes.

    In a terminal, `output` and `input` are the master's descriptor, and `stderr` is None. `slave` is the
    other side, which stays open so that no output is lost when the program closes it. On pipes, `output`,
    `input` and `stderr` are for its stdout, stdin and stderr. All but `slave` are non-blocking.
    """

    def __init__(self, spec: Spec) -> None:
        """Start the program.

        Raises:
            NotStarted: the program could not be started.
        """
        self.terminal = spec.terminal
        self.output: int
        self.input: int | None
        self.stderr: int | None = None
        self.slave: int | None = None
        self.rows, self.cols = spec.rows, spec.cols
        theirs = self._open_terminal() if spec.terminal else self._open_pipes()
        try:
            self.pid = _start(spec, theirs)
        finally:
            for fd in set(theirs) - {self.slave}:
                os.close(fd)
        self.start = system.start_time(self.pid)

    def _open_terminal(self) -> tuple[int, int, int]:
        master, slave = os.openpty()
        self.output = self.input = master
        self.slave = slave
        modes = termios.tcgetattr(slave)
        modes[0] |= _IUTF8
        termios.tcsetattr(slave, termios.TCSANOW, modes)
        self.resize(self.rows, self.cols)
        os.set_blocking(master, False)
        return slave, slave, slave

    def _open_pipes(self) -> tuple[int, int, int]:
        stdin, self.input = os.pipe()
        self.output, stdout = os.pipe()
        self.stderr, stderr = os.pipe()
        for fd in (self.input, self.output, self.stderr):
            os.set_blocking(fd, False)
        return stdin, stdout, stderr

    def resize(self, rows: int, cols: int) -> None:
        self.rows, self.cols = rows, cols
        fcntl.ioctl(self.output, termios.TIOCSWINSZ, struct.pack("4H", rows, cols, 0, 0))

    def signal(self, number: int) -> None:
        """Send a signal to the terminal's foreground process group; on pipes, to the program's group."""
        try:
            os.killpg(self.foreground(), number)
        except ProcessLookupError:
            pass

    def foreground(self) -> int:
        if self.terminal:
            try:
                # 0: there is no foreground group
                return os.tcgetpgrp(self.output) or self.pid
            except OSError:
                pass
        return self.pid

    def reader(self) -> bytes:
        """Return what the foreground processes do about input: one of the values of `reader.py`."""
        ours = self.input if self.slave is None else self.slave
        return UNKNOWN if ours is None else reader(self.foreground(), input_of(ours))

    def unread(self) -> int:
        """Return how many bytes of input the program could read now."""
        ours = self.input if self.slave is None else self.slave
        if ours is None:
            return 0
        return _readable(ours, self.terminal)

    def unheard(self) -> int:
        """Return how many bytes of its output the host could read now."""
        heard = [fd for fd in (self.output, self.stderr) if fd is not None and fd != -1]
        return sum(_readable(fd, self.terminal) for fd in heard)

    def modes(self) -> tuple[bool, bool]:
        """Return whether the terminal echoes, and whether it is in canonical mode. False on pipes."""
        if not self.terminal:
            return False, False
        flags = termios.tcgetattr(self.output)[3]
        return bool(flags & termios.ECHO), bool(flags & termios.ICANON)

    def close_input(self) -> None:
        """Close the pipe to the program's stdin, so that it reads the end of file. Ignored in a terminal."""
        if self.input is not None and not self.terminal:
            os.close(self.input)
            self.input = None

    def close(self) -> None:
        """Close all descriptors. A terminal hangs up."""
        for fd in {self.output, self.input, self.stderr, self.slave} - {None, -1}:
            assert fd is not None
            os.close(fd)
        self.output, self.input, self.stderr, self.slave = -1, None, None, None

    def close_stderr(self) -> None:
        if self.stderr is not None:
            os.close(self.stderr)
            self.stderr = None


def _readable(fd: int, terminal: bool) -> int:
    if terminal:
        # if nothing can be read, polling makes the kernel process what it still holds
        select.select([fd], [], [], 0)
    return int(struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, b"\0" * 4))[0])


def _start(spec: Spec, stdio: tuple[int, int, int]) -> int:
    told, tell = os.pipe()
    parent = os.getpid()
    pid = os.fork()
    if not pid:
        _become(spec, stdio, tell, parent)
    os.close(tell)
    failure = os.read(told, 64).decode()
    os.close(told)
    if failure:
        os.waitpid(pid, 0)
        stage, _, number = failure.partition(" ")
        raise NotStarted(stage, int(number))
    return pid


def _become(spec: Spec, stdio: tuple[int, int, int], tell: int, parent: int) -> None:
    """Run the program in this forked child; never returns. A failure is written to `tell`, which exec
    closes."""
    stage = "start"
    try:
        os.setsid()
        system.die_with_parent(signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(127)
        if spec.terminal:
            fcntl.ioctl(stdio[0], termios.TIOCSCTTY, 0)
        for number in range(1, signal.NSIG):
            if number not in (signal.SIGKILL, signal.SIGSTOP) and not 32 <= number < signal.SIGRTMIN:
                signal.signal(number, signal.SIG_DFL)
        for target, fd in enumerate(stdio):
            os.dup2(fd, target)
        stage = "cwd"
        os.chdir(spec.cwd)
        stage = "exec"
        os.umask(0o022)
        _exec(spec.argv, spec.env)
    except OSError as error:
        os.write(tell, f"{stage} {error.errno}".encode())
    except ValueError:
        os.write(tell, f"{stage} {errno.EINVAL}".encode())
    finally:
        os._exit(127)


def _exec(argv: list[bytes], env: dict[bytes, bytes]) -> None:
    """Replace this process with the program, which is searched for on its own PATH.

    Relative folders on the PATH are skipped, so that a file in the working folder is not run by its bare
    name.

    Raises:
        OSError: the program was not found or cannot be run.
    """
    if b"/" in argv[0]:
        os.execve(argv[0], argv, env)
    failure = OSError(errno.ENOENT, "")
    for folder in env.get(b"PATH", os.defpath.encode()).split(b":"):
        if folder.startswith(b"/"):
            try:
                os.execve(folder + b"/" + argv[0], argv, env)
            except OSError as error:
                if error.errno not in (errno.ENOENT, errno.ENOTDIR):
                    failure = error
    raise failure
