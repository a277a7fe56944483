"""The real PgBouncer before a cluster, with a configuration that is given."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from .cluster import Cluster, ordinary_user

SECONDS = 60.0
CHANGES = {
    "rhetor = host=db.example.org dbname=rhetor": "{database} = host={folder} dbname={database}",
    "listen_port = 6432": "listen_port = {port}",
    "auth_type = scram-sha-256": "auth_type = trust",
    "auth_file = /etc/pgbouncer/userlist.txt": "auth_file = {here}/users\nunix_socket_dir =\n"
    "logfile = {here}/log\npidfile = {here}/pid",
}


@contextmanager
def pooled(cluster: Cluster, url: str, text: str, program: str) -> Iterator[str]:
    """Run PgBouncer before a database, and yield the URL of the database there. `text`: its configuration as
    people get it, with other places."""
    database = urlsplit(url).path[1:]
    with tempfile.TemporaryDirectory(prefix="pgb") as name:
        here = Path(name)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        for old, new in CHANGES.items():
            assert text.count(old) == 1, old
            text = text.replace(
                old, new.format(database=database, folder=cluster.folder, port=port, here=here)
            )
        (here / "pgbouncer.ini").write_text(text)
        (here / "users").write_text('"postgres" ""\n')
        here.chmod(0o777)
        process = subprocess.Popen(
            [program, str(here / "pgbouncer.ini")],
            env={"PATH": os.environ["PATH"]},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **ordinary_user(),
        )
        try:
            _wait(process, port)
            yield f"postgresql://postgres@127.0.0.1:{port}/{database}"
        finally:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], port: int) -> None:
    until = time.monotonic() + SECONDS
    while True:
        assert process.poll() is None, "PgBouncer has ended"
        try:
            socket.create_connection(("127.0.0.1", port), 1.0).close()
        except OSError:
            assert time.monotonic() < until
            time.sleep(0.02)
        else:
            return
