"""The launcher: reads the spec, forks the guard and the host, and reports whether the program has started.

The hub waits only for the launcher, which exits after its report. The guard is then adopted by init. It is
the parent of the host, and ends what a host that was killed has left.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import sys
import time

from rhetor.codec import host_frames as frames

from . import system
from .cipher import load_cipher
from .program import NotStarted, Program
from .requests import listening
from .segment import write_whole
from .spec import Spec
from .supervisor import Supervisor

_SPEC_BYTES = 8 << 20
_LOOK_SECONDS = 0.02


def main() -> None:
    """Read a spec from stdin and write one report to stdout: `started`, or stage, errno and reason."""
    spec = Spec(_read_all(0, _SPEC_BYTES))
    heard, tell = os.pipe()
    if not os.fork():
        os.close(heard)
        _detach(spec, tell)
        host = os.fork()
        if not host:
            os.setsid()
            _keep(spec, tell)
            os._exit(0)
        os.close(tell)
        del spec
        _guard(host)
        os._exit(0)
    os.close(tell)
    _write_all(1, _read_all(heard, 1 << 16))
    os._exit(0)


def _guard(host: int) -> None:
    """Wait for the end of the host, then kill its descendants.

    A host that was not killed has none left. Those of a killed host become children of this process, because
    it adopts orphans, whatever sessions and groups they are in.
    """
    os.waitpid(host, 0)
    while alive := system.descendants(os.getpid()):
        for pid in alive:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(_LOOK_SECONDS)


def _keep(spec: Spec, tell: int) -> None:
    system.adopt_orphans()
    try:
        cipher = load_cipher(spec.seal_key, spec.library) if spec.seal_key else None
    except (ImportError, ValueError):
        _report_failure(tell, "seal", errno.ENOPKG)
        return
    try:
        sock = listening(spec.socket)
    except OSError as error:
        _report_failure(tell, "socket", error.errno or 0)
        return
    try:
        program = Program(spec)
    except NotStarted as failure:
        os.unlink(spec.socket)  # noqa: PTH108
        _report_failure(tell, failure.stage, failure.errno)
        return
    supervisor = Supervisor(spec, program, sock, cipher)
    write_whole(f"{spec.folder}/identity", _identity(spec, program))
    try:
        _write_all(tell, frames.pack_fields([("started", b"")]))
    except BrokenPipeError:
        os.kill(os.getpid(), signal.SIGTERM)  # the launcher was killed, so the hub has given up the start
    os.close(tell)
    del spec.env, spec.argv, spec.seal_key
    supervisor.run()


def _detach(spec: Spec, tell: int) -> None:
    os.setsid()
    os.umask(0o077)
    os.chdir("/")
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    nothing = os.open(os.devnull, os.O_RDWR)
    log = os.open(f"{spec.folder}/{system.HOST_LOCK}", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)  # by this, other hosts recognize this one
    for target, fd in ((0, nothing), (1, nothing), (2, log)):
        os.dup2(fd, target)
    os.closerange(3, tell)
    os.closerange(tell + 1, 4096)
    system.adopt_orphans()


def _identity(spec: Spec, program: Program) -> bytes:
    pid = os.getpid()
    return frames.pack_fields(
        [
            ("host_pid", b"%d" % pid),
            ("host_start", b"%d" % system.start_time(pid)),
            ("program_pid", b"%d" % program.pid),
            ("program_start", b"%d" % program.start),
            ("boot_id", system.boot_id()),
            ("nonce", spec.nonce.hex().encode()),
            ("mode", b"pty" if program.terminal else b"pipes"),
            ("socket", spec.socket.encode()),
        ]
    )


def _report_failure(tell: int, stage: str, number: int) -> None:
    reason = [
        ("stage", stage.encode()),
        ("errno", errno.errorcode.get(number, "").encode()),
        ("reason", os.strerror(number).encode()),
    ]
    _write_all(tell, frames.pack_fields(reason))


def _read_all(fd: int, limit: int) -> bytes:
    parts = []
    while part := os.read(fd, 1 << 16):
        parts.append(part)
        limit -= len(part)
        if limit < 0:
            sys.exit("the spec is too long")
    return b"".join(parts)


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
