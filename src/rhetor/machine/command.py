"""`rhetor join URL`: the command."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from rhetor.domain.secrets import Secrets, secret_values
from rhetor.errors import InvalidSettings
from rhetor.home import Home, HomeTaken, state_home

if TYPE_CHECKING:
    import ssl

    from rhetor.settings import Settings

    from .offers import Offered
    from .programs import Served

TOKEN = "RHETOR_NODE_TOKEN"
_LOOPBACK = re.compile(r"(localhost|.*\.localhost|127(\.\d{1,3}){3}|::1)")


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Add the command, and return its parser."""
    join = commands.add_parser(
        "join", help="connect this machine to a hub, which then uses its agents, programs and projects"
    )
    join.add_argument("url", metavar="URL", help="of the hub, for example https://hub.example:8300")
    join.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help=f"file (mode 0600) with a token of scope node (default: the variable {TOKEN})",
    )
    join.add_argument(
        "--offer",
        action="append",
        default=[],
        metavar="NAME",
        help="offer only this program of tools:; can be repeated (default: join.offer, or all installed)",
    )
    join.add_argument("--ca", type=Path, metavar="FILE", help="CA that signed the hub's certificate (PEM)")
    join.add_argument(
        "--plain-http",
        action="store_true",
        help="allow http to another machine: the token is sent unprotected",
    )
    join.set_defaults(run=run)
    return join


def run(arguments: argparse.Namespace) -> int:
    """Join the hub until the process is told to end; return the exit status."""
    # here and below, so that the other commands, which need none of this, start sooner
    import asyncio

    from rhetor import logs
    from rhetor.auth.process_tree import reject_programs

    url = socket_url(arguments.url, plain=arguments.plain_http)
    whole = arguments.home.absolute() if arguments.home else state_home(os.environ)
    reject_programs(whole)
    home = Home(whole / "join" / _folder_name(url), os.environ)
    home.prepare()
    try:
        home.lock()
    except HomeTaken:
        raise InvalidSettings(
            f"rhetor join is running already for {arguments.url}, with {home.folder}"
        ) from None
    hidden = Secrets(secret_values(os.environ))
    logs.start_file(hidden, home.folder / "join.log")
    token = _token(arguments.token_file)
    hidden.add([token()])
    try:
        return asyncio.run(_join(arguments, url, whole, home, token, hidden))
    finally:
        home.release()


async def _join(
    arguments: argparse.Namespace,
    url: str,
    whole: Path,
    home: Home,
    token: Callable[[], str],
    hidden: Secrets,
) -> int:
    import asyncio
    import signal
    import socket

    from rhetor.auth.tokens import load_token
    from rhetor.settings import Source

    from .joining import Joining, say
    from .offers import offered

    file = arguments.config or whole / "config.yaml"
    if arguments.config is not None and not file.exists():
        raise InvalidSettings(f"--config: {file} does not exist")
    settings = Source(file).read()
    environment = {name: value for name, value in os.environ.items() if name != TOKEN}
    offers = offered(settings, environment, arguments.offer)
    secret = load_token(home.folder / "machine")  # by which the hub recognizes this machine
    task = asyncio.current_task()
    assert task is not None
    with _served(offers, settings, whole, home, hidden) as served:
        joining = Joining(
            url, token, secret, socket.gethostname(), offers, served, _tls(url, arguments.ca), say
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        names = ", ".join(offer.name for offer in offers.offers()) or "no programs"
        folders = "".join(f"; project {name} in {path}" for name, path in offers.projects.items())
        say(f"offers {names}{folders}")
        try:
            await joining.run()
        except asyncio.CancelledError:
            say("ends; its programs continue to run")
    return 0


@contextmanager
def _served(
    offers: Offered, settings: Settings, whole: Path, home: Home, hidden: Secrets
) -> Iterator[Served]:
    """Serve the programs and the projects of this machine that are offered, with its own files."""
    from rhetor.drivers.programs.host.hosts import Hosts
    from rhetor.drivers.programs.host.spool_keys import SpoolKeys
    from rhetor.drivers.programs.places import Places
    from rhetor.program_drivers import program_drivers
    from rhetor.sealing.ring import Ring
    from rhetor.store.files.on_demand import FilesOnDemand
    from rhetor.store.files.sealing import FileSeal

    from .files import ProjectFiles
    from .programs import Served

    ring, sealed = Ring(home.folder, settings.encryption.key), settings.encryption.at_rest
    keys = SpoolKeys(ring, active=sealed)
    hosts = Hosts(home.folder / "hosts", home.runtime, secrets=hidden, keys=keys)
    opened = FilesOnDemand(
        home.folder / "checkpoints",
        max_file_bytes=settings.checkpoints.max_file_bytes,
        without=[whole],
        seal=FileSeal(ring, active=sealed),
    )
    try:
        files = ProjectFiles(opened, offers)
        yield Served(offers, program_drivers(home.folder, Places(hosts)), hosts, files)
    finally:
        opened.close()


def socket_url(url: str, *, plain: bool) -> str:
    """Return the URL of the hub's WebSocket for machines.

    Raises:
        InvalidSettings: it is no URL of a hub, or leads over the network without TLS.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port, parts = "", None, urlsplit("")
    if parts.scheme not in ("http", "https") or not host or parts.username or parts.query or parts.fragment:
        raise InvalidSettings(f"{url}: not the URL of a hub; it begins with https:// or http://")
    if parts.scheme == "http" and not plain and not _LOOPBACK.fullmatch(host.lower()):
        raise InvalidSettings(
            f"{url}: without TLS, everybody on the way can read the token; use https, or add --plain-http"
        )
    shown = f"[{host}]" if ":" in host else host
    place = f"{shown}:{port}" if port else shown
    return f"{'wss' if parts.scheme == 'https' else 'ws'}://{place}{parts.path.rstrip('/')}/ws/node"


def _folder_name(url: str) -> str:
    parts = urlsplit(url)
    return re.sub(r"[^A-Za-z0-9.-]+", "_", f"{parts.netloc}{parts.path.removesuffix('/ws/node')}")[:100]


def _token(file: Path | None) -> Callable[[], str]:
    """Return a function that returns the token. A file is read again for each connection, so that the token
    can be replaced.

    Raises:
        InvalidSettings: there is no token.
    """
    if file is None:
        given = os.environ.get(TOKEN, "").strip()
        if not given:
            raise InvalidSettings(
                "no token; on the hub's machine, run: rhetor token issue NAME --scopes node, and pass it "
                f"with --token-file FILE or {TOKEN}"
            )
        return lambda: given

    def read() -> str:
        try:
            if file.stat().st_mode & 0o077:
                raise InvalidSettings(f"{file}: other users have access to it; run: chmod 600 {file}")
            found = file.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            raise InvalidSettings(f"--token-file {file}: {reason}") from None
        if not found:
            raise InvalidSettings(f"--token-file {file}: it is empty")
        return found

    read()
    return read


def _tls(url: str, authority: Path | None) -> ssl.SSLContext | None:
    if not url.startswith("wss:"):
        return None
    import ssl

    try:
        context = ssl.create_default_context(cafile=str(authority) if authority else None)
    except (OSError, ssl.SSLError) as error:
        raise InvalidSettings(f"--ca {authority}: {error}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
