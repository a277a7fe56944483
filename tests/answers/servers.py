"""The servers that two programs of the table talk to: an sshd and a PostgreSQL, each of the test's own.

Both listen on loopback or on a Unix socket only, have files only in a folder of the test, and end with it.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.postgres.cluster import Cluster, begin

SECONDS = 60.0
_SSHD = """
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/key.pub
ForceCommand env -i PATH=$PATH TERM=$TERM LC_ALL=C.UTF-8 bash --norc --noprofile
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin yes
PrintMotd no
PrintLastLog no
LogLevel INFO
"""
_SSH = """
Host localhost
HostName 127.0.0.1
Port {port}
IdentityFile {folder}/key
IdentitiesOnly yes
UserKnownHostsFile {folder}/known_hosts
GlobalKnownHostsFile /dev/null
StrictHostKeyChecking yes
"""


def server_path() -> str:
    """The PATH with the folders in which Debian has servers."""
    folders = sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")))
    return os.pathsep.join([os.environ["PATH"], "/usr/sbin", *folders])


def missing(names: Iterable[str]) -> list[str]:
    """Those of the programs that are not installed."""
    return [name for name in names if shutil.which(name, path=server_path()) is None]


def _server(name: str) -> str:
    found = shutil.which(name, path=server_path())
    assert found, f"{name} is not installed"
    return found


@contextmanager
def ssh_server(folder: Path) -> Iterator[None]:
    """An sshd that gives each connection a bash without start-up files. `folder`/ssh_config leads there."""
    for name in ("host_key", "key"):
        _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name))
    port = _free_port()
    host_key = (folder / "host_key.pub").read_text()
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {host_key}")
    (folder / "sshd_config").write_text(_SSHD.format(folder=folder, port=port))
    (folder / "ssh_config").write_text(_SSH.format(folder=folder, port=port))
    if os.geteuid() == 0:  # sshd wants this folder, which its service makes
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    command = [_server("sshd"), "-D", "-e", "-f", str(folder / "sshd_config")]
    with _running(command, "Server listening on"):
        yield


@contextmanager
def database_server(folder: Path) -> Iterator[None]:
    """A PostgreSQL with an empty database `postgres`, on the Unix socket in `folder`."""
    cluster = Cluster(Path(_server("initdb")).resolve().parent, folder)
    begin(cluster, durable=False)
    try:
        yield
    finally:
        cluster.stop()


def _run(*command: str) -> None:
    ran = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert ran.returncode == 0, f"{command}: {ran.stdout}{ran.stderr}"


@contextmanager
def _running(command: Sequence[str], ready: str) -> Iterator[None]:
    """Run the server from the moment at which it says on stderr that it is ready."""
    pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "cwd": "/"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **pipes) as process:
        assert process.stderr is not None
        try:
            said = ""
            while ready not in said:
                line = process.stderr.readline()
                assert line, f"{command[0]} ended: {said}"
                said += line
            yield
        finally:
            process.send_signal(signal.SIGINT)  # a fast shutdown
            process.wait(SECONDS)  # not for the end of stderr, which a connection's process still has


def _free_port() -> int:
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        port: int = tried.getsockname()[1]
        return port
