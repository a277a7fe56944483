"""The commands `rhetor backup`, `restore`, `check`, `export` and `migrate`.

What they need is imported when they run.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from rhetor.home import Home, HomeTaken, state_home

if TYPE_CHECKING:
    from rhetor.sealing.ring import Ring

WRONG_USAGE, INTERRUPTED = 2, 130


def add_to(commands: Any) -> list[argparse.ArgumentParser]:
    """Add the parsers of the commands."""
    backup = commands.add_parser("backup", help="write a backup of the hub's state to one file")
    backup.add_argument(
        "file", nargs="?", type=Path, metavar="FILE", help="default: rhetor-TIME.backup in this folder"
    )
    _add_sealing(backup, "backup")
    backup.set_defaults(run=_stoppable(_backup))
    restore = commands.add_parser("restore", help="replace the state of a stopped hub with that of a backup")
    restore.add_argument("file", type=Path, metavar="FILE", help="a file that `rhetor backup` wrote")
    _add_passphrase(restore)
    restore.set_defaults(run=_stoppable(_restore))
    check = commands.add_parser("check", help="check the hub's state, and change nothing")
    check.add_argument("--json", action="store_true", help="print JSON")
    check.set_defaults(run=_stoppable(_check))
    export = commands.add_parser("export", help="print the events of the log as JSON lines")
    export.add_argument("--session", metavar="NAME", help="only those of this session, by name or id")
    for flag, what in (("--from", "since"), ("--to", "before")):
        help = f"only those {what} 2026-01-31T12:00, for example"
        export.add_argument(flag, dest=what, type=moment, metavar="TIME", help=help)
    export.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="a new file (default: standard output)",
    )
    _add_sealing(export, "export")
    export.set_defaults(run=_stoppable(_export))
    migrate = commands.add_parser(
        "migrate",
        help="bring the database of a stopped hub to the schema of this version, or move it to another",
    )
    migrate.add_argument(
        "--to",
        metavar="PLACE",
        help="move everything there: postgresql://USER@HOST/DATABASE, or sqlite:PATH for a new file",
    )
    migrate.add_argument(
        "--new-epochs",
        action="store_true",
        help="clients read everything again, because the log is older than they are; in PostgreSQL, or with "
        "--to sqlite:PATH",
    )
    migrate.set_defaults(run=_stoppable(_migrate))
    return [backup, restore, check, export, migrate]


def _add_sealing(parser: argparse.ArgumentParser, what: str) -> None:
    choice = parser.add_mutually_exclusive_group()
    help = f"seal the {what} with a passphrase, as age does (default if encryption.at_rest is on)"
    choice.add_argument("--seal", action="store_true", help=help)
    choice.add_argument("--plain", action="store_true", help=f"do not seal the {what}")
    _add_passphrase(parser)


def _add_passphrase(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--passphrase-file",
        type=Path,
        metavar="FILE",
        help="file with the passphrase (default: RHETOR_PASSPHRASE, or a prompt)",
    )


def moment(text: str) -> int:
    """Return a time in ISO 8601 as Unix time in milliseconds. Without a zone, it is local time."""
    try:
        return int(datetime.fromisoformat(text).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(
            f"invalid time {text!r}; write it as 2026-01-31 or 2026-01-31T12:00:00Z"
        ) from None


def _stoppable(run: Callable[[argparse.Namespace], int]) -> Callable[[argparse.Namespace], int]:
    """Let SIGTERM and Ctrl-C end the command in order, so that it removes its temporary files."""

    def stoppable(arguments: argparse.Namespace) -> int:
        def stop(*_: object) -> None:
            raise KeyboardInterrupt

        signal.signal(signal.SIGTERM, stop)
        try:
            return run(arguments)
        except KeyboardInterrupt:
            return INTERRUPTED

    return stoppable


def state_folder(arguments: argparse.Namespace) -> Path:
    """Return the state folder.

    Raises:
        Forbidden: a program that runs as a peer calls this.
    """
    from rhetor.auth.process_tree import reject_programs

    folder: Path = arguments.home.absolute() if arguments.home else state_home(os.environ)
    reject_programs(folder)
    return folder


def _backup(arguments: argparse.Namespace) -> int:
    from rhetor.sealing.portable import taken_from
    from rhetor.sealing.ring import Ring
    from rhetor.store.files.sealing import FileSeal

    from .backup import Sealing, back_up
    from .noting import note
    from .progress import Progress
    from .sealing import encryption, new_passphrase
    from .stores import require_file

    folder = state_folder(arguments)
    require_file(
        folder, "back it up with pg_dump, and copy the state folder, which has its keys and the checkpoints"
    )
    settings = encryption(folder)
    passphrase = new_passphrase(arguments, settings)
    name = "rhetor-%Y%m%d-%H%M%S.backup" + (".age" if passphrase else "")
    target = (arguments.file or Path(time.strftime(name))).absolute()
    ring = Ring(folder, settings.key)
    # content that is sealed cannot be read without them; credentials alone stay sealed in a plain backup
    with_keys = ring.exists and (passphrase is not None or settings.at_rest)
    sealing = Sealing(
        passphrase,
        lambda: taken_from(folder, settings.key) if with_keys else None,
        FileSeal(ring, active=False) if ring.exists else None,
        ring,
    )
    note(folder, "backup", str(target))
    with Progress.of_bytes("backup") as progress:
        missing = back_up(folder, target, progress, sealing)
    _warn_of(missing)
    sys.stdout.write(f"{target}\n")
    return 0


def _warn_of(missing: Any) -> None:
    if missing:
        more = f", and {len(missing) - 1} more" if len(missing) > 1 else ""
        sys.stderr.write(f"rhetor: missing in the state folder: {missing[0]}{more}\n")


def _restore(arguments: argparse.Namespace) -> int:
    from .progress import Progress
    from .restore import restore
    from .sealing import encryption, known_passphrase
    from .stores import require_file

    home = Home(state_folder(arguments), os.environ)
    require_file(home.folder, "restore it with pg_restore, or set store to sqlite before the restore")
    if not arguments.file.exists():
        sys.stderr.write(f"rhetor: {arguments.file} does not exist\n")
        return WRONG_USAGE
    home.prepare()
    try:
        home.lock()
    except HomeTaken:
        sys.stderr.write(f"rhetor: a hub is running in {home.folder}; stop it with aish shutdown\n")
        return WRONG_USAGE
    try:
        with Progress.of_bytes("restore") as progress:
            progress.total = arguments.file.stat().st_size
            key = encryption(home.folder).key
            done = restore(home.folder, arguments.file, progress, known_passphrase(arguments), key)
    finally:
        home.release()
    _warn_of(done.missing)
    if done.lost:
        sys.stderr.write(
            f"rhetor: not restored, because a plain backup has no keys: {', '.join(done.lost)}; a backup "
            "made with --seal has them\n"
        )
    made = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(done.header.at / 1000))
    kept = f"; what it replaced is in {done.aside}" if done.aside else ""
    sys.stdout.write(f"restored the state of {made}{kept}\n")
    return 0


def _migrate(arguments: argparse.Namespace) -> int:
    from rhetor.sealing.ring import Ring

    from .sealing import encryption
    from .stores import require_file

    folder = arguments.home.absolute() if arguments.home else state_home(os.environ)
    if arguments.to is None and arguments.new_epochs:
        return _renew_epochs(folder, Ring(folder, encryption(folder).key))
    if arguments.to is None:
        require_file(folder, "a start of the hub brings the tables to the newest schema")
    home = Home(folder, os.environ)
    if arguments.to is None and not (folder / "hub.db").exists():
        return _no_database(folder)
    if not folder.exists():
        sys.stderr.write(
            f"rhetor: {folder} does not exist; name the state folder with --home or RHETOR_HOME\n"
        )
        return WRONG_USAGE
    try:
        home.lock()
    except HomeTaken:
        sys.stderr.write(f"rhetor: a hub is running in {folder}; stop it with aish shutdown\n")
        return WRONG_USAGE
    try:
        ring = Ring(folder, encryption(folder).key)
        return _migrate_schema(folder, ring) if arguments.to is None else _move(arguments, folder, ring)
    finally:
        home.release()


def _renew_epochs(folder: Path, ring: Ring) -> int:
    import asyncio

    from rhetor.settings import SQLITE, read_settings

    store = read_settings(folder / "config.yaml").store
    if store == SQLITE:
        sys.stderr.write(
            "rhetor: an older hub.db is noticed when the hub starts; "
            "for sqlite:PATH, use --new-epochs with --to\n"
        )
        return WRONG_USAGE
    from rhetor.store.postgres.transfer import renew_epochs

    count = asyncio.run(renew_epochs(store, ring))
    sys.stdout.write(f"{count:,} streams have new epochs; clients read them again\n")
    return 0


def _migrate_schema(folder: Path, ring: Ring) -> int:
    from rhetor.store.sqlite.schema import MIGRATIONS

    from .migrate import migrate

    done = migrate(folder / "hub.db", ring)
    if done.before > len(MIGRATIONS):
        sys.stderr.write(
            f"rhetor: the database has schema {done.before}, but this version of rhetor supports only "
            f"{len(MIGRATIONS)}; install the newer version that wrote it\n"
        )
        return WRONG_USAGE
    if done.before == done.after:
        sys.stdout.write(f"the database has schema {done.after}, which is the newest\n")
    else:
        sys.stdout.write(f"migrated the database from schema {done.before} to {done.after}\n")
    return 0


def _move(arguments: argparse.Namespace, folder: Path, ring: Ring) -> int:
    import asyncio

    from rhetor.settings import read_settings

    from .moving import move
    from .places import place_of, source_of
    from .progress import Progress
    from .replacing import finish

    finish(folder)
    store = read_settings(folder / "config.yaml").store
    target = place_of(arguments.to, ring, new_epochs=arguments.new_epochs)
    with Progress("migrate", "rows") as progress:
        done = asyncio.run(move(source_of(folder, store, ring), target, progress))
    for line in done.lines:
        sys.stdout.write(f"{line}\n")
    return 0


def _no_database(folder: Path) -> int:
    sys.stderr.write(f"rhetor: {folder} has no hub.db; name the state folder with --home or RHETOR_HOME\n")
    return WRONG_USAGE


def _check(arguments: argparse.Namespace) -> int:
    import msgspec

    from rhetor.sealing.ring import Ring

    from .check import check
    from .progress import Progress
    from .sealing import encryption
    from .stores import require_file

    folder = arguments.home.absolute() if arguments.home else state_home(os.environ)
    require_file(folder, "check the database with pg_amcheck")
    if not (folder / "hub.db").exists():
        return _no_database(folder)
    ring = Ring(folder, encryption(folder).key)
    with Progress("check", "items") as progress:
        found = check(folder, progress, ring)
    if arguments.json:
        sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
        return 1 if found.findings else 0
    for finding in found.findings:
        sys.stdout.write(f"{finding.kind}  {finding.place}  {finding.detail}\n")
    sys.stdout.write(
        f"checked {found.streams:,} streams, {found.events:,} events, {found.rows:,} rows, {found.blobs:,} "
        f"blobs and {found.objects:,} objects of checkpoints: {len(found.findings) or 'no'} findings\n"
    )
    return 1 if found.findings else 0


def _export(arguments: argparse.Namespace) -> int:
    from rhetor.sealing.ring import Ring

    from .export import Wanted
    from .noting import note
    from .sealing import encryption, new_passphrase
    from .stores import require_file

    folder = state_folder(arguments)
    require_file(folder, "query the tables events and incarnations with psql, or read the hub's REST API")
    settings = encryption(folder)
    ring = Ring(folder, settings.key)
    wanted = Wanted(arguments.session, arguments.since, arguments.before)
    shown = arguments.output is None and sys.stdout.isatty() and not arguments.seal
    passphrase = None if shown else new_passphrase(arguments, settings)
    note(folder, "export", arguments.session or "")
    if arguments.output is None:
        _export_to(folder, ring, wanted, sys.stdout.buffer, passphrase, shown=not sys.stdout.isatty())
        return 0
    try:
        with arguments.output.open("xb") as file:
            _export_to(folder, ring, wanted, file, passphrase)
    except FileExistsError:
        sys.stderr.write(f"rhetor: {arguments.output} exists already; choose another name\n")
        return WRONG_USAGE
    except BaseException:  # also an interrupt: no file is left that looks complete
        arguments.output.unlink(missing_ok=True)
        raise
    return 0


def _export_to(
    folder: Path, ring: Any, wanted: Any, file: IO[bytes], passphrase: str | None, *, shown: bool = True
) -> None:
    from .backup import Sealing
    from .export import export
    from .progress import Progress

    with Progress("export", "events", shown=shown) as progress, Sealing(passphrase).sealed(file) as into:
        export(folder, wanted, into.write, progress, ring)
    file.flush()
